//===- ScatterAdd.cpp - Adjoints that no generic can write --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GenericDerivative.h"
#include "Reverse.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

static SmallVector<Value> getSubscripts(OpBuilder &b, Location loc,
                                        AffineMap map, ValueRange loops) {
  SmallVector<Value> subscripts;
  for (AffineExpr result : map.getResults())
    subscripts.push_back(affine::makeComposedAffineApply(
        b, loc, AffineMap::get(map.getNumDims(), 0, result),
        llvm::to_vector_of<OpFoldResult>(loops)));
  return subscripts;
}

/// Loops that carry the cotangent and add to one element at each point: where
/// the body gathers, and where an operand's map is no projected permutation (a
/// window that slides).
LogicalResult GenericDerivative::differentiateByLoops(const Target &target) {
  // What of the body is pulled back: the operand's scalar, or everything that
  // is extracted from the tensor.
  SmallVector<Value> wanted;
  SmallVector<tensor::ExtractOp> extracts;
  if (target.body != target.operand) {
    wanted.push_back(target.body);
  } else {
    for (Operation &inner : op.getBlock()->without_terminator()) {
      if (!llvm::is_contained(inner.getOperands(), target.operand))
        continue;
      auto extract = dyn_cast<tensor::ExtractOp>(inner);
      if (!extract)
        return inner.emitError()
               << "'" << inner.getName()
               << "' inside of a linalg.generic has no differentiation rule";
      extracts.push_back(extract);
      wanted.push_back(extract.getResult());
    }
  }

  SmallVector<Value> lower, upper, step;
  SmallVector<Range> ranges =
      cast<LinalgOp>(op.getOperation()).createLoopRanges(b, loc);
  for (Range range : ranges) {
    lower.push_back(getValueOrCreateConstantIndexOp(b, loc, range.offset));
    upper.push_back(getValueOrCreateConstantIndexOp(b, loc, range.size));
    step.push_back(getValueOrCreateConstantIndexOp(b, loc, range.stride));
  }
  Value sum = adjoints.getOrZero(b, target.operand);
  bool squares = adjoints.wantsSquares(target.operand);
  LogicalResult result = success();
  auto addHere = [&](OpBuilder &b, Location loc, ValueRange loops,
                     ValueRange carried) -> SmallVector<Value> {
    SmallVector<Value> scalars;
    for (const Reader &reader : readers) {
      if (!isa<RankedTensorType>(reader.source.getType())) {
        scalars.push_back(reader.source);
        continue;
      }
      scalars.push_back(tensor::ExtractOp::create(
          b, loc, reader.source, getSubscripts(b, loc, reader.map, loops)));
    }
    IRMapping mapping;
    SmallVector<Value> cotangents;
    result = pullBack(b, scalars, loops, wanted, mapping, cotangents);
    if (failed(result))
      return {carried[0]};
    Value total = carried[0];
    for (auto [i, d] : llvm::enumerate(cotangents)) {
      if (!d)
        continue;
      if (squares)
        d = arith::MulFOp::create(b, loc, d, d);
      SmallVector<Value> at;
      if (extracts.empty())
        at = getSubscripts(b, loc, target.map, loops);
      else
        for (Value index : extracts[i].getIndices())
          at.push_back(mapping.lookupOrDefault(index));
      Value before = tensor::ExtractOp::create(b, loc, total, at);
      Value after = arith::AddFOp::create(b, loc, before, d);
      total = tensor::InsertOp::create(b, loc, after, total, at);
    }
    if (loops.empty()) // then this is the function's own block
      return {total};
    SmallVector<Operation *> inner;
    for (Operation &op : *b.getInsertionBlock())
      if (&op != total.getDefiningOp())
        inner.push_back(&op);
    eraseDead(inner);
    return {total};
  };
  scf::LoopNest nest =
      scf::buildLoopNest(b, loc, lower, upper, step, sum, addHere);
  if (failed(result))
    return failure();
  adjoints.replace(target.operand, nest.results[0]);
  return success();
}
