//===- GenericDerivative.cpp - Adjoint of a linalg.generic --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GenericDerivative.h"
#include "Reverse.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

unsigned GenericDerivative::addReader(Value source, AffineMap map) {
  readers.push_back({source, map});
  return readers.size() - 1;
}

LogicalResult GenericDerivative::run() {
  for (OpOperand &operand : op->getOpOperands())
    addReader(operand.get(), op.getMatchingIndexingMap(&operand));
  for (auto [number, result] : llvm::enumerate(results))
    if (Value cotangent = adjoints.get(result))
      if (failed(seedResult(number, cotangent)))
        return failure();
  // A result is gone through once; its cotangent is not needed any more.
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    bool sums = op.isDpsInit(&operand) && op.getNumReductionLoops() > 0;
    if (sums || argument.use_empty() || !adjoints.isActive(operand.get()))
      continue;
    if (failed(differentiate(
            {operand.get(), argument, op.getMatchingIndexingMap(&operand)})))
      return failure();
  }
  // Values of outside: scalars are operands without loops, tensors are gathered
  // from.
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  AffineMap everywhere = AffineMap::get(op.getNumLoops(), 0, op.getContext());
  for (Value value : captured) {
    if (!adjoints.isActive(value))
      continue;
    Target target{value, value, everywhere};
    bool isTensor = isa<RankedTensorType>(value.getType());
    if (failed(isTensor ? differentiateByLoops(target) : differentiate(target)))
      return failure();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Where the way back starts
//===----------------------------------------------------------------------===//

/// What `combiner` adds to, subtracts from, or compares with the accumulator:
/// one value, or the factors of a fused multiply-add. Empty when it is no sum
/// and no extremum.
static SmallVector<Value> getElements(Operation *combiner, Value accumulator,
                                      bool &isSum) {
  isSum = isa<arith::AddFOp, arith::SubFOp, math::FmaOp>(combiner);
  if (auto fma = dyn_cast<math::FmaOp>(combiner)) {
    if (fma.getC() != accumulator)
      return {};
    return {fma.getA(), fma.getB()};
  }
  if (auto subtraction = dyn_cast<arith::SubFOp>(combiner)) {
    if (subtraction.getLhs() != accumulator)
      return {};
    return {subtraction.getRhs()};
  }
  if (!isSum && !isa<arith::MaximumFOp, arith::MaxNumFOp, arith::MinimumFOp,
                     arith::MinNumFOp>(combiner))
    return {};
  Value lhs = combiner->getOperand(0), rhs = combiner->getOperand(1);
  if (lhs == accumulator)
    return {rhs};
  if (rhs == accumulator)
    return {lhs};
  return {};
}

/// Whether `value` is computed from a destination of `op` inside of its body.
static bool readsDestination(Value value, GenericOp op) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getOwner() == op.getBlock() &&
           argument.getArgNumber() >= op.getNumDpsInputs();
  Operation *definition = value.getDefiningOp();
  return definition->getBlock() == op.getBlock() &&
         llvm::any_of(definition->getOperands(), [&](Value operand) {
           return readsDestination(operand, op);
         });
}

LogicalResult GenericDerivative::seedResult(unsigned number, Value cotangent) {
  OpOperand *init = op.getDpsInitOperand(number);
  AffineMap map = op.getMatchingIndexingMap(init);
  Value yielded = op.getBlock()->getTerminator()->getOperand(number);
  unsigned reader = addReader(cotangent, map);
  if (op.getNumReductionLoops() == 0) {
    seeds.push_back({yielded, reader, std::nullopt, std::nullopt});
    return success();
  }
  BlockArgument accumulator = op.getMatchingBlockArgument(init);
  Operation *combiner = yielded.getDefiningOp();
  bool isSum = false;
  SmallVector<Value> elements;
  if (combiner && combiner->getBlock() == op.getBlock())
    elements = getElements(combiner, accumulator, isSum);
  // Others may read the accumulator (an argmax beside the maximum), but what is
  // combined may not.
  bool plain = !elements.empty() && llvm::none_of(elements, [&](Value v) {
    return readsDestination(v, op);
  });
  if (plain && isSum) {
    seeds.push_back({yielded, reader, std::nullopt, std::nullopt});
    adjoints.add(b, init->get(), cotangent);
    return success();
  }
  if (plain) {
    if (adjoints.isActive(init->get()))
      return op.emitError("has no differentiation rule: a maximum or minimum "
                          "that starts from a differentiated value");
    unsigned extremum = addReader(results[number], map);
    Value count = countExtrema(elements[0], extremum, map);
    seeds.push_back({elements[0], reader, extremum, addReader(count, map)});
    return success();
  }
  return op.emitError("has no differentiation rule: result ")
         << number
         << " is reduced by something else than a sum, a maximum or a minimum";
}

/// How many elements are equal to the extremum.
Value GenericDerivative::countExtrema(Value element, unsigned extremum,
                                      AffineMap map) {
  Value like = readers[extremum].source;
  Value zeros = createZeros(b, loc, like);
  GenericOp count =
      createGeneric(zeros, map, [&](OpBuilder &b, ValueRange scalars) -> Value {
        IRMapping mapping;
        SmallVector<Operation *> clones = cloneBody(b, scalars, {}, mapping);
        Value here = mapping.lookupOrDefault(element);
        Value one = createFloatConstant(b, loc, here.getType(), 1);
        Value none = createFloatConstant(b, loc, here.getType(), 0);
        Value equal = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ,
                                            here, scalars[extremum]);
        Value step = arith::SelectOp::create(b, loc, equal, one, none);
        return arith::AddFOp::create(b, loc, scalars.back(), step);
      });
  return count.getResult(0);
}

//===----------------------------------------------------------------------===//
// The scalar function, backwards
//===----------------------------------------------------------------------===//

SmallVector<Operation *> GenericDerivative::cloneBody(OpBuilder &b,
                                                      ValueRange scalars,
                                                      ValueRange loops,
                                                      IRMapping &mapping) {
  Block *body = op.getBlock();
  mapping.map(body->getArguments(),
              scalars.take_front(body->getNumArguments()));
  SmallVector<Operation *> clones;
  for (Operation &inner : body->without_terminator()) {
    auto index = dyn_cast<IndexOp>(inner);
    if (index && !loops.empty())
      mapping.map(index.getResult(), loops[index.getDim()]);
    else
      clones.push_back(b.clone(inner, mapping));
  }
  return clones;
}

LogicalResult GenericDerivative::pullBack(OpBuilder &b, ValueRange scalars,
                                          ValueRange loops,
                                          ArrayRef<Value> wanted,
                                          IRMapping &mapping,
                                          SmallVectorImpl<Value> &cotangents) {
  SmallVector<Operation *> clones = cloneBody(b, scalars, loops, mapping);
  DenseSet<Value> active, cloned;
  active.insert(wanted.begin(), wanted.end());
  for (Operation &inner : op.getBlock()->without_terminator())
    propagateActivity(&inner, active);
  for (Value value : active)
    cloned.insert(mapping.lookupOrDefault(value));
  Adjoints inner(std::move(cloned));
  for (const Seed &seed : seeds) {
    Value value = mapping.lookupOrDefault(seed.body);
    if (!inner.isActive(value))
      continue;
    Value d = scalars[seed.cotangent];
    if (seed.extremum) {
      Value zero = createFloatConstant(b, loc, d.getType(), 0);
      Value equal = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ,
                                          value, scalars[*seed.extremum]);
      Value part = arith::DivFOp::create(b, loc, d, scalars[*seed.count]);
      d = arith::SelectOp::create(b, loc, equal, part, zero);
    }
    inner.add(b, value, d);
  }
  if (failed(runRulesBackwards(clones, b, inner)))
    return failure();
  for (Value value : wanted)
    cotangents.push_back(inner.get(mapping.lookupOrDefault(value)));
  return success();
}

//===----------------------------------------------------------------------===//
// Another generic
//===----------------------------------------------------------------------===//

/// Drops inputs that the body does not read, unless only they tell the extent
/// of a loop.
static GenericOp dropUnusedInputs(OpBuilder &b, GenericOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<Value> inputs(op.getInputs());
  Block *body = op.getBlock();
  for (int64_t i = inputs.size() - 1; i >= 0; --i) {
    if (!body->getArgument(i).use_empty())
      continue;
    SmallVector<AffineMap> rest(maps);
    rest.erase(rest.begin() + i);
    if (!inversePermutation(concatAffineMaps(rest, b.getContext())))
      continue;
    maps = rest;
    inputs.erase(inputs.begin() + i);
    body->eraseArgument(i);
  }
  if (inputs.size() == op.getInputs().size())
    return op;
  auto pruned =
      GenericOp::create(b, op.getLoc(), op.getResultTypes(), inputs,
                        op.getOutputs(), maps, op.getIteratorTypesArray());
  pruned.getRegion().takeBody(op.getRegion());
  op.erase();
  return pruned;
}

GenericOp GenericDerivative::createGeneric(Value init, AffineMap map,
                                           Body body) {
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (const Reader &reader : readers) {
    inputs.push_back(reader.source);
    maps.push_back(reader.map);
  }
  maps.push_back(map);
  SmallVector<utils::IteratorType> iterators(map.getNumDims(),
                                             utils::IteratorType::reduction);
  for (AffineExpr result : map.getResults())
    iterators[cast<AffineDimExpr>(result).getPosition()] =
        utils::IteratorType::parallel;
  auto generic = GenericOp::create(
      b, loc, init.getType(), inputs, init, maps, iterators,
      [&](OpBuilder &b, Location loc, ValueRange scalars) {
        Value yielded = body(b, scalars);
        linalg::YieldOp::create(b, loc,
                                yielded ? yielded : ValueRange(scalars).back());
      });
  SmallVector<Operation *> inner;
  for (Operation &op : generic.getBlock()->without_terminator())
    inner.push_back(&op);
  eraseDead(inner);
  return dropUnusedInputs(b, generic);
}

LogicalResult GenericDerivative::differentiate(const Target &target) {
  // A cotangent is written through the map of the operand, which only a
  // projected permutation allows.
  if (!target.map.isProjectedPermutation())
    return differentiateByLoops(target);
  bool squares = adjoints.wantsSquares(target.operand);
  if (squares) {
    bool done = false;
    if (failed(differentiateSquares(target, done)))
      return failure();
    if (done)
      return success();
  }

  Value operand = target.operand, prior = adjoints.get(operand);
  auto tensorType = dyn_cast<RankedTensorType>(operand.getType());
  bool reduces = target.map.getNumResults() != target.map.getNumDims();
  bool adds = reduces || (prior && tensorType);
  Value init;
  if (!tensorType) {
    auto type = RankedTensorType::get({}, operand.getType());
    Value empty = tensor::EmptyOp::create(b, loc, type, ValueRange());
    Value zero = createFloatConstant(b, loc, operand.getType(), 0);
    init = FillOp::create(b, loc, zero, empty).getResult(0);
  } else if (adds) {
    init = adjoints.getOrZero(b, operand);
  } else {
    init =
        tensor::EmptyOp::create(b, loc, tensor::getMixedSizes(b, loc, operand),
                                tensorType.getElementType());
  }

  LogicalResult result = success();
  bool isZero = false;
  GenericOp generic = createGeneric(
      init, target.map, [&](OpBuilder &b, ValueRange scalars) -> Value {
        IRMapping mapping;
        SmallVector<Value> cotangents;
        result = pullBack(b, scalars, {}, target.body, mapping, cotangents);
        if (failed(result) || !cotangents[0]) {
          isZero = true;
          return nullptr;
        }
        Value d = cotangents[0];
        if (squares)
          d = arith::MulFOp::create(b, loc, d, d);
        return adds ? arith::AddFOp::create(b, loc, scalars.back(), d) : d;
      });
  if (isZero) {
    generic.erase();
    return result;
  }
  // The cotangent of a result passed on as it is needs no copy.
  if (!adds && tensorType && generic.getNumDpsInputs() == 1) {
    Value yielded = generic.getBlock()->getTerminator()->getOperand(0);
    Value input = generic.getInputs()[0];
    if (yielded == generic.getBlock()->getArgument(0) &&
        generic.getIndexingMapsArray()[0] == target.map &&
        input.getType() == operand.getType()) {
      generic.erase();
      adjoints.add(b, operand, input);
      return success();
    }
  }
  if (tensorType)
    adjoints.replace(operand, generic.getResult(0));
  else
    adjoints.add(
        b, operand,
        tensor::ExtractOp::create(b, loc, generic.getResult(0), ValueRange()));
  return success();
}

//===----------------------------------------------------------------------===//
// Squares a row
//===----------------------------------------------------------------------===//

Value GenericDerivative::createSquares(Value source) {
  auto type = cast<RankedTensorType>(source.getType());
  Value empty = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, source), type.getElementType());
  AffineMap map = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  auto square = GenericOp::create(
      b, loc, type, source, empty, ArrayRef{map, map}, loops,
      [](OpBuilder &b, Location loc, ValueRange scalars) {
        Value d = scalars[0];
        linalg::YieldOp::create(b, loc,
                                Value(arith::MulFOp::create(b, loc, d, d)));
      });
  return square.getResult(0);
}

/// (δ∘δ)ᵀ(x∘x) as a product, so that it is as fast as the gradient; other ops
/// square inside of their loops.
LogicalResult GenericDerivative::differentiateSquares(const Target &target,
                                                      bool &done) {
  if (!isaContractionOpInterface(op) || seeds.size() != 1)
    return success();
  unsigned weight = op.getInputs()[0] == target.operand ? 0 : 1;
  Value other = op.getInputs()[1 - weight];
  Value cotangent = readers[seeds[0].cotangent].source;
  if (other == target.operand ||
      getElementTypeOrSelf(other) != getElementTypeOrSelf(cotangent) ||
      getElementTypeOrSelf(other) != getElementTypeOrSelf(target.operand))
    return success();
  SmallVector<Reader> saved = readers;
  readers = {{createSquares(cotangent), readers[seeds[0].cotangent].map},
             {createSquares(other), readers[1 - weight].map}};
  Value init = adjoints.getOrZero(b, target.operand);
  GenericOp generic = createGeneric(
      init, target.map, [&](OpBuilder &b, ValueRange scalars) -> Value {
        Value product = arith::MulFOp::create(b, loc, scalars[0], scalars[1]);
        return arith::AddFOp::create(b, loc, scalars[2], product);
      });
  readers = std::move(saved);
  adjoints.replace(target.operand, generic.getResult(0));
  done = true;
  return success();
}
