//===- PlaneBuilder.cpp - Planes where a weight was -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlaneBuilder.h"
#include "TensorReshaping.h"
#include "cq/Analysis/WeightTracing.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;

PlannedAttributes::PlannedAttributes(MLIRContext *context,
                                     const PlanEntry &entry)
    : scheme(SchemeAttr::get(context, entry.scheme)),
      layout(LayoutAttr::get(context, entry.codeLayout())),
      cherries(entry.cherries.form == CherryForm::None
                   ? CherriesAttr()
                   : CherriesAttr::get(context, entry.cherries)),
      quantizer(QuantizerAttr::get(context, entry.quantizer)),
      criterion(CriterionAttr::get(context, entry.criterion)) {}

PlaneBuilder::PlaneBuilder(Operation *module) {
  module->walk([&](func::CallOp call) {
    if (auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
            call, call.getCalleeAttr()))
      calls[callee].push_back(call);
  });
}

WeightForm PlaneBuilder::getForm(Value value, WeightDims dims,
                                 const WeightConsumption &consumption) const {
  WeightLeaf leaf = WeightTracing::traceLocally(value, std::move(dims));
  if (auto argument = dyn_cast<BlockArgument>(leaf.root)) {
    // All callers agree, or tracing would have found an obstacle.
    Operation *function = argument.getOwner()->getParentOp();
    Operation *call = calls.find(function)->second.front();
    return getForm(call->getOperand(argument.getArgNumber()), leaf.dims,
                   consumption);
  }
  std::string why;
  FailureOr<WeightForm> form = getWeightForm(consumption, leaf.dims, why);
  assert(succeeded(form) && "tracing admitted this weight");
  return *form;
}

ArrayRef<Planes> PlaneBuilder::getPlanes(Value value, WeightDims dims,
                                         const WeightConsumption &consumption,
                                         ArrayRef<const PlanEntry *> entries) {
  WeightLeaf leaf = WeightTracing::traceLocally(value, std::move(dims));
  auto found = built.find(leaf.root);
  if (found != built.end())
    return found->second;
  SmallVector<Planes, 1> planes =
      build(leaf.root, leaf.dims, consumption, entries);
  return built.insert({leaf.root, std::move(planes)}).first->second;
}

SmallVector<Planes, 1>
PlaneBuilder::build(Value root, const WeightDims &dims,
                    const WeightConsumption &consumption,
                    ArrayRef<const PlanEntry *> entries) {
  if (auto argument = dyn_cast<BlockArgument>(root))
    return buildArguments(argument, dims, consumption, entries);
  return buildChain(root, getForm(root, dims, consumption), entries);
}

/// The source as its matrices: [batch,] rows, columns.
static Value createStack(OpBuilder &b, Location loc, Value root,
                         const WeightForm &form) {
  SmallVector<int64_t> shape{form.transposed ? form.k : form.n,
                             form.transposed ? form.n : form.k};
  if (form.batch != 1)
    shape.insert(shape.begin(), form.batch);
  return createReshape(b, loc, root, shape);
}

static Value createOriented(OpBuilder &b, Location loc, Value matrix,
                            const WeightForm &form) {
  if (form.transposed)
    matrix = createTranspose(b, loc, matrix, {1, 0});
  return createFloatCast(b, loc, matrix, b.getF32Type());
}

Value cq::createMatrix(OpBuilder &b, Location loc, Value root,
                       const WeightForm &form) {
  return createOriented(b, loc, createStack(b, loc, root, form), form);
}

QuantizedMatrix cq::createPlanes(OpBuilder &b, Location loc, Value matrix,
                                 const PlanEntry &entry) {
  MLIRContext *context = b.getContext();
  PlannedAttributes attrs(context, entry);
  PlaneTypes types = cantFail(PlaneTypes::get(
      context, entry.n, entry.k, attrs.scheme, attrs.layout, attrs.cherries));
  int64_t groups = entry.scheme.numGroups(entry.k);
  QuantizedMatrix result;
  result.codesType = RankedTensorType::get({entry.n, entry.k}, b.getI8Type());
  result.scalesType =
      RankedTensorType::get({entry.n, groups}, types.scales.getElementType());
  if (types.zeros)
    result.zerosType = RankedTensorType::get({entry.n, groups}, b.getI8Type());
  Planes &planes = result.packed;
  LayoutAttr widths; // said where rows differ
  if (entry.wide) {
    widths = attrs.layout;
    planes.rowOrder = RankRowsOp::create(b, loc, types.rowOrder, matrix,
                                         attrs.scheme, attrs.layout);
    matrix = PermuteRowsOp::create(b, loc, matrix.getType(), matrix,
                                   planes.rowOrder);
  }
  // Cherries before scales: they take no part in the ranges of their groups.
  if (attrs.cherries)
    planes.cherryColumns = ExtractCherriesOp::create(
        b, loc, types.cherryColumns, matrix, attrs.scheme, attrs.cherries,
        attrs.criterion, widths);
  auto quantize = QuantizeOp::create(
      b, loc, result.codesType, result.scalesType, result.zerosType,
      types.cherryDeltas, matrix, planes.cherryColumns, attrs.scheme,
      attrs.quantizer, attrs.cherries, widths);
  planes.cherryDeltas = quantize.getCherryDeltas();
  auto pack = PackOp::create(b, loc, types.codes, types.scales, types.zeros,
                             quantize.getCodes(), quantize.getScales(),
                             quantize.getZeros(), attrs.scheme, attrs.layout);
  planes.codes = pack.getPackedCodes();
  planes.scales = pack.getPackedScales();
  planes.zeros = pack.getPackedZeros();
  return result;
}

SmallVector<Planes, 1>
PlaneBuilder::buildChain(Value root, const WeightForm &form,
                         ArrayRef<const PlanEntry *> entries) {
  OpBuilder b(root.getContext());
  b.setInsertionPointAfterValue(root);
  Location loc = root.getLoc();
  Value stack = createStack(b, loc, root, form);
  SmallVector<Planes, 1> result;
  for (int64_t e = 0; e < form.batch; ++e) {
    Value matrix = stack;
    if (form.batch != 1) {
      ArrayRef<int64_t> shape = cast<ShapedType>(stack.getType()).getShape();
      SmallVector<OpFoldResult> offsets{b.getIndexAttr(e), b.getIndexAttr(0),
                                        b.getIndexAttr(0)};
      SmallVector<OpFoldResult> sizes{b.getIndexAttr(1),
                                      b.getIndexAttr(shape[1]),
                                      b.getIndexAttr(shape[2])};
      SmallVector<OpFoldResult> strides(3, b.getIndexAttr(1));
      auto type = RankedTensorType::get(
          shape.drop_front(),
          cast<ShapedType>(stack.getType()).getElementType());
      matrix = tensor::ExtractSliceOp::create(b, loc, type, stack, offsets,
                                              sizes, strides);
    }
    matrix = createOriented(b, loc, matrix, form);
    result.push_back(createPlanes(b, loc, matrix, *entries[e]).packed);
  }
  return result;
}

static SmallVector<Value *> present(Planes &planes) {
  SmallVector<Value *> all{&planes.codes,        &planes.scales,
                           &planes.zeros,        &planes.cherryColumns,
                           &planes.cherryDeltas, &planes.rowOrder};
  llvm::erase_if(all, [](Value *value) { return !*value; });
  return all;
}

SmallVector<Planes, 1>
PlaneBuilder::buildArguments(BlockArgument argument, const WeightDims &dims,
                             const WeightConsumption &consumption,
                             ArrayRef<const PlanEntry *> entries) {
  auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
  SmallVector<Planes, 1> result;
  for (Operation *call : calls[function]) {
    ArrayRef<Planes> supplied = getPlanes(
        call->getOperand(argument.getArgNumber()), dims, consumption, entries);
    SmallVector<Planes, 1> copy(supplied);
    SmallVector<Value> operands;
    for (Planes &planes : copy)
      for (Value *plane : present(planes))
        operands.push_back(*plane);
    unsigned position = argument.getArgNumber() + 1;
    if (result.empty()) {
      // The first caller says of which types the planes are; all are equal,
      // since the plan has one choice for all weights that arrive here.
      for (auto [offset, operand] : llvm::enumerate(operands))
        (void)function.insertArgument(position + offset, operand.getType(), {},
                                      argument.getLoc());
      unsigned next = position;
      for (Planes planes : copy) {
        for (Value *plane : present(planes))
          *plane = function.getArgument(next++);
        result.push_back(planes);
      }
    }
    call->insertOperands(position, operands);
  }
  return result;
}

void PlaneBuilder::eraseDeadWeights() {
  // Arguments first (callees may pass weights on), then what fed them.
  bool changed = true;
  while (changed) {
    changed = false;
    for (auto &[root, planes] : llvm::reverse(built)) {
      auto argument = dyn_cast_if_present<BlockArgument>(root);
      if (!argument || !argument.use_empty())
        continue;
      auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
      unsigned position = argument.getArgNumber();
      for (Operation *call : calls[function])
        call->eraseOperand(position);
      (void)function.eraseArgument(position);
      root = Value();
      changed = true;
    }
  }
}
