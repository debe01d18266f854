//===- Differentiate.cpp - The pass cq-differentiate --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionDerivatives.h"
#include "cq/Analysis/WeightTracing.h"
#include "cq/Autodiff/Passes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/Regex.h"

namespace mlir::cq {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "cq/Autodiff/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct DifferentiatePass
    : mlir::cq::impl::DifferentiateBase<DifferentiatePass> {
  using DifferentiateBase::DifferentiateBase;

  void runOnOperation() override {
    if (failed(readOptions()) || failed(differentiate()))
      signalPassFailure();
  }

private:
  LogicalResult choose(StringRef option, StringRef value, StringRef first,
                       StringRef second) {
    if (value == first || value == second)
      return success();
    return emitError(getOperation().getLoc())
           << "cq-differentiate: " << option << "=" << value << " is neither "
           << first << " nor " << second;
  }

  LogicalResult readOptions() {
    for (const std::string &pattern : only) {
      std::string problem;
      if (!llvm::Regex(pattern).isValid(problem))
        return emitError(getOperation().getLoc())
               << "cq-differentiate: the regular expression '" << pattern
               << "' is not valid: " << problem;
    }
    return success(
        succeeded(choose("wrt", wrt, "weights", "all")) &&
        succeeded(choose("gradients", gradients, "return", "observe")) &&
        succeeded(choose("fisher", fisher, "sequence", "token")));
  }

  bool isNamed(StringRef name) {
    return llvm::any_of(only, [&](const std::string &pattern) {
      return llvm::Regex(pattern).match(name);
    });
  }

  DifferentiationTargets getTargets(func::FuncOp root);
  LogicalResult differentiate();
  void observe(OpBuilder &b, StringRef name, Value gradient);

  SmallVector<Attribute> observations;
};

} // namespace

static std::string nameArgument(func::FuncOp function, unsigned number) {
  return (function.getSymName() + "#" + Twine(number)).str();
}

DifferentiationTargets DifferentiatePass::getTargets(func::FuncOp root) {
  DifferentiationTargets targets;
  targets.arguments.resize(root.getNumArguments());
  if (wrt == "all") {
    for (auto global : getOperation().getOps<ml_program::GlobalOp>())
      if (!global.getIsMutable() && isDifferentiableType(global.getType()) &&
          (only.empty() || isNamed(global.getSymName())))
        targets.globals.insert(global.getSymNameAttr());
    for (auto [i, type] : llvm::enumerate(root.getArgumentTypes()))
      targets.arguments[i] = isDifferentiableType(type) &&
                             (only.empty() || isNamed(nameArgument(root, i)));
    return targets;
  }
  WeightTracing tracing(getOperation());
  tracing.solve();
  for (const TracedWeight &weight : tracing.getWeights()) {
    if (weight.source != WeightSource::Global || weight.numProducts == 0)
      continue;
    auto global = cast<ml_program::GlobalOp>(weight.sourceOps.front());
    if ((only.empty() || isNamed(global.getSymName())) &&
        isDifferentiableType(global.getType()))
      targets.globals.insert(global.getSymNameAttr());
  }
  return targets;
}

void DifferentiatePass::observe(OpBuilder &b, StringRef name, Value gradient) {
  bool squares = fisher == "token";
  ObserveOp::create(b, gradient.getLoc(),
                    squares ? ObservedStatistic::fisher
                            : ObservedStatistic::gradient,
                    /*base=*/Value(), observations.size(), gradient);
  observations.push_back(b.getDictionaryAttr(
      {b.getNamedAttr("statistic",
                      b.getStringAttr(squares ? "fisher" : "gradient")),
       b.getNamedAttr("weights", b.getStrArrayAttr({name}))}));
}

LogicalResult DifferentiatePass::differentiate() {
  ModuleOp module = getOperation();
  SymbolTable symbols(module);
  auto root = symbols.lookup<func::FuncOp>(function);
  if (!root || root.isExternal())
    return emitError(module.getLoc())
           << "cq-differentiate: the module has no function @" << function
           << " with a body; cq import writes @loss with --loss-tokens";
  std::string name = (root.getSymName() + "_gradient").str();
  if (symbols.lookup(name))
    return root.emitError() << "has its gradient already: @" << name;

  DifferentiationTargets targets = getTargets(root);
  Activity activity(module, targets);
  if (failed(activity.solve(root)))
    return failure();

  // The way forward.
  func::FuncOp result = root.clone();
  result.setSymName(name);
  result.setPublic();
  symbols.insert(result, std::next(Block::iterator(root)));
  Block &body = result.front();
  Operation *terminator = body.getTerminator();
  SmallVector<Value> returned(terminator->getOperands());
  Location end = terminator->getLoc();
  terminator->erase();

  llvm::SetVector<StringAttr> loaded;
  for (Operation &op : body)
    if (StringAttr global = activity.getTarget(&op))
      loaded.insert(global);
  if (loaded.empty() && targets.arguments.none())
    return root.emitError() << "cq-differentiate: there is nothing to "
                               "differentiate @"
                            << function << " by (wrt=" << wrt
                            << (only.empty() ? ")" : ", only=…)");

  // The cotangents it starts from.
  bool observes = gradients == "observe";
  OpBuilder b = OpBuilder::atBlockEnd(&body);
  SmallVector<Value> cotangents;
  SmallVector<Type> inputs(result.getArgumentTypes());
  for (Value value : returned) {
    cotangents.emplace_back();
    if (!isDifferentiableType(value.getType()))
      continue;
    if (!observes) {
      cotangents.back() = body.addArgument(value.getType(), value.getLoc());
      inputs.push_back(value.getType());
      continue;
    }
    Value one =
        createFloatConstant(b, end, getElementTypeOrSelf(value.getType()), 1);
    if (auto type = dyn_cast<RankedTensorType>(value.getType())) {
      Value empty = tensor::EmptyOp::create(
          b, end, tensor::getMixedSizes(b, end, value), type.getElementType());
      one = linalg::FillOp::create(b, end, one, empty).getResult(0);
    }
    cotangents.back() = one;
  }

  // And back.
  if (auto present = module->getAttrOfType<ArrayAttr>("cq.observations"))
    observations.assign(present.begin(), present.end());
  FunctionDerivatives derivatives(module, activity,
                                  fisher == "token"
                                      ? WeightCotangents::SquaresByRow
                                      : WeightCotangents::Gradients);
  llvm::DenseMap<StringAttr, Value> byGlobal;
  auto sink = [&](OpBuilder &b, StringAttr global, Value gradient) {
    if (observes)
      observe(b, global, gradient);
    else
      byGlobal[global] = gradient;
    ++numGradients;
  };
  FailureOr<SmallVector<Value>> byArgument = derivatives.appendReverse(
      result, activity.of(root), returned, cotangents, sink);
  if (failed(byArgument))
    return failure();

  SmallVector<Attribute> names;
  for (StringAttr global : loaded) {
    names.push_back(global);
    if (!observes)
      returned.push_back(byGlobal.lookup(global));
  }
  b.setInsertionPointToEnd(&body);
  for (auto [i, gradient] :
       llvm::zip(targets.arguments.set_bits(), *byArgument)) {
    names.push_back(b.getStringAttr(nameArgument(root, i)));
    ++numGradients;
    if (observes)
      observe(b, nameArgument(root, i), gradient);
    else
      returned.push_back(gradient);
  }
  func::ReturnOp::create(b, end, returned);
  result->removeAttr(result.getArgAttrsAttrName());
  result->removeAttr(result.getResAttrsAttrName());
  result.setFunctionType(
      b.getFunctionType(inputs, ValueRange(returned).getTypes()));
  result->setAttr("cq.gradients", b.getArrayAttr(names));
  if (observes)
    module->setAttr("cq.observations", b.getArrayAttr(observations));
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body)))
    if (isOpTriviallyDead(&op))
      op.erase();
  numFunctions += 1 + derivatives.getNumFunctions();
  return success();
}
