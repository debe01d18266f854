//===- Attention.cpp - Which loops are causal attention -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Attention.h"
#include "cq/Transforms/RunBehind.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

/// Operations of a payload in front of its yield, where they are of these types
/// in this order.
template <typename... Ops> static bool consistsOf(LinalgOp op) {
  Operation *inner = &op.getBlock()->front();
  bool same = true;
  (
      [&] {
        same &= isa<Ops>(inner);
        inner = same ? inner->getNextNode() : inner;
      }(),
      ...);
  return same && isa<YieldOp>(inner);
}

static bool hasMaps(LinalgOp op, ArrayRef<ArrayRef<unsigned>> dims) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  if (maps.size() != dims.size())
    return false;
  for (auto [map, wanted] : llvm::zip(maps, dims)) {
    if (map.getNumResults() != wanted.size())
      return false;
    for (auto [result, dim] : llvm::zip(map.getResults(), wanted)) {
      auto expression = dyn_cast<AffineDimExpr>(result);
      if (!expression || expression.getPosition() != dim)
        return false;
    }
  }
  return true;
}

static bool isFilled(LinalgOp op, double with) {
  auto fill = dyn_cast_or_null<FillOp>(op.getOperation());
  FloatAttr value;
  return fill && matchPattern(fill.getInputs()[0], m_Constant(&value)) &&
         value.getValueAsDouble() == with;
}

/// The uses of a buffer of its own, but its deallocation: linalg ops in their
/// order, expansions of its shape as the one op that uses them. Empty where
/// there is more to it.
static SmallVector<LinalgOp> usersOf(Value buffer) {
  SmallVector<LinalgOp> users;
  Operation *alloc = buffer.getDefiningOp<memref::AllocOp>();
  if (!alloc)
    return {};
  for (Operation *user : buffer.getUsers()) {
    if (isa<memref::DeallocOp>(user))
      continue;
    if (isa<memref::ExpandShapeOp>(user)) {
      if (!user->hasOneUse())
        return {};
      user = *user->user_begin();
    }
    auto op = dyn_cast<LinalgOp>(user);
    if (!op || op->getBlock() != alloc->getBlock())
      return {};
    if (!llvm::is_contained(users, op))
      users.push_back(op);
  }
  llvm::sort(users,
             [](LinalgOp a, LinalgOp b) { return a->isBeforeInBlock(b); });
  return users;
}

/// What a mask adds to a token's number for the last position it sees, or null
/// for nothing; failure where it hides other positions than those behind.
static FailureOr<Value> matchMask(GenericOp mask) {
  if (mask.getNumDpsInputs() != 0 || mask.getNumDpsInits() != 1 ||
      mask.getNumLoops() != 4 || mask.getNumParallelLoops() != 4 ||
      !hasMaps(mask, {{0, 1, 2, 3}}))
    return failure();
  Block &body = *mask.getBlock();
  auto select =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::SelectOp>();
  FloatAttr hidden;
  if (!select || select.getTrueValue() != body.getArgument(0) ||
      !matchPattern(select.getFalseValue(), m_Constant(&hidden)) ||
      !hidden.getValue().isInfinity() || !hidden.getValue().isNegative())
    return failure();
  auto compare = select.getCondition().getDefiningOp<arith::CmpIOp>();
  if (!compare || compare.getPredicate() != arith::CmpIPredicate::ule)
    return failure();
  auto isIndex = [](Value value, uint64_t dim) {
    auto index = value.getDefiningOp<IndexOp>();
    return index && index.getDim() == dim;
  };
  if (!isIndex(compare.getLhs(), 3))
    return failure();
  if (isIndex(compare.getRhs(), 2))
    return Value();
  auto sum = compare.getRhs().getDefiningOp<arith::AddIOp>();
  if (!sum)
    return failure();
  for (bool swapped : {false, true}) {
    Value token = swapped ? sum.getRhs() : sum.getLhs();
    Value first = swapped ? sum.getLhs() : sum.getRhs();
    if (isIndex(token, 2) && first.getParentBlock() != &body)
      return first;
  }
  return failure();
}

static bool isProduct(LinalgOp op) {
  return isaContractionOpInterface(op) && op.getNumLoops() == 4 &&
         op.getNumReductionLoops() == 1;
}

std::optional<Attention> mlir::cq::matchAttention(GenericOp mask) {
  FailureOr<Value> position = matchMask(mask);
  if (failed(position))
    return std::nullopt;
  auto expand = mask.getDpsInits()[0].getDefiningOp<memref::ExpandShapeOp>();
  if (!expand || expand.getReassociationIndices() !=
                     SmallVector<ReassociationIndices>{{0}, {1, 2}, {3}})
    return std::nullopt;

  // Scores, maxima, sums and means, and who uses each.
  Value scores = expand.getSrc();
  SmallVector<LinalgOp> all = usersOf(scores);
  if (all.size() != 7 || !isFilled(all[0], 0) || all[2] != mask)
    return std::nullopt;
  LinalgOp product = all[1], largest = all[3], weigh = all[4], add = all[5],
           mix = all[6];
  if (!isProduct(product) || !isProduct(mix) ||
      !hasMaps(product, {{0, 1, 3}, {2, 0, 3}, {0, 1, 2}}) ||
      !hasMaps(mix, {{0, 1, 3}, {3, 0, 2}, {0, 1, 2}}) ||
      product.getDpsInits()[0] != scores || mix.getDpsInputs()[0] != scores ||
      !hasMaps(largest, {{0, 1, 2}, {0, 1}}) ||
      !hasMaps(add, {{0, 1, 2}, {0, 1}}) ||
      !hasMaps(weigh, {{0, 1}, {0, 1, 2}}) ||
      !consistsOf<arith::MaxNumFOp>(largest) ||
      !consistsOf<arith::AddFOp>(add) ||
      !consistsOf<arith::SubFOp, math::ExpOp>(weigh) ||
      largest.getDpsInputs()[0] != scores || add.getDpsInputs()[0] != scores ||
      weigh.getDpsInits()[0] != scores ||
      weigh.getDpsInputs()[0] != largest.getDpsInits()[0] ||
      largest.getNumReductionLoops() != 1 || add.getNumReductionLoops() != 1)
    return std::nullopt;
  auto subtract = cast<arith::SubFOp>(weigh.getBlock()->front());
  if (subtract.getLhs() != weigh.getBlock()->getArgument(1) ||
      subtract.getRhs() != weigh.getBlock()->getArgument(0))
    return std::nullopt;
  SmallVector<LinalgOp> ofLargest = usersOf(largest.getDpsInits()[0]),
                        ofSums = usersOf(add.getDpsInits()[0]),
                        ofMeans = usersOf(mix.getDpsInits()[0]);
  if (ofLargest.size() != 3 || ofSums.size() != 3 || ofMeans.size() != 3 ||
      !isFilled(ofLargest[0], -std::numeric_limits<double>::infinity()) ||
      !isFilled(ofSums[0], 0) || !isFilled(ofMeans[0], 0))
    return std::nullopt;
  LinalgOp divide = ofMeans[2];
  if (divide != ofSums[2] || !consistsOf<arith::DivFOp>(divide) ||
      divide.getNumLoops() != divide.getNumParallelLoops() ||
      !hasMaps(divide, {{1, 2, 0, 3}, {1, 2, 0}, {0, 1, 2, 3}}))
    return std::nullopt;
  auto quotient = cast<arith::DivFOp>(divide.getBlock()->front());
  if (quotient.getLhs() != divide.getBlock()->getArgument(0) ||
      quotient.getRhs() != divide.getBlock()->getArgument(1))
    return std::nullopt;

  Attention found;
  found.queries = product.getDpsInputs()[0];
  found.keys = product.getDpsInputs()[1];
  found.values = mix.getDpsInputs()[1];
  found.position = *position;
  found.result = divide.getDpsInits()[0];
  auto resultType = cast<MemRefType>(found.result.getType());
  if (!found.result.getDefiningOp<memref::AllocOp>() ||
      !resultType.hasStaticShape())
    return std::nullopt;
  for (Value operand : {found.queries, found.keys, found.values}) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.getElementType().isF32() || type.getRank() != 3 ||
        !type.isLastDimUnitStride())
      return std::nullopt;
  }
  ArrayRef<int64_t> shape = resultType.getShape();
  found.shape = {shape[1], shape[2], shape[0], shape[3]};
  if (cast<MemRefType>(expand.getType()).getDimSize(2) != shape[0])
    return std::nullopt;

  // Between first and last only work on these buffers.
  found.ops = {all[0],    product, mask,       ofLargest[0], largest, weigh,
               ofSums[0], add,     ofMeans[0], mix,          divide};
  llvm::sort(found.ops,
             [](LinalgOp a, LinalgOp b) { return a->isBeforeInBlock(b); });
  if (found.ops.back() != divide)
    return std::nullopt;
  for (Operation *op = found.ops.front(); op != divide; op = op->getNextNode())
    if (!llvm::is_contained(found.ops, op) && !mayBePassed(op))
      return std::nullopt;
  return found;
}
