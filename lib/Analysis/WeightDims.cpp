//===- WeightDims.cpp - Following a weight's dimensions to their source ---===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/WeightDims.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;

FailureOr<WeightDims> cq::getOperandDims(const WeightConsumption &consumption) {
  WeightDims dims;
  for (int64_t loop : consumption.weightLoops) {
    dims.emplace_back();
    if (loop == WeightConsumption::kUnit)
      continue;
    int64_t size = consumption.loopSizes[loop];
    if (ShapedType::isDynamic(size))
      return failure();
    if (size != 1)
      dims.back().push_back({loop, 1, size});
  }
  return dims;
}

/// Deals the atoms of one dimension out to dimensions of the given sizes.
static bool splitDim(ArrayRef<LoopAtom> atoms, ArrayRef<int64_t> sizes,
                     MutableArrayRef<SmallVector<LoopAtom, 1>> out) {
  SmallVector<LoopAtom> rest(llvm::reverse(atoms));
  for (auto [size, dim] : llvm::zip_equal(sizes, out)) {
    int64_t left = size;
    while (left > 1) {
      if (rest.empty())
        return false;
      LoopAtom atom = rest.pop_back_val();
      if (left % atom.size == 0) {
        left /= atom.size;
      } else if (atom.size % left == 0) {
        int64_t inner = atom.size / left;
        rest.push_back({atom.loop, atom.stride, inner});
        atom = {atom.loop, atom.stride * inner, left};
        left = 1;
      } else {
        return false;
      }
      dim.push_back(atom);
    }
  }
  return rest.empty();
}

FailureOr<std::pair<unsigned, SmallVector<int64_t>>>
cq::matchDataMovement(linalg::GenericOp op) {
  if (op.getNumDpsInits() != 1 || op.getNumReductionLoops() != 0 ||
      !op.hasPureTensorSemantics())
    return failure();
  // The body yields an input, possibly widened.
  Value yielded = op.getBody()->getTerminator()->getOperand(0);
  if (auto ext = yielded.getDefiningOp<arith::ExtFOp>())
    yielded = ext.getIn();
  auto argument = dyn_cast<BlockArgument>(yielded);
  if (!argument || argument.getOwner() != op.getBody() ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return failure();
  AffineMap in = op.getIndexingMapsArray()[argument.getArgNumber()];
  AffineMap out = op.getIndexingMapsArray().back();
  if (!out.isPermutation())
    return failure();
  SmallVector<int64_t> resultDims;
  for (AffineExpr expr : in.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      resultDims.push_back(*out.getResultPosition(
          getAffineDimExpr(dim.getPosition(), op.getContext())));
    else if (auto constant = dyn_cast<AffineConstantExpr>(expr);
             constant && constant.getValue() == 0)
      resultDims.push_back(-1);
    else
      return failure();
  }
  return std::make_pair(argument.getArgNumber(), resultDims);
}

static bool isStatic(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape();
}

Value cq::stepTowardsSource(Value value, WeightDims &dims) {
  Operation *op = value.getDefiningOp();
  if (!op || !isStatic(value))
    return {};
  WeightDims next;
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    for (ArrayRef<int64_t> group : expand.getReassociationIndices()) {
      next.emplace_back();
      for (int64_t dim : group)
        llvm::append_range(next.back(), dims[dim]);
    }
    dims = std::move(next);
    return expand.getSrc();
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    if (!isStatic(collapse.getSrc()))
      return {};
    next.resize(collapse.getSrcType().getRank());
    for (auto [position, group] :
         llvm::enumerate(collapse.getReassociationIndices())) {
      SmallVector<int64_t> sizes;
      for (int64_t dim : group)
        sizes.push_back(collapse.getSrcType().getDimSize(dim));
      if (!splitDim(dims[position], sizes,
                    MutableArrayRef(next).slice(group.front(), group.size())))
        return {};
    }
    dims = std::move(next);
    return collapse.getSrc();
  }
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    next.resize(dims.size());
    for (auto [result, source] : llvm::enumerate(transpose.getPermutation()))
      next[source] = dims[result];
    dims = std::move(next);
    return transpose.getInput();
  }
  if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
    for (auto [dim, atoms] : llvm::enumerate(dims))
      if (!llvm::is_contained(broadcast.getDimensions(),
                              static_cast<int64_t>(dim)))
        next.push_back(atoms);
    dims = std::move(next);
    return broadcast.getInput();
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    auto movement = matchDataMovement(generic);
    if (failed(movement))
      return {};
    Value input = generic.getDpsInputs()[movement->first];
    // A broadcast inside a dimension (size 1 stretched) has a map with a zero.
    for (int64_t dim : movement->second)
      next.push_back(dim < 0 ? SmallVector<LoopAtom, 1>{} : dims[dim]);
    dims = std::move(next);
    return input;
  }
  if (isa<tensor::CastOp, arith::ExtFOp>(op)) {
    Value source = op->getOperand(0);
    return isStatic(source) ? source : Value();
  }
  return {};
}

FailureOr<WeightForm> cq::getWeightForm(const WeightConsumption &consumption,
                                        const WeightDims &dims,
                                        std::string &why) {
  enum Role { Batch, N, K };
  auto roleOf = [&](int64_t loop) {
    if (consumption.isReduction[loop])
      return K;
    return llvm::is_contained(consumption.activationLoops, loop) ? Batch : N;
  };
  // The source's elements in order, neighbouring atoms of a loop joined.
  SmallVector<LoopAtom> atoms;
  for (const auto &dim : dims)
    for (const LoopAtom &atom : dim) {
      if (!atoms.empty() && atoms.back().loop == atom.loop &&
          atoms.back().stride == atom.stride * atom.size) {
        atoms.back().stride = atom.stride;
        atoms.back().size *= atom.size;
      } else {
        atoms.push_back(atom);
      }
    }
  WeightForm form;
  form.n = form.k = 1;
  SmallVector<Role> order;
  for (const LoopAtom &atom : atoms) {
    if (atom.stride != 1 || atom.size != consumption.loopSizes[atom.loop]) {
      why = "reshapes and transposes cut one of its axes in pieces";
      return failure();
    }
    Role role = roleOf(atom.loop);
    if (order.empty() || order.back() != role)
      order.push_back(role);
    (role == N   ? form.nLoops
     : role == K ? form.kLoops
                 : form.batchLoops)
        .push_back(atom.loop);
    (role == N ? form.n : role == K ? form.k : form.batch) *= atom.size;
  }
  // A loop of more than one step over the weight alone, or summed over, must be
  // an axis of the source; else the source is repeated along it.
  for (int64_t loop : consumption.weightLoops)
    if (loop != WeightConsumption::kUnit && consumption.loopSizes[loop] != 1 &&
        roleOf(loop) != Batch && !llvm::is_contained(form.nLoops, loop) &&
        !llvm::is_contained(form.kLoops, loop)) {
      why = "it is repeated along its output or input features";
      return failure();
    }
  if (!order.empty() && order.front() == Batch)
    order.erase(order.begin());
  bool matrix = order.size() <= 2 && !llvm::is_contained(order, Batch);
  if (!matrix || form.kLoops.empty()) {
    why = "its axes are not a matrix of output by input features";
    return failure();
  }
  form.transposed = order.size() == 2 && order.front() == K;
  return form;
}
