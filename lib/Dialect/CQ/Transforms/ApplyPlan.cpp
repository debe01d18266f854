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
    llvm::Error error = plan ? verifyPlan(*plan, tracing) : plan.takeError();
    if (error) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
    PlaneBuilder builder(getOperation());
    // Planes need the weights' traces as they are: build all, then rewrite.
    for (const WeightUse &use : tracing.getUses()) {
      Entries entries = entriesFor(tracing, use.weights, *plan, use.op);
      if (!entries.empty())
        products.push_back(prepare(builder, use, entries));
    }
    for (const UnreadUse &use : tracing.getUnread()) {
      ++numLeft;
      emitRemark(use.op->getLoc())
          << "'" << use.op->getName() << "' stays as it is: " << use.why;
    }
    for (const GatherUse &use : tracing.getGathers()) {
      Entries entries = entriesFor(tracing, use.weights, *plan, use.op);
      if (entries.empty())
        continue;
      auto extract = cast<tensor::ExtractOp>(use.extract);
      RankedTensorType type = extract.getTensor().getType();
      ArrayRef<Planes> planes = builder.getPlanes(
          extract.getTensor(), WeightTracing::getGatherDims(type),
          WeightTracing::getGatherConsumption(type), entries);
      gathers.push_back({&use, entries.front(), planes.front()});
    }
    for (Product &product : products) {
      ++numProducts;
      rewriteProduct(*product.use, product.form, product.planes, product.attrs,
                     *mode);
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
  using Entries = SmallVector<const PlanEntry *, 1>;
  struct Product {
    const WeightUse *use;
    WeightForm form;
    SmallVector<Planes, 1> planes;
    SmallVector<PlannedAttributes, 1> attrs;
  };
  struct Gather {
    const GatherUse *use;
    const PlanEntry *entry;
    Planes planes;
  };

  /// The entries of the matrices of a use; none (with a remark) when it stays.
  Entries entriesFor(const WeightTracing &tracing, ArrayRef<unsigned> weights,
                     const Plan &plan, Operation *op) {
    Entries entries;
    for (unsigned number : weights) {
      const TracedWeight &weight = tracing.getWeights()[number];
      entries.clear();
      for (int64_t slice = 0; weight.canQuantize() && slice < weight.batch;
           ++slice) {
        const PlanEntry *entry = plan.find(getSliceName(weight, slice));
        if (!entry->keep)
          entries.push_back(entry);
      }
      if (weight.canQuantize() &&
          static_cast<int64_t>(entries.size()) == weight.batch)
        continue;
      ++numLeft;
      emitRemark(op->getLoc())
          << "'" << op->getName() << "' stays as it is: weight '" << weight.name
          << "' "
          << (weight.canQuantize() ? "is kept by the plan"
                                   : "cannot be quantized, " + weight.obstacle);
      return {};
    }
    return entries;
  }

  static Product prepare(PlaneBuilder &builder, const WeightUse &use,
                         ArrayRef<const PlanEntry *> entries) {
    const WeightConsumption &c = use.consumption;
    Value operand = use.op->getOperand(c.weightOperand);
    WeightDims dims = *getOperandDims(c);
    Product product{&use, builder.getForm(operand, dims, c), {}, {}};
    llvm::append_range(product.planes,
                       builder.getPlanes(operand, dims, c, entries));
    for (const PlanEntry *entry : entries)
      product.attrs.emplace_back(use.op->getContext(), *entry);
    return product;
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
