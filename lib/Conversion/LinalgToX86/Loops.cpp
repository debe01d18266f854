//===- Loops.cpp - Linalg on buffers to loops -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

/// Subscripts of `map` at the loop variables `ivs`.
static SmallVector<Value> getSubscripts(OpBuilder &b, Location loc,
                                        AffineMap map, ValueRange ivs) {
  SmallVector<Value> subscripts;
  for (AffineExpr result : map.getResults())
    subscripts.push_back(affine::makeComposedAffineApply(
        b, loc, AffineMap::get(map.getNumDims(), 0, result),
        llvm::to_vector_of<OpFoldResult>(ivs)));
  return subscripts;
}

static Value loadOperand(OpBuilder &b, Location loc, LinalgOp op,
                         OpOperand &operand, ValueRange ivs) {
  if (!isa<MemRefType>(operand.get().getType()))
    return operand.get();
  return memref::LoadOp::create(
      b, loc, operand.get(),
      getSubscripts(b, loc, op.getMatchingIndexingMap(&operand), ivs));
}

/// Clones the payload with `arguments` for its block arguments; returns what it
/// yields.
static SmallVector<Value> clonePayload(OpBuilder &b, LinalgOp op,
                                       ValueRange arguments, ValueRange ivs,
                                       bool reassociate) {
  Block &payload = *op.getBlock();
  IRMapping mapping;
  mapping.map(payload.getArguments(), arguments);
  unsigned firstInit = op.getNumDpsInputs();
  for (Operation &inner : payload.without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(inner)) {
      mapping.map(index.getResult(), ivs[index.getDim()]);
      continue;
    }
    Operation *clone = b.clone(inner, mapping);
    bool combines = llvm::any_of(inner.getOperands(), [&](Value v) {
      auto argument = dyn_cast<BlockArgument>(v);
      return argument && argument.getOwner() == &payload &&
             argument.getArgNumber() >= firstInit;
    });
    if (auto math = dyn_cast<arith::ArithFastMathInterface>(clone);
        math && reassociate && combines)
      clone->setAttr(math.getFastMathAttrName(),
                     arith::FastMathFlagsAttr::get(
                         b.getContext(), arith::FastMathFlags::reassoc));
  }
  return llvm::map_to_vector(
      payload.getTerminator()->getOperands(),
      [&](Value v) { return mapping.lookupOrDefault(v); });
}

/// Loops with the reductions innermost, carrying the results.
static LogicalResult lowerReduction(RewriterBase &b, LinalgOp op) {
  Location loc = op.getLoc();
  SmallVector<Range> ranges = op.createLoopRanges(b, loc);
  SmallVector<unsigned> parallel, reduction;
  op.getParallelDims(parallel);
  op.getReductionDims(reduction);
  SmallVector<Value> ivs(ranges.size());
  auto bounds = [&](ArrayRef<unsigned> dims, SmallVector<Value> &lb,
                    SmallVector<Value> &ub, SmallVector<Value> &step) {
    for (unsigned d : dims) {
      lb.push_back(getValueOrCreateConstantIndexOp(b, loc, ranges[d].offset));
      ub.push_back(getValueOrCreateConstantIndexOp(b, loc, ranges[d].size));
      step.push_back(getValueOrCreateConstantIndexOp(b, loc, ranges[d].stride));
    }
  };
  SmallVector<Value> plb, pub, pstep, rlb, rub, rstep;
  bounds(parallel, plb, pub, pstep);
  bounds(reduction, rlb, rub, rstep);

  scf::buildLoopNest(
      b, loc, plb, pub, pstep,
      [&](OpBuilder &b, Location loc, ValueRange outer) {
        for (auto [d, iv] : llvm::zip(parallel, outer))
          ivs[d] = iv;
        // Results do not depend on reduction loops; any value will do there.
        SmallVector<Value> resultIvs(ivs);
        for (unsigned d : reduction)
          resultIvs[d] = rlb.front();
        SmallVector<Value> inits;
        for (OpOperand &init : op.getDpsInitsMutable())
          inits.push_back(loadOperand(b, loc, op, init, resultIvs));
        scf::LoopNest nest = scf::buildLoopNest(
            b, loc, rlb, rub, rstep, inits,
            [&](OpBuilder &b, Location loc, ValueRange inner, ValueRange sums) {
              for (auto [d, iv] : llvm::zip(reduction, inner))
                ivs[d] = iv;
              SmallVector<Value> arguments;
              for (OpOperand *input : op.getDpsInputOperands())
                arguments.push_back(loadOperand(b, loc, op, *input, ivs));
              llvm::append_range(arguments, sums);
              return clonePayload(b, op, arguments, ivs, /*reassociate=*/true);
            });
        for (auto [value, init] :
             llvm::zip(nest.results, op.getDpsInitsMutable()))
          memref::StoreOp::create(
              b, loc, value, init.get(),
              getSubscripts(b, loc, op.getMatchingIndexingMap(&init),
                            resultIvs));
      });
  b.eraseOp(op);
  return success();
}

/// The one op of a payload that combines the result so far with the input and
/// that LLVM's loops leave scalar for the sake of NaN; null: another payload.
static arith::MaxNumFOp getMaximum(LinalgOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      op.getNumReductionLoops() != 1)
    return nullptr;
  Block &payload = *op.getBlock();
  auto maximum = dyn_cast<arith::MaxNumFOp>(payload.front());
  bool combines =
      maximum && maximum.getType().isF32() &&
      payload.getTerminator()->getOperand(0) == maximum &&
      maximum->getNextNode() == payload.getTerminator() &&
      llvm::is_contained(maximum->getOperands(),
                         Value(payload.getArgument(0))) &&
      llvm::is_contained(maximum->getOperands(), Value(payload.getArgument(1)));
  return combines ? maximum : nullptr;
}

/// Maxima along contiguous rows, a few vectors at a time: softmax of one token
/// is work of one thread while the others wait. Order does not matter to
/// maxnum.
static LogicalResult lowerMaximum(RewriterBase &b, LinalgOp op,
                                  unsigned lanes) {
  arith::MaxNumFOp maximum = getMaximum(op);
  if (!maximum)
    return failure();
  OpOperand &in = *op.getDpsInputOperand(0), &out = *op.getDpsInitOperand(0);
  auto type = dyn_cast<MemRefType>(in.get().getType());
  unsigned inner = op.getNumLoops() - 1;
  AffineMap inMap = op.getMatchingIndexingMap(&in);
  if (!type || !isa<MemRefType>(out.get().getType()) ||
      !inMap.isProjectedPermutation() ||
      !op.getMatchingIndexingMap(&out).isProjectedPermutation() ||
      inMap.getNumResults() != op.getNumLoops() ||
      inMap.getDimPosition(inner) != inner || !type.isLastDimUnitStride())
    return failure();

  Location loc = op.getLoc();
  SmallVector<Range> ranges = op.createLoopRanges(b, loc);
  auto toValue = [&](OpFoldResult value) {
    return getValueOrCreateConstantIndexOp(b, loc, value);
  };
  SmallVector<Value> lower, upper, step;
  for (unsigned d = 0; d < inner; ++d) {
    lower.push_back(toValue(ranges[d].offset));
    upper.push_back(toValue(ranges[d].size));
    step.push_back(toValue(ranges[d].stride));
  }
  auto vector =
      VectorType::get({4 * static_cast<int64_t>(lanes)}, b.getF32Type());
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value block = arith::ConstantIndexOp::create(b, loc, 4 * lanes);
  Value length = toValue(ranges[inner].size);
  Value rest = arith::RemUIOp::create(b, loc, length, block);
  Value whole = arith::SubIOp::create(b, loc, length, rest);
  Value mask =
      vector::CreateMaskOp::create(b, loc, vector.clone(b.getI1Type()), rest);
  scf::buildLoopNest(
      b, loc, lower, upper, step,
      [&](OpBuilder &b, Location loc, ValueRange outer) {
        SmallVector<Value> ivs(outer);
        ivs.push_back(zero);
        auto at = [&](OpOperand &operand) {
          return getSubscripts(b, loc, op.getMatchingIndexingMap(&operand),
                               ivs);
        };
        SmallVector<Value> target = at(out);
        Value begun = memref::LoadOp::create(b, loc, out.get(), target);
        // Once or often: the beginning changes no maximum.
        Value begunLanes = vector::BroadcastOp::create(b, loc, vector, begun);
        auto loop = scf::ForOp::create(
            b, loc, zero, whole, block, begunLanes,
            [&](OpBuilder &b, Location loc, Value iv, ValueRange most) {
              ivs.back() = iv;
              Value x =
                  vector::LoadOp::create(b, loc, vector, in.get(), at(in));
              Value next = arith::MaxNumFOp::create(b, loc, most.front(), x);
              scf::YieldOp::create(b, loc, next);
            });
        ivs.back() = whole;
        Value x = vector::MaskedLoadOp::create(b, loc, vector, in.get(), at(in),
                                               mask, begunLanes);
        Value most = arith::MaxNumFOp::create(b, loc, loop.getResult(0), x);
        Value result = vector::ReductionOp::create(
            b, loc, vector::CombiningKind::MAXNUMF, most);
        memref::StoreOp::create(b, loc, result, out.get(), target);
      });
  b.eraseOp(op);
  return success();
}

LogicalResult mlir::cq::lowerToLoops(RewriterBase &b, LinalgOp op,
                                     unsigned lanes) {
  b.setInsertionPoint(op);
  if (succeeded(lowerMaximum(b, op, lanes)))
    return success();
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  bool memrefInits = llvm::all_of(
      op.getDpsInits(), [](Value v) { return isa<MemRefType>(v.getType()); });
  if (!iterators.empty() &&
      iterators.back() == utils::IteratorType::reduction && memrefInits)
    return lowerReduction(b, op);
  if (failed(linalgOpToLoops(b, op)))
    return failure();
  b.eraseOp(op);
  return success();
}
