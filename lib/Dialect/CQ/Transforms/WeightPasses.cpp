//===- WeightPasses.cpp - Print and annotate weights ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQPRINTWEIGHTS
#define GEN_PASS_DEF_CQANNOTATEWEIGHTS
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct PrintWeights : cq::impl::CQPrintWeightsBase<PrintWeights> {
  void getDependentDialects(DialectRegistry &registry) const override {
    CQPrintWeightsBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }
  void runOnOperation() override {
    WeightTracing tracing(getOperation());
    tracing.solve();
    for (const TracedWeight &weight : tracing.getWeights())
      print(weight, llvm::outs());
    markAllAnalysesPreserved();
  }

  static void print(const TracedWeight &weight, llvm::raw_ostream &os) {
    os << "weight '" << weight.name << "' ";
    if (weight.n != 0) {
      os << '[';
      if (weight.batch != 1)
        os << weight.batch << ", ";
      os << weight.n << ", " << weight.k << "] ";
    }
    os << weight.type.getElementType() << ' '
       << stringifyWeightSource(weight.source);
    if (weight.transposed)
      os << " transposed";
    os << ", products: " << weight.numProducts
       << ", gathers: " << weight.numGathers;
    if (weight.isHead)
      os << ", head";
    if (!weight.canQuantize())
      os << ", left as it is: " << weight.obstacle;
    os << '\n';
  }
};

struct AnnotateWeights : cq::impl::CQAnnotateWeightsBase<AnnotateWeights> {
  void getDependentDialects(DialectRegistry &registry) const override {
    CQAnnotateWeightsBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }
  void runOnOperation() override {
    WeightTracing tracing(getOperation());
    tracing.solve();
    Builder b(&getContext());
    for (const TracedWeight &weight : tracing.getWeights()) {
      ++numWeights;
      SmallVector<NamedAttribute> facts;
      facts.push_back(b.getNamedAttr("name", b.getStringAttr(weight.name)));
      SmallVector<int64_t> shape{weight.n, weight.k};
      if (weight.batch != 1)
        shape.insert(shape.begin(), weight.batch);
      facts.push_back(b.getNamedAttr("shape", b.getDenseI64ArrayAttr(shape)));
      facts.push_back(b.getNamedAttr(
          "element_type", TypeAttr::get(weight.type.getElementType())));
      auto flag = [&](StringRef name, bool set) {
        if (set)
          facts.push_back(b.getNamedAttr(name, b.getUnitAttr()));
      };
      flag("transposed", weight.transposed);
      flag("feeds_gather", weight.numGathers != 0);
      flag("head", weight.isHead);
      if (!weight.canQuantize()) {
        ++numObstacles;
        facts.push_back(
            b.getNamedAttr("obstacle", b.getStringAttr(weight.obstacle)));
      }
      for (Operation *op : weight.sourceOps)
        op->setAttr(kWeightAttrName, b.getDictionaryAttr(facts));
    }
  }
};

} // namespace
