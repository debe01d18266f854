//===- WeightTracing.cpp - Which weights a model has, and who reads them --===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/WeightTracing.h"
#include "WeightRoles.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace mlir::cq;

StringRef cq::stringifyWeightSource(WeightSource source) {
  switch (source) {
  case WeightSource::Inline:
    return "inline";
  case WeightSource::Global:
    return "global";
  case WeightSource::Argument:
    return "argument";
  case WeightSource::Opaque:
    return "opaque";
  }
  llvm_unreachable("unknown weight source");
}

WeightTracing::WeightTracing(Operation *module) : module(module) {}
WeightTracing::~WeightTracing() = default;

WeightLeaf WeightTracing::traceLocally(Value value, WeightDims dims) {
  while (Value source = stepTowardsSource(value, dims))
    value = source;
  return {value, std::move(dims)};
}

WeightDims WeightTracing::getGatherDims(RankedTensorType type) {
  WeightDims dims;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    dims.emplace_back();
    if (type.getDimSize(i) != 1)
      dims.back().push_back({i, 1, type.getDimSize(i)});
  }
  return dims;
}

WeightConsumption WeightTracing::getGatherConsumption(RankedTensorType type) {
  WeightConsumption c;
  c.weightOperand = c.activationOperand = 0;
  c.weightLoops = {0, 1};
  c.loopSizes.assign(type.getShape().begin(), type.getShape().end());
  c.isReduction = {false, true};
  return c;
}

class WeightTracing::Impl {
public:
  Impl(WeightTracing &result) : result(result) {
    // Who calls a function, and whether it is used in another way.
    result.module->walk([&](func::CallOp call) {
      if (auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
              call, call.getCalleeAttr()))
        calls[callee].push_back(call);
    });
    result.module->walk([&](func::ConstantOp op) {
      if (auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
              op, op.getValueAttr()))
        escaped.insert(callee);
    });
  }

  void run() {
    result.module->walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isa<WeightConsumerOpInterface, linalg::LinalgOp>(op))
        traceProduct(op);
      if (auto extract = dyn_cast<tensor::ExtractOp>(op))
        traceGather(extract);
    });
    for (TracedWeight &weight : result.weights)
      settle(weight);
  }

private:
  using Leaves = SmallVector<WeightLeaf, 1>;

  /// All ends of the trace of `value`, through calls; false when one of them is
  /// no weight.
  bool collect(Value value, WeightDims dims, Leaves &leaves) {
    WeightLeaf leaf = traceLocally(value, std::move(dims));
    auto argument = dyn_cast<BlockArgument>(leaf.root);
    func::FuncOp function;
    if (argument)
      function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
    if (argument && !function)
      return false;
    if (!function || !function.isPrivate()) {
      leaves.push_back(std::move(leaf));
      return true;
    }
    auto callers = calls.find(function);
    if (escaped.contains(function) || callers == calls.end() ||
        !active.insert(argument.getAsOpaquePointer()).second)
      return false;
    bool all = llvm::all_of(callers->second, [&](func::CallOp call) {
      return collect(call.getOperand(argument.getArgNumber()), leaf.dims,
                     leaves);
    });
    active.erase(argument.getAsOpaquePointer());
    return all;
  }

  /// The number of the weight at `root`; none when it is no weight.
  std::optional<unsigned> weightAt(Value root) {
    auto type = dyn_cast<RankedTensorType>(root.getType());
    if (!type || !type.hasStaticShape() || type.getNumElements() == 0)
      return std::nullopt;
    TracedWeight weight;
    weight.type = type;
    if (Operation *op = root.getDefiningOp()) {
      if (!describe(op, weight))
        return std::nullopt;
    } else {
      auto argument = cast<BlockArgument>(root);
      auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
      weight.source = WeightSource::Argument;
      weight.name =
          (function.getName() + "#" + Twine(argument.getArgNumber())).str();
      weight.identity = root.getAsOpaquePointer();
      weight.obstacle = "it is an argument of the public function @" +
                        function.getName().str() + ", its numbers are not here";
    }
    auto [it, fresh] =
        numbers.try_emplace(weight.identity, result.weights.size());
    if (fresh) {
      weight.name = uniqueName(weight.name);
      result.weights.push_back(std::move(weight));
    } else if (Operation *op = root.getDefiningOp();
               isa_and_nonnull<arith::ConstantOp>(op)) {
      auto &ops = result.weights[it->second].sourceOps;
      if (!llvm::is_contained(ops, op))
        ops.push_back(op);
    }
    return it->second;
  }

  bool describe(Operation *op, TracedWeight &weight) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto elements = dyn_cast<ElementsAttr>(constant.getValue());
      if (!elements || isa<SplatElementsAttr>(elements))
        return false;
      weight.source = WeightSource::Inline;
      weight.identity = elements.getAsOpaquePointer();
      weight.sourceOps.push_back(op);
      if (auto resource = dyn_cast<DenseResourceElementsAttr>(elements))
        weight.name = resource.getRawHandle().getKey().str();
      else if (auto name = op->getLoc()->findInstanceOf<NameLoc>())
        weight.name = name.getName().str();
      return true;
    }
    SymbolRefAttr symbol;
    if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op))
      symbol = load.getGlobal();
    else if (auto load = dyn_cast<ml_program::GlobalLoadConstOp>(op))
      symbol = load.getGlobal();
    if (symbol) {
      auto global = SymbolTable::lookupNearestSymbolFrom<ml_program::GlobalOp>(
          op, symbol);
      if (!global || global.getIsMutable())
        return false;
      weight.source = WeightSource::Global;
      weight.identity = global;
      weight.sourceOps.push_back(global);
      weight.name = global.getSymName().str();
      return true;
    }
    if (op->getName().getStringRef() == "util.global.load") {
      auto reference = op->getAttrOfType<SymbolRefAttr>("global");
      weight.source = WeightSource::Opaque;
      weight.identity = reference ? reference.getAsOpaquePointer() : op;
      weight.name = reference ? reference.getLeafReference().str() : "";
      weight.obstacle = "it is a global of a dialect that is not loaded";
      return true;
    }
    return false;
  }

  std::string uniqueName(StringRef wanted) {
    std::string base =
        wanted.empty() ? ("weight" + Twine(unnamed++)).str() : wanted.str();
    std::string name = base;
    for (unsigned i = 1; !names.insert(name).second; ++i)
      name = (base + "." + Twine(i)).str();
    return name;
  }

  /// Registers the leaves' weights with their forms.
  bool enlist(const Leaves &leaves, const WeightConsumption &consumption,
              SmallVectorImpl<unsigned> &numbersOut) {
    for (const WeightLeaf &leaf : leaves) {
      std::string why;
      FailureOr<WeightForm> form = getWeightForm(consumption, leaf.dims, why);
      std::optional<unsigned> number = weightAt(leaf.root);
      if (!number)
        return false;
      TracedWeight &weight = result.weights[*number];
      if (failed(form)) {
        if (weight.obstacle.empty())
          weight.obstacle = why;
      } else if (weight.n == 0) {
        weight.batch = form->batch, weight.n = form->n, weight.k = form->k;
        weight.transposed = form->transposed;
      } else if (weight.batch != form->batch || weight.n != form->n ||
                 weight.k != form->k || weight.transposed != form->transposed) {
        if (weight.obstacle.empty())
          weight.obstacle = "it is read as two different matrices";
      }
      if (!llvm::is_contained(numbersOut, *number))
        numbersOut.push_back(*number);
    }
    return !numbersOut.empty();
  }

  /// True when all leaves could be weights (nothing is registered yet).
  bool allWeights(const Leaves &leaves) {
    return llvm::all_of(leaves, [&](const WeightLeaf &leaf) {
      Operation *op = leaf.root.getDefiningOp();
      TracedWeight scratch;
      return !op || describe(op, scratch);
    });
  }

  void traceProduct(Operation *op) {
    SmallVector<WeightConsumption, 2> ways;
    if (auto consumer = dyn_cast<WeightConsumerOpInterface>(op))
      ways = consumer.getWeightConsumptions();
    // Of two candidates the weight is rather the one whose numbers are at hand,
    // then rather a matrix than a vector.
    auto take = [&](bool numbersOnly) {
      for (bool matricesOnly : {true, false})
        for (const WeightConsumption &consumption : ways)
          if (traceProduct(op, consumption, numbersOnly, matricesOnly))
            return true;
      return false;
    };
    if (take(/*numbersOnly=*/true) || noteUnread(op, !ways.empty()))
      return;
    take(/*numbersOnly=*/false);
  }

  /// What is known of the numbers behind a value.
  struct Numbers {
    bool only = false;    ///< it depends on numbers of the module alone
    int64_t elements = 0; ///< of the largest matrix among them
    bool codes = false;   ///< that one has integers
    std::string name;
  };

  /// `steps` bounds the work.
  Numbers numbersBehind(Value value, unsigned &steps) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    Operation *op = value.getDefiningOp();
    if (!type || !op || steps == 0)
      return {};
    --steps;
    Numbers found;
    found.only = true;
    TracedWeight weight;
    if (describe(op, weight)) {
      if (type.getRank() >= 2 && type.hasStaticShape()) {
        found.codes = isa<IntegerType>(type.getElementType());
        found.elements = type.getNumElements();
        found.name = weight.name.empty() ? "a constant" : quoted(weight.name);
      }
      return found;
    }
    if (op->getNumRegions() && !isa<linalg::LinalgOp>(op))
      return {};
    for (Value operand : op->getOperands()) {
      // Numbers of loops and sizes pick elements, they make none.
      if (!isa<RankedTensorType>(operand.getType()))
        continue;
      Numbers behind = numbersBehind(operand, steps);
      if (!behind.only)
        return {};
      if (behind.elements > found.elements)
        found = behind;
    }
    return found;
  }

  static std::string quoted(StringRef name) { return ("'" + name + "'").str(); }

  bool noteUnread(Operation *op, bool isProduct) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (!linalgOp || linalgOp.getNumDpsInputs() < 2 ||
        linalgOp.getNumReductionLoops() == 0)
      return false;
    for (Value input : linalgOp.getDpsInputs()) {
      unsigned steps = 64;
      Numbers numbers = numbersBehind(input, steps);
      if (!numbers.only || numbers.elements == 0)
        continue;
      Operation *end = input.getDefiningOp();
      while (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
                 linalg::TransposeOp>(end))
        end = end->getOperand(0).getDefiningOp();
      std::string why = "it reads " + numbers.name +
                        ", but not as a matrix product (convolutions are one "
                        "where the kernel is a single point, without stride, "
                        "padding or groups)";
      if (isProduct && numbers.codes)
        why = "its weight is decoded from " + numbers.name +
              "; cq-raise-dequant-matmul takes codes over as they are";
      else if (isProduct)
        why = "its weight comes from " + numbers.name + " through " +
              quoted(end->getName().getStringRef()) +
              ", which is not followed (a choice or a computation when the "
              "model runs, or a slice of a tensor by reference)";
      result.unread.push_back({op, why});
      return true;
    }
    return false;
  }

  bool traceProduct(Operation *op, const WeightConsumption &consumption,
                    bool numbersOnly, bool matricesOnly) {
    FailureOr<WeightDims> dims = getOperandDims(consumption);
    Leaves leaves;
    if (failed(dims) ||
        !collect(op->getOperand(consumption.weightOperand), *dims, leaves) ||
        !allWeights(leaves))
      return false;
    for (const WeightLeaf &leaf : leaves) {
      std::string why;
      FailureOr<WeightForm> form = getWeightForm(consumption, leaf.dims, why);
      if (matricesOnly && (failed(form) || form->n == 1))
        return false;
      if (numbersOnly && isa<BlockArgument>(leaf.root))
        return false;
    }
    WeightUse use{op, consumption, {}};
    if (!enlist(leaves, consumption, use.weights))
      return false;
    for (unsigned number : use.weights) {
      ++result.weights[number].numProducts;
      result.weights[number].isHead |=
          feedsResult(op) && isWide(result.weights[number]);
    }
    result.uses.push_back(std::move(use));
    return true;
  }

  void traceGather(tensor::ExtractOp extract) {
    auto generic = dyn_cast<linalg::GenericOp>(extract->getParentOp());
    auto type = extract.getTensor().getType();
    if (!generic || type.getRank() != 2 || !type.hasStaticShape() ||
        !isa<FloatType>(type.getElementType()))
      return;
    WeightConsumption consumption = getGatherConsumption(type);
    Leaves leaves;
    if (!collect(extract.getTensor(), getGatherDims(type), leaves) ||
        !allWeights(leaves))
      return;
    GatherUse use{generic, extract, {}};
    if (!enlist(leaves, consumption, use.weights))
      return;
    std::string why;
    bool rows = isRowGather(generic, extract, why);
    for (unsigned number : use.weights) {
      ++result.weights[number].numGathers;
      if (!rows && result.weights[number].obstacle.empty())
        result.weights[number].obstacle = why;
    }
    result.gathers.push_back(std::move(use));
  }

  bool isWide(const TracedWeight &weight) {
    return weight.k > 0 && weight.n / weight.k >= 8;
  }

  void settle(TracedWeight &weight) {
    if (weight.numProducts == 0) // an embedding is no head, whatever its name
      weight.isHead = false;
    else if (isHeadName(weight.name) || isVocabulary(result.module, weight.n))
      weight.isHead = true;
    if (!weight.obstacle.empty())
      return;
    if (weight.n <= 1 || weight.k <= 1)
      weight.obstacle = "it is a vector, not a matrix";
    else if (!isa<Float16Type, BFloat16Type, Float32Type>(
                 weight.type.getElementType()))
      weight.obstacle = "its elements are no f16, bf16 or f32 numbers";
    else if (weight.batch != 1 && weight.numGathers)
      weight.obstacle = "a stack of matrices is gathered from";
  }

  WeightTracing &result;
  DenseMap<Operation *, SmallVector<func::CallOp>> calls;
  llvm::SmallPtrSet<Operation *, 4> escaped;
  llvm::SmallPtrSet<void *, 8> active;
  DenseMap<const void *, unsigned> numbers;
  llvm::StringSet<> names;
  unsigned unnamed = 0;
};

void WeightTracing::solve() {
  if (solved)
    return;
  solved = true;
  Impl(*this).run();
}
