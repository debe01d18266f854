//===- ONNXBlocks.cpp - Block-quantized ops of ONNX
//------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// MatMulNBits (com.microsoft): y = x · Wᵀ, W [N, K] in blocks of `block_size`
// columns. B [N, K / block, block · bits / 8] u8 holds codes, low bits first;
// scales [N, K / block]; zero points the like, packed as codes are, each row
// from a new byte, or of the type of x; 2^(bits − 1) without.
//
// The torch dialect is not ours: ops and types are opaque text.
//

#include "ONNXBlocks.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace mlir::cq;

namespace {
/// !torch.vtensor<[2,?,64],f32>
struct TorchTensor {
  SmallVector<int64_t> shape;
  std::string element;

  static std::optional<TorchTensor> from(Type type) {
    auto opaque = dyn_cast<OpaqueType>(type);
    if (!opaque || opaque.getDialectNamespace() != "torch")
      return std::nullopt;
    StringRef text = opaque.getTypeData();
    if (!text.consume_front("vtensor<[") || !text.consume_back(">"))
      return std::nullopt;
    auto [dims, element] = text.rsplit("],");
    TorchTensor result;
    result.element = element.str();
    if (dims.empty())
      return result;
    for (StringRef dim : llvm::split(dims, ',')) {
      int64_t size = ShapedType::kDynamic;
      if (dim != "?" && dim.getAsInteger(10, size))
        return std::nullopt;
      result.shape.push_back(size);
    }
    return result;
  }

  Type type(MLIRContext *context) const {
    std::string text = "vtensor<[";
    llvm::raw_string_ostream os(text);
    llvm::interleave(
        shape, os,
        [&](int64_t size) {
          if (size == ShapedType::kDynamic)
            os << '?';
          else
            os << size;
        },
        ",");
    os << "]," << element << '>';
    return OpaqueType::get(StringAttr::get(context, "torch"), text);
  }
};

/// The bytes of a constant and the key of its resource.
struct Bytes {
  ArrayRef<char> data;
  std::vector<char> owned;
  std::string name;
};

class Expander {
public:
  explicit Expander(Operation *op) : op(op), b(op) {}
  llvm::Error run();

private:
  std::optional<int64_t> integer(StringRef name) {
    auto attr = op->getAttrOfType<IntegerAttr>(("torch.onnx." + name).str());
    if (!attr)
      return std::nullopt;
    return attr.getValue().getSExtValue();
  }
  llvm::Error expandProduct();
  llvm::Error expandDequantize();
  Value create(StringRef name, ValueRange operands, const TorchTensor &type,
               ArrayRef<NamedAttribute> attributes = {});
  Value constant(ElementsAttr value, const TorchTensor &type);
  /// A tensor of bytes that is kept beside the module.
  Value resource(StringRef name, ArrayRef<uint8_t> bytes,
                 ArrayRef<int64_t> shape, Type element, StringRef elementText);
  Value reshape(Value value, TorchTensor type);
  Value cast(Value value, TorchTensor type, StringRef element);
  IntegerAttr si64(int64_t value) {
    return IntegerAttr::get(
        IntegerType::get(op->getContext(), 64, IntegerType::Signed), value);
  }

  Operation *op;
  OpBuilder b;
};
} // namespace

static StringRef nameOf(Operation *op) {
  if (!op || op->getName().getStringRef() != "torch.operator")
    return "";
  auto properties =
      dyn_cast_if_present<DictionaryAttr>(op->getPropertiesAsAttribute());
  auto name = properties ? properties.getAs<StringAttr>("name") : StringAttr();
  if (!name)
    name = op->getAttrOfType<StringAttr>("name");
  return name ? name.getValue() : "";
}

static bool isNone(Value value) {
  auto type = dyn_cast<OpaqueType>(value.getType());
  return type && type.getTypeData() == "none";
}

static llvm::Expected<Bytes> bytesOf(Value value) {
  Operation *op = value.getDefiningOp();
  auto elements = nameOf(op) == "onnx.Constant"
                      ? op->getAttrOfType<ElementsAttr>("torch.onnx.value")
                      : ElementsAttr();
  if (!elements)
    return fail("codes, scales and zero points are constants where it can be "
                "expanded");
  auto type = cast<ShapedType>(elements.getType());
  int64_t size = type.getNumElements() *
                 llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  Bytes bytes;
  if (auto held = dyn_cast<DenseResourceElementsAttr>(elements)) {
    bytes.name = held.getRawHandle().getKey().str();
    AsmResourceBlob *blob = held.getRawHandle().getBlob();
    if (!blob)
      return fail("resource " + quoted(bytes.name) + " is missing");
    bytes.data = blob->getData();
  } else if (auto dense = dyn_cast<DenseElementsAttr>(elements)) {
    bytes.data = dense.getRawData();
    if (dense.isSplat() && size > static_cast<int64_t>(bytes.data.size())) {
      for (int64_t i = 0; i < type.getNumElements(); ++i)
        bytes.owned.insert(bytes.owned.end(), bytes.data.begin(),
                           bytes.data.end());
      bytes.data = bytes.owned;
    }
  }
  if (static_cast<int64_t>(bytes.data.size()) != size)
    return fail("a constant of it has " + std::to_string(bytes.data.size()) +
                " bytes instead of " + std::to_string(size));
  return bytes;
}

Value Expander::create(StringRef name, ValueRange operands,
                       const TorchTensor &type,
                       ArrayRef<NamedAttribute> attributes) {
  OperationState state(op->getLoc(), "torch.operator");
  state.addOperands(operands);
  state.addTypes(type.type(op->getContext()));
  state.addAttributes(attributes);
  state.propertiesAttr = b.getDictionaryAttr(
      b.getNamedAttr("name", b.getStringAttr("onnx." + name)));
  return b.create(state)->getResult(0);
}

Value Expander::constant(ElementsAttr value, const TorchTensor &type) {
  return create("Constant", {}, type,
                b.getNamedAttr("torch.onnx.value", value));
}

Value Expander::resource(StringRef name, ArrayRef<uint8_t> bytes,
                         ArrayRef<int64_t> shape, Type element,
                         StringRef elementText) {
  ArrayRef<char> data(reinterpret_cast<const char *>(bytes.data()),
                      bytes.size());
  return constant(DenseResourceElementsAttr::get(
                      RankedTensorType::get(shape, element), name,
                      HeapAsmResourceBlob::allocateAndCopyWithAlign(data, 64)),
                  {SmallVector<int64_t>(shape), elementText.str()});
}

Value Expander::reshape(Value value, TorchTensor type) {
  auto shapeType = RankedTensorType::get(
      {static_cast<int64_t>(type.shape.size())},
      IntegerType::get(op->getContext(), 64, IntegerType::Signed));
  SmallVector<APInt> sizes;
  for (int64_t size : type.shape)
    sizes.emplace_back(64, static_cast<uint64_t>(size));
  Value shape = constant(DenseElementsAttr::get(shapeType, sizes),
                         {SmallVector<int64_t>(shapeType.getShape()), "si64"});
  return create("Reshape", {value, shape}, type);
}

Value Expander::cast(Value value, TorchTensor type, StringRef element) {
  type.element = element.str();
  // Numbers of ONNX's TensorProto.DataType.
  int64_t number = element == "f32" ? 1 : element == "f16" ? 10 : 16;
  return create("Cast", value, type,
                b.getNamedAttr("torch.onnx.to", si64(number)));
}

/// Little-endian bits, each row from a new byte.
static std::vector<uint8_t> unpack(ArrayRef<char> bytes, int64_t rows,
                                   int64_t columns, unsigned bits) {
  std::vector<uint8_t> codes;
  codes.reserve(rows * columns);
  int64_t stride = llvm::divideCeil(columns * bits, 8);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      int64_t bit = column * bits;
      uint8_t byte = bytes[row * stride + bit / 8];
      codes.push_back((byte >> (bit % 8)) & ((1u << bits) - 1));
    }
  return codes;
}

llvm::Error Expander::expandProduct() {
  std::optional<int64_t> n = integer("N"), k = integer("K"),
                         bits = integer("bits"), block = integer("block_size");
  std::optional<TorchTensor> x =
      op->getNumOperands() >= 3 ? TorchTensor::from(op->getOperand(0).getType())
                                : std::nullopt;
  if (!n || !k || !block || *n <= 0 || *k <= 0 || *block <= 0 ||
      *n > INT32_MAX || *k > INT32_MAX)
    return fail("MatMulNBits needs N, K and block_size");
  if (!x || x->shape.empty() || x->shape.back() != *k)
    return fail("its input has no shape that ends in K; run ONNX's shape "
                "inference before the import, or give value_info");
  int64_t width = bits.value_or(4);
  if (width != 2 && width != 4 && width != 8)
    return fail("it has codes of " + std::to_string(width) +
                " bits; 2, 4 and 8 are read");
  if (*k % *block != 0 || *block * width % 8 != 0)
    return fail("its last block is not full");
  if (x->element != "f32" && x->element != "f16" && x->element != "bf16")
    return fail("its input is of type " + x->element);
  if (op->getNumOperands() > 4 && !isNone(op->getOperand(4)))
    return fail("it has a g_idx: columns of a block are scattered");
  int64_t groups = *k / *block;
  auto codes = bytesOf(op->getOperand(1));
  if (!codes)
    return codes.takeError();
  if (static_cast<int64_t>(codes->data.size()) != *n * *k * width / 8)
    return fail("its codes have " + std::to_string(codes->data.size()) +
                " bytes, which N, K and bits do not need");
  std::string name = codes->name.empty() ? "onnx.codes" : codes->name;
  std::vector<uint8_t> plain = unpack(codes->data, *n * groups, *block, width);

  IntegerType u8 = IntegerType::get(op->getContext(), 8, IntegerType::Unsigned);
  TorchTensor blocks{{*n, groups, *block}, x->element},
      one{{*n, groups, 1}, x->element};
  Value w = cast(resource(name + ":codes", plain, blocks.shape, u8, "ui8"),
                 blocks, x->element);
  Value zero;
  if (op->getNumOperands() > 3 && !isNone(op->getOperand(3))) {
    std::optional<TorchTensor> type =
        TorchTensor::from(op->getOperand(3).getType());
    if (!type)
      return fail("its zero points have no type");
    if (type->element == "ui8") {
      auto zeros = bytesOf(op->getOperand(3));
      if (!zeros)
        return zeros.takeError();
      if (static_cast<int64_t>(zeros->data.size()) !=
          *n * int64_t(llvm::divideCeil(groups * width, 8)))
        return fail("its zero points are not as many as its blocks");
      std::vector<uint8_t> points = unpack(zeros->data, *n, groups, width);
      zero = cast(resource(name + ":zeros", points, one.shape, u8, "ui8"), one,
                  x->element);
    } else {
      zero = reshape(op->getOperand(3), {one.shape, type->element});
    }
  } else {
    std::vector<uint8_t> points(*n * groups, uint8_t(1) << (width - 1));
    zero = cast(resource(name + ":zeros", points, one.shape, u8, "ui8"), one,
                x->element);
  }
  w = create("Sub", {w, zero}, blocks);
  w = create("Mul", {w, reshape(op->getOperand(2), one)}, blocks);
  w = reshape(w, {{*n, *k}, x->element});
  w = create(
      "Transpose", w, {{*k, *n}, x->element},
      b.getNamedAttr("torch.onnx.perm", b.getArrayAttr({si64(1), si64(0)})));
  TorchTensor y = *x;
  y.shape.back() = *n;
  Value result = create("MatMul", {op->getOperand(0), w}, y);
  if (op->getNumOperands() > 5 && !isNone(op->getOperand(5)))
    result = create("Add", {result, op->getOperand(5)}, y);
  op->getResult(0).replaceAllUsesWith(result);
  op->erase();
  return llvm::Error::success();
}

llvm::Error Expander::expandDequantize() {
  int64_t block = integer("block_size").value_or(0);
  int64_t axis = integer("axis").value_or(1);
  auto type = [&](unsigned number) {
    return TorchTensor::from(op->getOperand(number).getType());
  };
  std::optional<TorchTensor> x = type(0), scale = type(1);
  bool fixed =
      x && scale && !llvm::is_contained(x->shape, ShapedType::kDynamic);
  if (!fixed)
    return fail("its weight has no fixed shape");
  int64_t rank = static_cast<int64_t>(x->shape.size());
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis >= rank || x->shape[axis] % block != 0)
    return fail("its last block is not full");
  TorchTensor blocks = *x, one = *x, whole = *x;
  blocks.shape[axis] /= block;
  one.shape = blocks.shape;
  if (ArrayRef<int64_t>(scale->shape) != ArrayRef<int64_t>(one.shape))
    return fail("its scales are not as many as its blocks");
  blocks.shape.insert(blocks.shape.begin() + axis + 1, block);
  one.shape.insert(one.shape.begin() + axis + 1, 1);
  Value w = cast(reshape(op->getOperand(0), blocks), blocks, scale->element);
  blocks.element = one.element = whole.element = scale->element;
  if (op->getNumOperands() > 2 && !isNone(op->getOperand(2))) {
    std::optional<TorchTensor> zeroType = type(2);
    if (!zeroType)
      return fail("its zero points have no type");
    Value zero = reshape(op->getOperand(2), {one.shape, zeroType->element});
    w = create("Sub", {w, cast(zero, one, scale->element)}, blocks);
  }
  w = create("Mul", {w, reshape(op->getOperand(1), one)}, blocks);
  w = reshape(w, whole);
  op->getResult(0).replaceAllUsesWith(w);
  op->erase();
  return llvm::Error::success();
}

llvm::Error Expander::run() {
  return nameOf(op) == "onnx.MatMulNBits" ? expandProduct()
                                          : expandDequantize();
}

int64_t
cq::expandONNXBlocks(ModuleOp module,
                     llvm::function_ref<void(Operation *, StringRef)> leave) {
  SmallVector<Operation *> ops;
  module.walk([&](Operation *op) {
    StringRef name = nameOf(op);
    auto block = op->getAttrOfType<IntegerAttr>("torch.onnx.block_size");
    if (op->getNumResults() == 1 &&
        (name == "onnx.MatMulNBits" ||
         (name == "onnx.DequantizeLinear" && op->getNumOperands() >= 2 &&
          block && block.getValue().isStrictlyPositive())))
      ops.push_back(op);
  });
  int64_t count = 0;
  for (Operation *op : ops) {
    if (llvm::Error error = Expander(op).run())
      leave(op, llvm::toString(std::move(error)));
    else
      ++count;
  }
  return count;
}
