//===- CQOps.cpp - Verifiers and effects of the cq ops --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CQDetail.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::detail;

/// `[%base + offset]` or `[offset]`.
static ParseResult
parseNumber(OpAsmParser &parser,
            std::optional<OpAsmParser::UnresolvedOperand> &base,
            IntegerAttr &offset) {
  OpAsmParser::UnresolvedOperand operand;
  if (parser.parseLSquare())
    return failure();
  OptionalParseResult hasBase = parser.parseOptionalOperand(operand);
  if (hasBase.has_value()) {
    if (failed(*hasBase) || parser.parsePlus())
      return failure();
    base = operand;
  }
  int64_t number;
  if (parser.parseInteger(number) || parser.parseRSquare())
    return failure();
  offset = parser.getBuilder().getI64IntegerAttr(number);
  return success();
}

static void printNumber(OpAsmPrinter &printer, Operation *, Value base,
                        IntegerAttr offset) {
  printer << '[';
  if (base)
    printer << base << " + ";
  printer << offset.getInt() << ']';
}

#define GET_OP_CLASSES
#include "cq/Dialect/CQ/IR/CQOps.cpp.inc"

static int64_t dimOf(Value value, int64_t axis) {
  return cast<ShapedType>(value.getType()).getDimSize(axis);
}

/// Checks that a matrix [n, k] can be counted; n and k may be hostile.
static LogicalResult verifyCountable(Operation *op, int64_t n, int64_t k) {
  return emitIfError(op, Layout::uniform(LayoutKind::Linear, n, 8).check(n, k));
}

/// Checks that the logical planes of W [n, k] are [n, groups] and the scheme's.
static LogicalResult verifyLogical(Operation *op, Value codes, Value scales,
                                   Value zeros, SchemeAttr schemeAttr) {
  Scheme scheme = schemeAttr.getScheme();
  int64_t n = dimOf(codes, 0), k = dimOf(codes, 1);
  if (ShapedType::isDynamic(n) || ShapedType::isDynamic(k) || n == 0 || k == 0)
    return op->emitOpError("needs static, positive N and K");
  if (failed(verifyCountable(op, n, k)))
    return failure();
  int64_t groups = scheme.numGroups(k);
  auto type = cast<RankedTensorType>(scales.getType());
  if (type.getShape() != ArrayRef<int64_t>{n, groups} ||
      type.getElementType() !=
          getScaleElementType(op->getContext(), scheme.scaleType))
    return op->emitOpError()
           << "scales are " << type << ", but the scheme demands [" << n << ", "
           << groups << "] of " << stringifyScaleType(scheme.scaleType);
  if (scheme.hasZeroPoints() != static_cast<bool>(zeros))
    return op->emitOpError(scheme.hasZeroPoints()
                               ? "affine grid needs zero points"
                               : "only the affine grid has zero points");
  if (zeros && (dimOf(zeros, 0) != n || dimOf(zeros, 1) != groups))
    return op->emitOpError()
           << "zero points are " << zeros.getType()
           << ", but the scheme demands [" << n << ", " << groups << "]";
  return success();
}

/// Checks the layout that gives the rows of an op's matrix their widths.
static LogicalResult verifyWidths(Operation *op, int64_t n, SchemeAttr scheme,
                                  LayoutAttr layout) {
  if (!layout)
    return success();
  if (layout.getNumRows() != n)
    return op->emitOpError() << "layout has " << layout.getNumRows()
                             << " rows, the weight has " << n;
  return emitIfError(op, layout.getLayout().checkWidths(scheme.getScheme()));
}

/// Checks a flat plane of cherries.
static LogicalResult verifyCherryPlane(Operation *op, Value plane,
                                       CherriesAttr cherries, int64_t n,
                                       int64_t k, bool columns) {
  if (!cherries || !plane)
    return op->emitOpError(
        "cherries attribute, columns and deltas come together");
  CherrySpec spec = cherries.getSpec();
  if (ShapedType::isDynamic(n) || ShapedType::isDynamic(k))
    return op->emitOpError("needs static N and K");
  if (llvm::Error error = spec.check(n, k))
    return emitIfError(op, std::move(error));
  int64_t entries = columns ? spec.numColumns(n, k) : spec.numDeltas(n, k);
  unsigned width = columns ? spec.columnBytes() * 8 : 16;
  auto type = cast<RankedTensorType>(plane.getType());
  if (type.getDimSize(0) != entries || type.getElementTypeBitWidth() != width)
    return op->emitOpError()
           << "cherry " << (columns ? "columns are " : "deltas are ") << type
           << ", but shape and form demand " << entries << " of " << width
           << " bits";
  return success();
}

//===----------------------------------------------------------------------===//
// Weights to planes and back
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  auto type = cast<RankedTensorType>(getWeight().getType());
  if (cast<ShapedType>(getCodes().getType()).getShape() != type.getShape())
    return emitOpError("codes and weight differ in shape");
  if (failed(verifyLogical(*this, getCodes(), getScales(), getZeros(),
                           getSchemeAttr())) ||
      failed(verifyWidths(*this, type.getDimSize(0), getSchemeAttr(),
                          getLayoutAttr())))
    return failure();
  if (!getCherriesAttr() && !getCherryColumns() && !getCherryDeltas())
    return success();
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  return failure(failed(verifyCherryPlane(*this, getCherryColumns(),
                                          getCherriesAttr(), n, k, true)) ||
                 failed(verifyCherryPlane(*this, getCherryDeltas(),
                                          getCherriesAttr(), n, k, false)));
}

LogicalResult DequantizeOp::verify() {
  if (cast<ShapedType>(getCodes().getType()).getShape() !=
      getResult().getType().getShape())
    return emitOpError("codes and result differ in shape");
  if (failed(verifyLogical(*this, getCodes(), getScales(), getZeros(),
                           getSchemeAttr())))
    return failure();
  return verifyWidths(*this, dimOf(getCodes(), 0), getSchemeAttr(),
                      getLayoutAttr());
}

LogicalResult RankRowsOp::verify() {
  int64_t n = dimOf(getWeight(), 0), k = dimOf(getWeight(), 1);
  if (ShapedType::isDynamic(n) || ShapedType::isDynamic(k))
    return emitOpError("needs static N and K");
  if (failed(verifyCountable(*this, n, k)) ||
      failed(verifyWidths(*this, n, getSchemeAttr(), getLayoutAttr())))
    return failure();
  LayoutAttr layout = getLayout();
  if (!layout.getPermuted() || layout.getSegments().size() != 2 ||
      layout.getSegments()[0].bits <= layout.getSegments()[1].bits)
    return emitOpError("needs a permuted layout of two segments, the wider "
                       "rows first");
  if (getOrder().getType() != getRowOrderType(getContext(), n))
    return emitOpError() << "order is " << getOrder().getType()
                         << ", but the rows demand "
                         << getRowOrderType(getContext(), n);
  return success();
}

LogicalResult PermuteRowsOp::verify() {
  int64_t n = dimOf(getMatrix(), 0);
  if (ShapedType::isDynamic(n))
    return emitOpError("needs a static number of rows");
  if (getOrder().getType() != getRowOrderType(getContext(), n))
    return emitOpError() << "order is " << getOrder().getType()
                         << ", but the rows demand "
                         << getRowOrderType(getContext(), n);
  return success();
}

/// pack and unpack: logical values on one side, planes on the other.
template <typename OpTy> static LogicalResult verifyPacking(OpTy op) {
  if (failed(verifyLogical(op, op.getCodes(), op.getScales(), op.getZeros(),
                           op.getSchemeAttr())))
    return failure();
  return verifyPlanes(
      op, dimOf(op.getCodes(), 0), dimOf(op.getCodes(), 1), op.getSchemeAttr(),
      op.getLayoutAttr(), {},
      {op.getPackedCodes(), op.getPackedScales(), op.getPackedZeros(), {}, {}});
}

LogicalResult PackOp::verify() { return verifyPacking(*this); }
LogicalResult UnpackOp::verify() { return verifyPacking(*this); }

LogicalResult ExtractCherriesOp::verify() {
  if (failed(verifyWidths(*this, dimOf(getWeight(), 0), getSchemeAttr(),
                          getLayoutAttr())))
    return failure();
  return verifyCherryPlane(*this, getColumns(), getCherriesAttr(),
                           dimOf(getWeight(), 0), dimOf(getWeight(), 1), true);
}

LogicalResult ScatterCherriesOp::verify() {
  int64_t n = dimOf(getDense(), 0), k = dimOf(getDense(), 1);
  return failure(failed(verifyCherryPlane(*this, getColumns(),
                                          getCherriesAttr(), n, k, true)) ||
                 failed(verifyCherryPlane(*this, getDeltas(), getCherriesAttr(),
                                          n, k, false)));
}

LogicalResult RelayoutOp::verify() {
  int64_t n = getFrom().getNumRows();
  if (n != getTo().getNumRows())
    return emitOpError() << "layouts hold different rows, " << n << " and "
                         << getTo().getNumRows();
  if (getFrom().getPermuted() != getTo().getPermuted())
    return emitOpError("cannot change the order of rows");
  int64_t k = static_cast<int64_t>(getColumns());
  if (k <= 0)
    return emitOpError("needs a positive number of columns");
  return failure(
      failed(verifyPlanes(*this, n, k, getSchemeAttr(), getFromAttr(), {},
                          {getCodes(), getScales(), getZeros(), {}, {}})) ||
      failed(verifyPlanes(
          *this, n, k, getSchemeAttr(), getToAttr(), {},
          {getNewCodes(), getNewScales(), getNewZeros(), {}, {}})));
}

//===----------------------------------------------------------------------===//
// The running model
//===----------------------------------------------------------------------===//

/// Buffers are read, destinations written; tensors have no effects.
static void computeEffects(
    DestinationStyleOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

#define CQ_COMPUTE_EFFECTS(OP)                                                 \
  void OP::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    computeEffects(*this, effects);                                            \
  }
CQ_COMPUTE_EFFECTS(GatherOp)
CQ_COMPUTE_EFFECTS(DynamicQuantizeOp)
CQ_COMPUTE_EFFECTS(MatmulOp)
#undef CQ_COMPUTE_EFFECTS

/// All tensors with one result an init, or all memrefs with none.
static LogicalResult verifySemantics(DestinationStyleOpInterface op) {
  bool tensors = op.hasPureTensorSemantics();
  if (!tensors && !op.hasPureBufferSemantics())
    return op->emitOpError("mixes tensors and memrefs");
  unsigned expected = tensors ? op.getNumDpsInits() : 0;
  if (op->getNumResults() != expected)
    return op->emitOpError() << "has " << op->getNumResults()
                             << " results, expected " << expected;
  return success();
}

int64_t GatherOp::getN() { return getLayout().getNumRows(); }
int64_t GatherOp::getK() {
  auto type = cast<ShapedType>(getInit().getType());
  return type.getDimSize(type.getRank() - 1);
}

LogicalResult GatherOp::verify() {
  if (failed(
          verifySemantics(cast<DestinationStyleOpInterface>(getOperation()))))
    return failure();
  auto indices = cast<ShapedType>(getIndices().getType());
  auto init = cast<ShapedType>(getInit().getType());
  if (init.getRank() != indices.getRank() + 1 ||
      init.getShape().drop_back() != indices.getShape())
    return emitOpError() << "init " << init << " must have the shape of the "
                         << "indices " << indices
                         << " and K as a last dimension";
  if (getLayout().getPermuted())
    return emitOpError("cannot look up rows of a permuted layout: store the "
                       "weight in the order of its rows");
  return verifyPlanes(*this, getN(), getK(), getSchemeAttr(), getLayoutAttr(),
                      getCherriesAttr(), getPlanes(*this));
}

LogicalResult DynamicQuantizeOp::verify() {
  if (failed(
          verifySemantics(cast<DestinationStyleOpInterface>(getOperation()))))
    return failure();
  auto x = cast<ShapedType>(getX().getType());
  if (x.getRank() != 2 || x.isDynamicDim(1) || x.getDimSize(1) == 0)
    return emitOpError("needs activations [M, K] with a static, positive K");
  int64_t group = static_cast<int64_t>(getGroup());
  if (group <= 0 || group > 128)
    return emitOpError() << "activation group is 1 to 128, got " << group;
  int64_t m = x.getDimSize(0), k = x.getDimSize(1);
  if (failed(verifyCountable(*this, 1, k)))
    return failure();
  int64_t groups = (k - 1) / group + 1;
  auto fits = [&](Value value, int64_t columns) {
    return cast<ShapedType>(value.getType()).getShape() ==
           ArrayRef<int64_t>{m, columns};
  };
  if (!fits(getCodesInit(), k) || !fits(getScalesInit(), groups) ||
      !fits(getSumsInit(), groups))
    return emitOpError() << "destinations must be codes [M, " << k
                         << "], scales and sums [M, " << groups << "]";
  return success();
}

Value MatmulOp::getActivations() {
  return getX() ? getX() : getActivationCodes();
}
int64_t MatmulOp::getM() { return dimOf(getInit(), 0); }
int64_t MatmulOp::getN() { return dimOf(getInit(), 1); }
int64_t MatmulOp::getK() { return dimOf(getActivations(), 1); }

LogicalResult MatmulOp::verify() {
  if (failed(
          verifySemantics(cast<DestinationStyleOpInterface>(getOperation()))))
    return failure();
  bool int8 = getMode().getMode() == ActivationMode::Int8;
  bool wantsX = !int8 || getCherriesAttr();
  if (wantsX != static_cast<bool>(getX()))
    return emitOpError(wantsX ? "needs f32 activations x"
                              : "reads no f32 activations in mode int8 "
                                "without cherries");
  if (int8 != static_cast<bool>(getActivationCodes()) ||
      int8 != static_cast<bool>(getActivationScales()) ||
      int8 != static_cast<bool>(getActivationSums()))
    return emitOpError(int8 ? "needs the results of cq.dynamic_quantize in "
                              "mode int8"
                            : "reads no quantized activations in mode f32");
  auto init = cast<ShapedType>(getInit().getType());
  auto is = [](Value value, int64_t m, int64_t columns) {
    auto type = cast<ShapedType>(value.getType());
    return type.getRank() == 2 && type.getDimSize(0) == m &&
           type.getDimSize(1) == columns;
  };
  if (init.getRank() != 2 ||
      cast<ShapedType>(getActivations().getType()).getRank() != 2)
    return emitOpError("needs activations [M, K] and init [M, N]");
  int64_t m = getM(), k = getK();
  if (ShapedType::isDynamic(k))
    return emitOpError("needs static N and K");
  if (getX() && !is(getX(), m, k))
    return emitOpError() << "x must be [" << m << ", " << k << "]";
  if (int8) {
    int64_t group = activationGroup(getScheme().getScheme());
    int64_t groups = (k - 1) / group + 1;
    if (!is(getActivationCodes(), m, k) ||
        !is(getActivationScales(), m, groups) ||
        !is(getActivationSums(), m, groups))
      return emitOpError() << "quantized activations must be codes [M, " << k
                           << "], scales and sums [M, " << groups
                           << "] (activation group " << group << ")";
  }
  return verifyPlanes(*this, getN(), k, getSchemeAttr(), getLayoutAttr(),
                      getCherriesAttr(), getPlanes(*this), /*knowsOrder=*/true);
}

namespace {
/// What the host keeps of observations.
struct Observations : SideEffects::Resource::Base<Observations> {
  StringRef getName() final { return "observations"; }
};
} // namespace

void ObserveOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get(), Observations::get());
  for (OpOperand &operand : getValuesMutable())
    if (isa<BaseMemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Read::get(), &operand,
                           SideEffects::DefaultResource::get());
}

LogicalResult ObserveOp::verify() {
  size_t expected = getStatistic() == ObservedStatistic::block ? 2 : 1;
  if (getValues().size() != expected)
    return emitOpError() << stringifyObservedStatistic(getStatistic())
                         << " takes " << expected << " operand"
                         << (expected == 1 ? "" : "s") << ", got "
                         << getValues().size();
  Type type = getValues().front().getType();
  if (cast<ShapedType>(type).getRank() == 0)
    return emitOpError("needs operands of rank 1 or more");
  if (expected == 2 && getValues().back().getType() != type)
    return emitOpError() << "operands differ in type: " << type << " and "
                         << getValues().back().getType();
  if (getStatistic() == ObservedStatistic::gram) {
    auto shaped = cast<ShapedType>(type);
    if (shaped.getRank() != 2 || shaped.getDimSize(0) != shaped.getDimSize(1))
      return emitOpError() << "gram needs a square matrix, got " << type;
  }
  return success();
}

LogicalResult LaunchOp::verify() { return success(); }

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto kernel =
      symbolTable.lookupNearestSymbolFrom<func::FuncOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError() << "kernel " << getKernelAttr()
                         << " is no func.func in reach";
  FunctionType type = kernel.getFunctionType();
  Type index = IndexType::get(getContext());
  size_t count = getArgs().size();
  if (type.getNumResults() != 0 || type.getNumInputs() != count + 2 ||
      type.getInput(count) != index || type.getInput(count + 1) != index)
    return emitOpError() << "kernel " << getKernelAttr() << " is " << type
                         << "; it must take the arguments and two index values "
                            "(begin, end) and return nothing";
  for (auto [position, argument] : llvm::enumerate(getArgs()))
    if (argument.getType() != type.getInput(position))
      return emitOpError() << "argument " << position << " is "
                           << argument.getType() << ", the kernel takes "
                           << type.getInput(position);
  return success();
}
