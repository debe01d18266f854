//===- ApplyPlan.cpp - Rewrite weights and products as planned ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductRewriter.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQAPPLYPLAN
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct ApplyPlan : cq::impl::CQApplyPlanBase<ApplyPlan> {
  using CQApplyPlanBase::CQApplyPlanBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQApplyPlanBase::getDependentDialects(registry);
    registry.insert<tensor::TensorDialect>();
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    std::optional<ActivationMode> mode = parseActivationMode(activations);
    if (!mode) {
      emitError(getOperation().getLoc())
          << "'" << activations.getValue()
          << "' is no value of option 'activations'; use f32 or int8";
      return signalPassFailure();
    }
    WeightTracing tracing(getOperation());
    tracing.solve();
    llvm::Expected<Plan> plan = getPlanAttr(getOperation());
    // The plan may have been edited since it was verified.
    llvm::Expected<PlanSize> size =
        plan ? plan->verify(getWeightFacts(tracing))
             : llvm::Expected<PlanSize>(plan.takeError());
    if (!size) {
      emitError(getOperation().getLoc()) << llvm::toString(size.takeError());
      return signalPassFailure();
    }
    PlaneBuilder builder(getOperation());
    // Planes need the weights' traces as they are: build all, then rewrite.
    for (const WeightUse &use : tracing.getUses())
      if (const PlanEntry *entry =
              entryFor(tracing, use.weights, *plan, use.op))
        products.push_back({&use, entry, prepare(builder, use, *entry)});
    for (const GatherUse &use : tracing.getGathers())
      if (const PlanEntry *entry =
              entryFor(tracing, use.weights, *plan, use.op)) {
        auto extract = cast<tensor::ExtractOp>(use.extract);
        WeightConsumption c = getGatherConsumption(extract);
        gathers.push_back({&use, entry,
                           builder.getPlanes(extract.getTensor(),
                                             WeightTracing::getGatherDims(
                                                 extract.getTensor().getType()),
                                             c, *entry)[0]});
      }
    for (Product &product : products) {
      ++numProducts;
      rewriteProduct(*product.use, product.prepared.form,
                     product.prepared.planes,
                     PlannedAttributes(&getContext(), *product.entry), *mode);
    }
    for (Gather &gather : gathers) {
      ++numGathers;
      rewriteGather(*gather.use, gather.planes,
                    PlannedAttributes(&getContext(), *gather.entry));
    }
    eraseDeadData();
    builder.eraseDeadWeights();
    eraseDeadData();
    getOperation()->removeAttr(kPlanAttrName);
  }

private:
  struct Prepared {
    WeightForm form;
    SmallVector<Planes, 1> planes;
  };
  struct Product {
    const WeightUse *use;
    const PlanEntry *entry;
    Prepared prepared;
  };
  struct Gather {
    const GatherUse *use;
    const PlanEntry *entry;
    Planes planes;
  };

  /// The entry of the weights of a use; null (with a remark) when it stays.
  const PlanEntry *entryFor(const WeightTracing &tracing,
                            ArrayRef<unsigned> weights, const Plan &plan,
                            Operation *op) {
    for (unsigned number : weights) {
      const TracedWeight &weight = tracing.getWeights()[number];
      const PlanEntry *entry = plan.find(weight.name);
      if (weight.canQuantize() && entry && !entry->keep)
        continue;
      ++numLeft;
      emitRemark(op->getLoc())
          << "'" << op->getName() << "' stays as it is: weight '" << weight.name
          << "' "
          << (weight.canQuantize() ? "is kept by the plan"
                                   : "cannot be quantized, " + weight.obstacle);
      return nullptr;
    }
    return plan.find(tracing.getWeights()[weights.front()].name);
  }

  static Prepared prepare(PlaneBuilder &builder, const WeightUse &use,
                          const PlanEntry &entry) {
    const WeightConsumption &c = use.consumption;
    Value operand = use.op->getOperand(c.weightOperand);
    WeightDims dims = *getOperandDims(c);
    WeightForm form = builder.getForm(operand, dims, c);
    ArrayRef<Planes> planes = builder.getPlanes(operand, dims, c, entry);
    return {std::move(form), SmallVector<Planes, 1>(planes)};
  }

  static WeightConsumption getGatherConsumption(tensor::ExtractOp extract) {
    RankedTensorType type = extract.getTensor().getType();
    WeightConsumption c;
    c.weightOperand = c.activationOperand = 0;
    c.weightLoops = {0, 1};
    c.loopSizes.assign(type.getShape().begin(), type.getShape().end());
    c.isReduction = {false, true};
    return c;
  }

  /// Transposes, casts and constants that fed only what is gone. (Bodies of
  /// functions are walked backwards, so users go first.)
  void eraseDeadData() {
    getOperation()->walk<WalkOrder::PostOrder, ReverseIterator>(
        [](Operation *op) {
          if (isOpTriviallyDead(op) ||
              (op->getName().getStringRef() == "ml_program.global_load" &&
               op->use_empty()))
            op->erase();
        });
  }

  std::vector<Product> products;
  std::vector<Gather> gathers;
};

} // namespace
