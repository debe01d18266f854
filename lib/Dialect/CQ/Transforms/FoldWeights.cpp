//===- FoldWeights.cpp - cq-fold-weights ----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tracing reads a weight as [N, K] or [K, N] of the whole source. Slices of a
// fused weight, and axes of N on both sides of K (experts [E, K, N] flattened
// to [K, E N]), are neither until the numbers themselves have been moved.
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/WeightTracing.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQFOLDWEIGHTS
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

namespace {
/// One op as a copy: element i of the result is element
/// offset + Σ i[d] · strides[d] of the source.
struct Copy {
  Value source;
  int64_t offset = 0;
  SmallVector<int64_t> strides;
  bool moves = true; ///< else the elements stay in order
  std::string text;
};
} // namespace

static SmallVector<int64_t> stridesOf(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = static_cast<int64_t>(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

/// The op that makes `value`, as a copy of elements that changes no number.
static std::optional<Copy> asCopy(Value value) {
  Operation *op = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!op || op->getNumOperands() == 0 || !type || !type.hasStaticShape())
    return std::nullopt;
  Copy copy;
  copy.source = op->getOperand(0);
  auto source = dyn_cast<RankedTensorType>(copy.source.getType());
  if (!source || !source.hasStaticShape())
    return std::nullopt;
  SmallVector<int64_t> strides = stridesOf(source.getShape());
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op)) {
    copy.moves = false;
    return copy;
  }
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    for (int64_t dim : transpose.getPermutation())
      copy.strides.push_back(strides[dim]);
    return copy;
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    auto movement = matchDataMovement(generic);
    if (failed(movement))
      return std::nullopt;
    copy.source = generic.getDpsInputs()[movement->first];
    source = typeOf(copy.source);
    if (source.getElementType() != type.getElementType() ||
        source.getRank() != type.getRank())
      return std::nullopt;
    strides = stridesOf(source.getShape());
    copy.strides.assign(type.getRank(), -1);
    for (auto [dim, resultDim] : llvm::enumerate(movement->second)) {
      if (resultDim < 0 || copy.strides[resultDim] >= 0)
        return std::nullopt;
      copy.strides[resultDim] = strides[dim];
    }
    return copy;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    for (ArrayRef<int64_t> numbers :
         {slice.getStaticOffsets(), slice.getStaticSizes(),
          slice.getStaticStrides()})
      if (llvm::any_of(numbers, ShapedType::isDynamic))
        return std::nullopt;
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    for (int64_t dim = 0; dim < source.getRank(); ++dim) {
      int64_t offset = slice.getStaticOffsets()[dim],
              size = slice.getStaticSizes()[dim],
              stride = slice.getStaticStrides()[dim];
      // Verified upstream only where it is obvious.
      if (offset < 0 || stride < 0 || size <= 0 ||
          size > source.getDimSize(dim) || offset >= source.getDimSize(dim) ||
          stride > source.getDimSize(dim) ||
          offset + (size - 1) * stride >= source.getDimSize(dim))
        return std::nullopt;
      copy.offset += offset * strides[dim];
      if (!dropped[dim])
        copy.strides.push_back(strides[dim] * stride);
      if (size != source.getDimSize(dim))
        copy.text += (copy.text.empty() ? ".at" : "x") + std::to_string(offset);
    }
    return copy;
  }
  return std::nullopt;
}

/// A constant's value, or that of an immutable global in this module.
static ElementsAttr valueOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto constant = dyn_cast_if_present<arith::ConstantOp>(op))
    return dyn_cast<ElementsAttr>(constant.getValue());
  SymbolRefAttr symbol;
  if (auto load = dyn_cast_if_present<ml_program::GlobalLoadOp>(op))
    symbol = load.getGlobal();
  else if (auto load = dyn_cast_if_present<ml_program::GlobalLoadConstOp>(op))
    symbol = load.getGlobal();
  auto global =
      symbol ? SymbolTable::lookupNearestSymbolFrom<ml_program::GlobalOp>(
                   op, symbol)
             : ml_program::GlobalOp();
  return global && !global.getIsMutable()
             ? dyn_cast_if_present<ElementsAttr>(global.getValueAttr())
             : ElementsAttr();
}

/// The bytes of a float constant that is no splat; none of other values.
static std::optional<ArrayRef<char>> bytesOf(Value value) {
  ElementsAttr elements = valueOf(value);
  if (!elements || isa<SplatElementsAttr>(elements) ||
      !isa<Float16Type, BFloat16Type, Float32Type>(elements.getElementType()))
    return std::nullopt;
  ArrayRef<char> bytes;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(elements)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return std::nullopt;
    bytes = blob->getData();
  } else if (auto dense = dyn_cast<DenseElementsAttr>(elements)) {
    bytes = dense.getRawData();
  }
  int64_t width = elements.getElementType().getIntOrFloatBitWidth() / 8;
  if (static_cast<int64_t>(bytes.size()) != elements.getNumElements() * width)
    return std::nullopt;
  return bytes;
}

/// Elements of `in`, moved.
static std::vector<char> move(ArrayRef<char> in, const Copy &copy,
                              ArrayRef<int64_t> shape, int64_t width) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  std::vector<char> out(count * width);
  SmallVector<int64_t> index(shape.size(), 0);
  int64_t from = copy.offset;
  for (int64_t i = 0; i < count; ++i) {
    memcpy(&out[i * width], &in[from * width], width);
    for (int64_t dim = static_cast<int64_t>(shape.size()) - 1; dim >= 0;
         --dim) {
      from += copy.strides[dim];
      if (++index[dim] < shape[dim])
        break;
      from -= copy.strides[dim] * shape[dim];
      index[dim] = 0;
    }
  }
  return out;
}

namespace {
struct FoldWeights : cq::impl::CQFoldWeightsBase<FoldWeights> {
  using CQFoldWeightsBase::CQFoldWeightsBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQFoldWeightsBase::getDependentDialects(registry);
    registry.insert<arith::ArithDialect>();
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    SmallVector<WeightConsumerOpInterface> products;
    getOperation()->walk(
        [&](WeightConsumerOpInterface op) { products.push_back(op); });
    for (WeightConsumerOpInterface op : products)
      for (const WeightConsumption &c : op.getWeightConsumptions())
        if (fold(op->getOperand(c.weightOperand), c))
          break;
    for (Operation *op : llvm::reverse(replaced))
      eraseDead(op);
  }

private:
  /// Replaces the value nearest to the source that is a matrix there and was
  /// none at the source.
  bool fold(Value operand, const WeightConsumption &consumption) {
    FailureOr<WeightDims> dims = getOperandDims(consumption);
    if (failed(dims))
      return false;
    SmallVector<std::pair<Value, WeightDims>> trace{{operand, *dims}};
    while (Value next = stepTowardsSource(operand, *dims)) {
      operand = next;
      trace.push_back({operand, *dims});
    }
    std::string why;
    for (auto &[value, at] : llvm::reverse(trace)) {
      FailureOr<WeightForm> form = getWeightForm(consumption, at, why);
      if (failed(form) || form->n <= 1 || form->k <= 1)
        continue;
      return !bytesOf(value) && replaceByConstant(value);
    }
    return false;
  }

  bool replaceByConstant(Value value) {
    SmallVector<std::pair<Copy, RankedTensorType>> copies;
    Value source = value;
    std::string text;
    llvm::raw_string_ostream key(text);
    std::string suffix;
    while (!bytesOf(source)) {
      std::optional<Copy> copy = asCopy(source);
      if (!copy)
        return false;
      key << copy->offset << ' ' << source.getType();
      for (int64_t stride : copy->strides)
        key << ' ' << stride;
      suffix = copy->text + suffix;
      Value next = copy->source;
      copies.push_back({std::move(*copy), typeOf(source)});
      source = next;
    }
    key << valueOf(source).getAsOpaquePointer();
    RankedTensorType type = typeOf(value);
    Attribute &made = constants[text];
    if (!made) {
      int64_t width = type.getElementTypeBitWidth() / 8;
      ArrayRef<char> bytes = *bytesOf(source);
      std::vector<char> moved;
      for (auto &[copy, shape] : llvm::reverse(copies))
        if (copy.moves) {
          moved = move(bytes, copy, shape.getShape(), width);
          bytes = moved;
        }
      made = DenseResourceElementsAttr::get(
          type, nameOf(source) + suffix,
          HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64));
      ++numFolded;
    }
    OpBuilder b(source.getDefiningOp());
    auto folded =
        arith::ConstantOp::create(b, source.getLoc(), cast<ElementsAttr>(made));
    replaced.insert(value.getDefiningOp());
    value.replaceAllUsesWith(folded);
    return true;
  }

  static std::string nameOf(Value source) {
    if (auto resource = dyn_cast<DenseResourceElementsAttr>(valueOf(source)))
      return resource.getRawHandle().getKey().str();
    if (auto load = source.getDefiningOp<ml_program::GlobalLoadOp>())
      return load.getGlobal().getLeafReference().str();
    if (auto load = source.getDefiningOp<ml_program::GlobalLoadConstOp>())
      return load.getGlobal().getLeafReference().str();
    if (auto name = source.getLoc()->findInstanceOf<NameLoc>())
      return name.getName().str();
    return "weight";
  }

  void eraseDead(Operation *op) {
    if (!isOpTriviallyDead(op))
      return;
    SmallVector<Operation *> inputs;
    for (Value operand : op->getOperands())
      if (Operation *input = operand.getDefiningOp();
          input && !replaced.contains(input) &&
          !llvm::is_contained(inputs, input))
        inputs.push_back(input);
    op->erase();
    for (Operation *input : inputs)
      eraseDead(input);
  }

  llvm::StringMap<Attribute> constants;
  llvm::SetVector<Operation *> replaced;
};
} // namespace
