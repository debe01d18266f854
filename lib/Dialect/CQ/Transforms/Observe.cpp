//===- Observe.cpp - Where a calibration run looks ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorReshaping.h"
#include "cq/Analysis/WeightTracing.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQOBSERVE
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

/// Activations as [M, K]: how their dimensions are moved and joined.
struct MatrixForm {
  SmallVector<int64_t> permutation;
  int64_t numM = 0, numK = 0;
  bool operator==(const MatrixForm &o) const {
    return permutation == o.permutation && numM == o.numM && numK == o.numK;
  }
};

/// One observation of a function, before its weights are known.
struct Observation {
  ObservedStatistic statistic;
  /// input, gram: what is read, in which form, and the products that read it.
  Value x;
  MatrixForm form;
  SmallVector<const WeightUse *> uses;
  /// block: the call, and its number.
  func::CallOp call;
  int64_t block = 0;
};

/// What a function observes itself, and the calls of functions that observe.
struct FunctionPlan {
  SmallVector<Observation> own;
  SmallVector<func::CallOp> calls;
  int64_t total = 0; ///< with all calls
};

/// [M…, K…] in the order in which the weight runs through K.
std::optional<MatrixForm> getMatrixForm(const WeightUse &use) {
  const WeightConsumption &c = use.consumption;
  FailureOr<WeightDims> dims = getOperandDims(c);
  if (failed(dims))
    return std::nullopt;
  WeightLeaf leaf =
      WeightTracing::traceLocally(use.op->getOperand(c.weightOperand), *dims);
  std::string why;
  FailureOr<WeightForm> weight = getWeightForm(c, leaf.dims, why);
  // A stack of matrices has an input for each.
  if (failed(weight) || weight->batch != 1)
    return std::nullopt;
  SmallVector<int64_t> k = weight->kLoops;
  for (int64_t loop : c.activationLoops)
    if (c.isReduction[loop] && !llvm::is_contained(k, loop))
      k.push_back(loop);
  MatrixForm form;
  for (auto [dim, loop] : llvm::enumerate(c.activationLoops))
    if (!llvm::is_contained(k, loop))
      form.permutation.push_back(static_cast<int64_t>(dim));
  form.numM = static_cast<int64_t>(form.permutation.size());
  for (int64_t loop : k) {
    auto at = llvm::find(c.activationLoops, loop);
    if (at == c.activationLoops.end())
      return std::nullopt;
    form.permutation.push_back(at - c.activationLoops.begin());
  }
  form.numK = static_cast<int64_t>(k.size());
  return form;
}

/// XᵀX of x [M, K].
Value createGram(OpBuilder &b, Location loc, Value x) {
  int64_t k = cast<ShapedType>(x.getType()).getDimSize(1);
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  Value empty = createEmpty(b, loc, {b.getIndexAttr(k), b.getIndexAttr(k)},
                            b.getF32Type());
  Value init = linalg::FillOp::create(b, loc, zero, empty).getResult(0);
  MLIRContext *context = b.getContext();
  AffineExpr i, j, t;
  bindDims(context, i, j, t);
  SmallVector<AffineMap> maps = {AffineMap::get(3, 0, {t, i}, context),
                                 AffineMap::get(3, 0, {t, j}, context),
                                 AffineMap::get(3, 0, {i, j}, context)};
  return linalg::GenericOp::create(
             b, loc, empty.getType(), ValueRange{x, x}, init, maps,
             ArrayRef<utils::IteratorType>{utils::IteratorType::parallel,
                                           utils::IteratorType::parallel,
                                           utils::IteratorType::reduction},
             [](OpBuilder &nested, Location at, ValueRange in) {
               Value product = arith::MulFOp::create(nested, at, in[0], in[1]);
               Value sum = arith::AddFOp::create(nested, at, in[2], product);
               linalg::YieldOp::create(nested, at, sum);
             })
      .getResult(0);
}

struct Observe : cq::impl::CQObserveBase<Observe> {
  using CQObserveBase::CQObserveBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    CQObserveBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto entry = module.lookupSymbol<func::FuncOp>(function);
    if (!entry || entry.isExternal()) {
      module.emitError("has no function @" + function +
                       " to calibrate on; `cq import` writes @loss");
      return signalPassFailure();
    }
    if (module->hasAttr(kObservations)) {
      module.emitError("is instrumented already (cq.observations)");
      return signalPassFailure();
    }
    if (failed(separate(entry)))
      return signalPassFailure();
    WeightTracing traced(module);
    traced.solve();
    tracing = &traced;
    for (auto [number, weight] : llvm::enumerate(traced.getWeights()))
      for (Operation *op : weight.sourceOps)
        weightOf[op] = number;
    for (func::FuncOp reached : reachable)
      plan(reached);
    // Callees first: their totals place the numbers of their callers.
    for (func::FuncOp reached : llvm::reverse(reachable))
      if (failed(count(reached)))
        return signalPassFailure();
    SmallVector<Attribute> descriptions;
    describe(entry, {}, {}, descriptions);
    for (func::FuncOp reached : reachable)
      instrument(reached, reached == entry);
    module->setAttr(kObservations, ArrayAttr::get(&getContext(), descriptions));
  }

private:
  static constexpr StringLiteral kObservations = "cq.observations";
  using CallStack = SmallVector<func::CallOp>;

  func::FuncOp getCallee(func::CallOp call) {
    auto callee = getOperation().lookupSymbol<func::FuncOp>(call.getCallee());
    return callee && callee.isPrivate() && !callee.isExternal()
               ? callee
               : func::FuncOp();
  }

  /// Finds all functions that the entry calls, each before its callees, and
  /// gives those that others call as well a copy of their own.
  LogicalResult separate(func::FuncOp entry) {
    llvm::SmallSetVector<func::FuncOp, 32> set;
    llvm::SmallPtrSet<Operation *, 8> open;
    auto visit = [&](auto &&self, func::FuncOp current) -> LogicalResult {
      if (set.contains(current))
        return success();
      if (!open.insert(current).second)
        return current.emitError("calls itself and cannot be calibrated");
      WalkResult walk = current.walk([&](func::CallOp call) {
        func::FuncOp callee = getCallee(call);
        return callee && failed(self(self, callee)) ? WalkResult::interrupt()
                                                    : WalkResult::advance();
      });
      open.erase(current);
      set.insert(current);
      return failure(walk.wasInterrupted());
    };
    if (failed(visit(visit, entry)))
      return failure();

    DenseMap<StringAttr, func::FuncOp> shared;
    SymbolTable symbols(getOperation());
    for (auto other : getOperation().getOps<func::FuncOp>())
      if (!set.contains(other))
        other.walk([&](func::CallOp call) {
          if (func::FuncOp callee = getCallee(call); set.contains(callee))
            shared.try_emplace(callee.getSymNameAttr());
        });
    // What a shared function calls is shared as well.
    for (func::FuncOp reached : llvm::reverse(set.getArrayRef()))
      if (shared.contains(reached.getSymNameAttr()))
        reached.walk([&](func::CallOp call) {
          if (func::FuncOp callee = getCallee(call))
            shared.try_emplace(callee.getSymNameAttr());
        });
    for (func::FuncOp reached : set.getArrayRef()) {
      auto found = shared.find(reached.getSymNameAttr());
      func::FuncOp mine = reached;
      if (found != shared.end()) {
        mine = reached.clone();
        mine.setSymName((reached.getSymName() + "_observed").str());
        symbols.insert(mine, std::next(reached->getIterator()));
        found->second = mine;
      }
      mine.walk([&](func::CallOp call) {
        auto copy = shared.find(call.getCalleeAttr().getAttr());
        if (copy != shared.end() && copy->second)
          call.setCallee(copy->second.getSymName());
      });
      reachable.push_back(mine);
    }
    std::reverse(reachable.begin(), reachable.end());
    return success();
  }

  void plan(func::FuncOp current) {
    FunctionPlan &mine = plans[current];
    for (const WeightUse &use : tracing->getUses()) {
      if (use.op->getParentOfType<func::FuncOp>() != current ||
          llvm::none_of(use.weights, [&](unsigned number) {
            return tracing->getWeights()[number].canQuantize();
          }))
        continue;
      std::optional<MatrixForm> form = getMatrixForm(use);
      Value x = use.op->getOperand(use.consumption.activationOperand);
      if (!form || !isa<RankedTensorType>(x.getType())) {
        use.op->emitRemark("is not observed: its weight is a stack of matrices "
                           "or its input is no matrix");
        continue;
      }
      auto add = [&](ObservedStatistic statistic) {
        // One for all products that read the same rows.
        for (Observation &known : mine.own)
          if (known.statistic == statistic && known.x == x &&
              known.form == *form &&
              known.uses[0]->op->getBlock() == use.op->getBlock()) {
            known.uses.push_back(&use);
            return;
          }
        mine.own.push_back({statistic, x, *form, {&use}, {}});
      };
      if (moments)
        add(ObservedStatistic::input);
      if (gram)
        add(ObservedStatistic::gram);
    }
    current.walk([&](func::CallOp call) {
      if (getCallee(call))
        mine.calls.push_back(call);
      auto number = call->getAttrOfType<IntegerAttr>("cq.block");
      if (blocks && number && findHidden(call))
        mine.own.push_back(
            {ObservedStatistic::block, {}, {}, {}, call, number.getInt()});
    });
  }

  /// The hidden states that a block takes and returns: operand and result.
  static std::optional<std::pair<Value, Value>> findHidden(func::CallOp call) {
    for (Value result : call.getResults()) {
      auto type = dyn_cast<RankedTensorType>(result.getType());
      if (!type || !type.getElementType().isF32())
        continue;
      for (Value operand : call.getOperands())
        if (operand.getType() == type)
          return std::make_pair(operand, result);
    }
    return std::nullopt;
  }

  LogicalResult count(func::FuncOp current) {
    FunctionPlan &mine = plans[current];
    mine.total = static_cast<int64_t>(mine.own.size());
    for (func::CallOp call : mine.calls) {
      mine.total += plans[getCallee(call)].total;
      // Doubling at every level of calls.
      if (mine.total > (1 << 24))
        return current.emitError("makes millions of observations");
    }
    return success();
  }

  /// The weight that a product reads when its function is reached by `stack`.
  std::optional<unsigned> resolve(const WeightUse &use, CallStack stack) {
    FailureOr<WeightDims> dims = getOperandDims(use.consumption);
    Value value = use.op->getOperand(use.consumption.weightOperand);
    while (true) {
      WeightLeaf leaf = WeightTracing::traceLocally(value, *dims);
      dims = leaf.dims;
      if (Operation *op = leaf.root.getDefiningOp()) {
        SymbolRefAttr symbol;
        if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op))
          symbol = load.getGlobal();
        else if (auto load = dyn_cast<ml_program::GlobalLoadConstOp>(op))
          symbol = load.getGlobal();
        if (symbol)
          op = SymbolTable::lookupNearestSymbolFrom(op, symbol);
        auto found = weightOf.find(op);
        if (found == weightOf.end() ||
            !tracing->getWeights()[found->second].canQuantize())
          return std::nullopt;
        return found->second;
      }
      auto argument = cast<BlockArgument>(leaf.root);
      if (stack.empty() ||
          !isa<func::FuncOp>(argument.getOwner()->getParentOp()))
        return std::nullopt;
      value = stack.pop_back_val().getOperand(argument.getArgNumber());
    }
  }

  /// What each observation of `current` is of, reached by `stack`.
  void describe(func::FuncOp current, CallStack stack, IntegerAttr block,
                SmallVectorImpl<Attribute> &out) {
    Builder b(&getContext());
    for (const Observation &seen : plans[current].own) {
      NamedAttribute statistic = b.getNamedAttr(
          "statistic",
          b.getStringAttr(stringifyObservedStatistic(seen.statistic)));
      if (seen.call) {
        ++numBlocks;
        out.push_back(b.getDictionaryAttr(
            {statistic,
             b.getNamedAttr("block", b.getI64IntegerAttr(seen.block))}));
        continue;
      }
      SmallVector<StringRef> names;
      for (const WeightUse *use : seen.uses)
        if (auto number = resolve(*use, stack))
          if (StringRef name = tracing->getWeights()[*number].name;
              !llvm::is_contained(names, name))
            names.push_back(name);
      (seen.statistic == ObservedStatistic::gram ? numGrams : numInputs) += 1;
      SmallVector<NamedAttribute> facts = {
          statistic, b.getNamedAttr("weights", b.getStrArrayAttr(names))};
      if (block)
        facts.push_back(b.getNamedAttr("block", block));
      out.push_back(b.getDictionaryAttr(facts));
    }
    for (func::CallOp call : plans[current].calls) {
      CallStack inner = stack;
      inner.push_back(call);
      auto inside = call->getAttrOfType<IntegerAttr>("cq.block");
      describe(getCallee(call), inner, inside ? inside : block, out);
    }
  }

  void instrument(func::FuncOp current, bool isEntry) {
    FunctionPlan &mine = plans[current];
    if (mine.total == 0)
      return;
    Value base;
    if (!isEntry) {
      auto index = IndexType::get(&getContext());
      unsigned last = current.getNumArguments();
      (void)current.insertArgument(
          last, index, {},
          NameLoc::get(StringAttr::get(&getContext(), "observation")));
      base = current.getArgument(last);
    }
    OpBuilder b(&getContext());
    for (auto [number, seen] : llvm::enumerate(mine.own)) {
      SmallVector<Value> values;
      Location loc =
          seen.call ? seen.call.getLoc() : seen.uses[0]->op->getLoc();
      if (seen.call) {
        b.setInsertionPointAfter(seen.call);
        auto hidden = *findHidden(seen.call);
        values = {hidden.first, hidden.second};
      } else {
        b.setInsertionPoint(seen.uses[0]->op);
        Value x = createTranspose(b, loc, seen.x, seen.form.permutation);
        x = createCollapse(b, loc, x, {seen.form.numM, seen.form.numK});
        x = createFloatCast(b, loc, x, b.getF32Type());
        if (seen.statistic == ObservedStatistic::gram)
          x = createGram(b, loc, x);
        values = {x};
      }
      ObserveOp::create(b, loc, seen.statistic, base, number, values);
    }
    int64_t offset = static_cast<int64_t>(mine.own.size());
    for (func::CallOp call : mine.calls) {
      int64_t inside = plans[getCallee(call)].total;
      if (inside == 0)
        continue;
      b.setInsertionPoint(call);
      Value start = arith::ConstantIndexOp::create(b, call.getLoc(), offset);
      if (base)
        start = arith::AddIOp::create(b, call.getLoc(), base, start);
      call.getOperandsMutable().append(start);
      offset += inside;
    }
  }

  WeightTracing *tracing = nullptr;
  SmallVector<func::FuncOp> reachable;
  DenseMap<func::FuncOp, FunctionPlan> plans;
  DenseMap<Operation *, unsigned> weightOf;
};

} // namespace
