//===- WeightEvaluation.cpp - Evaluating chains over weights --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightEvaluation.h"
#include "ArchiveBytes.h"
#include "cq/Analysis/WeightDims.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;

SmallVector<std::pair<StringRef, Value>, 6> WeightChain::planes() {
  SmallVector<std::pair<StringRef, Value>, 6> all{
      {"codes", pack.getPackedCodes()}, {"scales", pack.getPackedScales()}};
  if (pack.getPackedZeros())
    all.push_back({"zeros", pack.getPackedZeros()});
  if (extract) {
    all.push_back({"cherry_columns", extract.getColumns()});
    all.push_back({"cherry_deltas", quantize.getCherryDeltas()});
  }
  if (rank)
    all.push_back({"row_order", rank.getOrder()});
  return all;
}

Operation *WeightChain::begin() {
  if (rank)
    return rank;
  return extract ? extract.getOperation() : quantize.getOperation();
}

SmallVector<ArrayRef<uint8_t>, 6> cq::planeBytesOf(const PackedWeight &packed) {
  SmallVector<ArrayRef<uint8_t>, 6> all{packed.codes, packed.scales};
  if (packed.scheme.hasZeroPoints())
    all.push_back(packed.zeros);
  if (packed.cherries.form != CherryForm::None) {
    all.push_back(packed.cherryColumns);
    all.push_back(packed.cherryDeltas);
  }
  if (packed.layout.permuted)
    all.push_back(packed.rowOrder);
  return all;
}

ml_program::GlobalOp cq::getGlobal(Value source, const SymbolTable &symbols) {
  Operation *op = source.getDefiningOp();
  SymbolRefAttr symbol;
  if (auto load = dyn_cast_if_present<ml_program::GlobalLoadOp>(op))
    symbol = load.getGlobal();
  else if (auto load = dyn_cast_if_present<ml_program::GlobalLoadConstOp>(op))
    symbol = load.getGlobal();
  if (!symbol)
    return {};
  auto global = symbols.lookup<ml_program::GlobalOp>(symbol.getRootReference());
  return global && !global.getIsMutable() ? global : ml_program::GlobalOp();
}

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// One step from a value towards the source. `text` says what it does.
static Value step(Value value, llvm::raw_ostream &text) {
  Operation *op = value.getDefiningOp();
  if (!op || !isa<RankedTensorType>(value.getType()) ||
      !typeOf(value).hasStaticShape())
    return {};
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op)) {
    text << " reshape " << value.getType();
    return op->getOperand(0);
  }
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    if (!llvm::equal(transpose.getPermutation(), ArrayRef<int64_t>{1, 0}))
      return {};
    text << " transpose";
    return transpose.getInput();
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    // A matrix of a stack, nothing else.
    RankedTensorType stack = slice.getSourceType();
    auto offsets = slice.getStaticOffsets();
    if (stack.getRank() != 3 || typeOf(value).getRank() != 2 ||
        !stack.hasStaticShape() ||
        stack.getShape().drop_front() != typeOf(value).getShape() ||
        llvm::any_of(offsets, ShapedType::isDynamic) || offsets[1] != 0 ||
        offsets[2] != 0 || offsets[0] < 0 || offsets[0] >= stack.getDimSize(0))
      return {};
    text << " slice " << offsets[0];
    return slice.getSource();
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    auto movement = matchDataMovement(generic);
    if (failed(movement) ||
        !llvm::equal(movement->second,
                     llvm::seq<int64_t>(0, typeOf(value).getRank())))
      return {};
    text << " widen"; // numbers are read as f32 in any case
    return generic.getDpsInputs()[movement->first];
  }
  return {};
}

FailureOr<WeightChain> cq::matchWeightChain(PackOp pack,
                                            const SymbolTable &symbols) {
  WeightChain chain;
  chain.pack = pack;
  chain.quantize = pack.getCodes().getDefiningOp<QuantizeOp>();
  if (!chain.quantize || pack.getScales() != chain.quantize.getScales() ||
      pack.getZeros() != chain.quantize.getZeros() ||
      pack.getScheme() != chain.quantize.getScheme())
    return failure();
  if (Value columns = chain.quantize.getCherryColumns()) {
    chain.extract = columns.getDefiningOp<ExtractCherriesOp>();
    if (!chain.extract ||
        chain.extract.getWeight() != chain.quantize.getWeight() ||
        chain.extract.getCherriesAttr() != chain.quantize.getCherriesAttr())
      return failure();
  }
  chain.matrix = chain.quantize.getWeight();
  if (pack.getLayout().getPermuted()) {
    auto permute = chain.matrix.getDefiningOp<PermuteRowsOp>();
    chain.rank =
        permute ? permute.getOrder().getDefiningOp<RankRowsOp>() : RankRowsOp();
    LayoutAttr layout = pack.getLayoutAttr();
    if (!chain.rank || chain.rank.getWeight() != permute.getMatrix() ||
        chain.rank.getLayoutAttr() != layout ||
        chain.quantize.getLayoutAttr() != layout ||
        (chain.extract && chain.extract.getLayoutAttr() != layout))
      return failure();
    chain.matrix = permute.getMatrix();
  }
  llvm::raw_string_ostream text(chain.signature);
  text << pack->getAttrDictionary() << chain.quantize->getAttrDictionary();
  if (chain.extract)
    text << chain.extract->getAttrDictionary();
  Value value = chain.matrix;
  while (true) {
    if (auto slice = value.getDefiningOp<tensor::ExtractSliceOp>())
      chain.slice = slice.getStaticOffsets()[0];
    Value next = step(value, text);
    if (!next)
      break;
    value = next;
  }
  chain.source = value;
  if (ml_program::GlobalOp global = getGlobal(value, symbols)) {
    text << " @" << global.getSymName();
    return chain;
  }
  auto constant = value.getDefiningOp<arith::ConstantOp>();
  if (!constant || !isa<ElementsAttr>(constant.getValue()))
    return failure();
  text << " constant " << constant.getValue().getAsOpaquePointer();
  return chain;
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

static float halfToFloat(uint16_t bits, const llvm::fltSemantics &semantics) {
  APFloat value(semantics, APInt(16, bits));
  bool lossy;
  value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lossy);
  return value.convertToFloat();
}

/// Plain little-endian elements as f32.
static llvm::Expected<std::vector<float>>
decodeElements(ArrayRef<char> bytes, Type elementType, int64_t count) {
  unsigned width = elementType.getIntOrFloatBitWidth() / 8;
  if (static_cast<int64_t>(bytes.size()) != count * width)
    return llvm::createStringError(
        "its data has %zu bytes, its type needs %lld", bytes.size(),
        static_cast<long long>(count * width));
  std::vector<float> numbers(count);
  if (elementType.isF32()) {
    memcpy(numbers.data(), bytes.data(), bytes.size());
    return std::move(numbers);
  }
  if (!elementType.isF16() && !elementType.isBF16())
    return llvm::createStringError("its elements are no f16, bf16 or f32");
  // 65,536 values: a table is faster than converting each.
  const llvm::fltSemantics &semantics =
      elementType.isF16() ? APFloat::IEEEhalf() : APFloat::BFloat();
  std::vector<float> table;
  if (count > 65536) {
    table.resize(65536);
    for (unsigned i = 0; i < 65536; ++i)
      table[i] = halfToFloat(i, semantics);
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    memcpy(&bits, bytes.data() + 2 * i, 2);
    numbers[i] = table.empty() ? halfToFloat(bits, semantics) : table[bits];
  }
  return std::move(numbers);
}

llvm::Expected<std::vector<float>> cq::readElements(ElementsAttr elements) {
  auto type = cast<ShapedType>(elements.getType());
  int64_t count = type.getNumElements();
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(elements)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return llvm::createStringError(
          "its resource has no data (elided when the module was printed?)");
    return decodeElements(blob->getData(), type.getElementType(), count);
  }
  auto dense = dyn_cast<DenseElementsAttr>(elements);
  if (!dense)
    return llvm::createStringError("its constant is neither dense nor a "
                                   "dense_resource");
  if (!dense.isSplat())
    return decodeElements(dense.getRawData(), type.getElementType(), count);
  llvm::Expected<std::vector<float>> one =
      decodeElements(dense.getRawData(), type.getElementType(), 1);
  if (!one)
    return one;
  return std::vector<float>(count, one->front());
}

llvm::Error WeightNumbers::open() {
  std::string path = parameters;
  if (auto attribute = module->getAttrOfType<StringAttr>("cq.parameters");
      attribute && path.empty())
    path = attribute.getValue().str();
  if (path.empty())
    return llvm::createStringError(
        "it is held by reference and no archive is given; give "
        "parameters=FILE");
  auto opened = ParameterArchive::open(path);
  if (!opened)
    return opened.takeError();
  archive = std::move(*opened);
  declareParameters(module, *archive);
  return llvm::Error::success();
}

llvm::Expected<std::vector<float>>
WeightNumbers::read(const TracedWeight &weight) {
  auto fails = [&](llvm::Error error) {
    return llvm::createStringError("weight '" + weight.name +
                                   "': " + llvm::toString(std::move(error)));
  };
  Operation *op = weight.sourceOps.front();
  Attribute value;
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    value = constant.getValue();
  else if (auto global = dyn_cast<ml_program::GlobalOp>(op))
    value = global.getValueAttr();
  if (auto elements = dyn_cast_if_present<ElementsAttr>(value)) {
    auto numbers = readElements(elements);
    return numbers ? std::move(numbers) : fails(numbers.takeError());
  }
  if (!archive)
    if (llvm::Error error = open())
      return fails(std::move(error));
  const ParameterInfo *info = archive->find(weight.name);
  if (!info || ArrayRef<int64_t>(info->shape) != weight.type.getShape())
    return llvm::createStringError(
        "weight '" + weight.name + "' is not in " + archive->path() +
        ", or of another shape; give the archive this module was imported "
        "from");
  std::vector<float> numbers(info->numElements());
  if (llvm::Error error =
          ParameterArchive::readAsF32(*info, numbers.data(), threads))
    return fails(std::move(error));
  return std::move(numbers);
}

// In blocks that fit a cache.
std::vector<float> cq::transpose(const std::vector<float> &in, int64_t rows,
                                 int64_t columns) {
  constexpr int64_t block = 32;
  std::vector<float> out(in.size());
  for (int64_t r0 = 0; r0 < rows; r0 += block)
    for (int64_t c0 = 0; c0 < columns; c0 += block)
      for (int64_t r = r0; r < std::min(r0 + block, rows); ++r)
        for (int64_t c = c0; c < std::min(c0 + block, columns); ++c)
          out[c * rows + r] = in[r * columns + c];
  return out;
}

/// Follows the steps from the source to `value`.
static void replay(Value value, Value source, std::vector<float> &numbers) {
  if (value == source)
    return;
  Operation *op = value.getDefiningOp();
  Value input = step(value, llvm::nulls());
  replay(input, source, numbers);
  if (isa<linalg::TransposeOp>(op)) {
    numbers = transpose(numbers, typeOf(input).getDimSize(0),
                        typeOf(input).getDimSize(1));
  } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    int64_t size = typeOf(value).getNumElements();
    auto first = numbers.begin() + slice.getStaticOffsets()[0] * size;
    numbers = std::vector<float>(first, first + size);
  }
}

llvm::Expected<EvaluatedWeight>
cq::evaluate(const WeightChain &chain, std::vector<float> numbers,
             StringRef weight, WeightStatistics *statistics, unsigned threads) {
  // Statistics speak of the tensor as its archive holds it.
  if (auto source = typeOf(chain.source); statistics && source.getRank() == 2)
    if (llvm::Error error = statistics->reader().checkWeight(
            weight, numbers.data(), source.getDimSize(0), source.getDimSize(1)))
      return std::move(error);
  QuantizeOp quantize = chain.quantize;
  replay(chain.matrix, chain.source, numbers);
  auto type = typeOf(quantize.getWeight());
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  std::string matrix = weight.str();
  if (chain.slice >= 0)
    matrix += "." + std::to_string(chain.slice);
  std::optional<CherryCriterion> criterion;
  if (ExtractCherriesOp extract = chain.extract)
    criterion = extract.getCriterion().getCriterion();
  llvm::Expected<WeightKnowledge> known =
      learnAbout(matrix, n, k, quantize.getQuantizer().getKind(), criterion,
                 statistics, threads, static_cast<bool>(chain.rank));
  if (!known)
    return known.takeError();
  PackOp pack = chain.pack;
  Layout layout = pack.getLayout().getLayout();
  std::vector<uint32_t> order;
  if (chain.rank) {
    auto ranked =
        rankRows(numbers.data(), n, k, quantize.getScheme().getScheme(),
                 layout.segments.front().rows, known->rowInputs(threads));
    if (!ranked)
      return ranked.takeError();
    order = std::move(*ranked);
    numbers = permuteRows(numbers.data(), k, order);
    if (!known->fisher.empty())
      known->fisher = permuteRows(known->fisher.data(), k, order);
    known->segments = layout.segments;
  }

  CherryPositions positions;
  const CherryPositions *cherries = nullptr;
  if (ExtractCherriesOp extract = chain.extract) {
    auto selected = selectCherries(
        numbers.data(), n, k, extract.getCherries().getSpec(), *criterion,
        extract.getScheme().getScheme(), known->cherryInputs(threads));
    if (!selected)
      return selected.takeError();
    positions = std::move(*selected);
    cherries = &positions;
  }
  auto quantized = quantizeWeight(
      numbers.data(), n, k, quantize.getScheme().getScheme(), known->quantizer,
      cherries, known->quantizerInputs(threads));
  if (!quantized)
    return quantized.takeError();
  quantized->order = std::move(order);
  return EvaluatedWeight{packWeight(*quantized, cherries, layout),
                         std::move(known->fallback)};
}
