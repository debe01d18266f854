//===- PlanAttributes.cpp - Facts and plans in the IR ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/IR/CQAttributes.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/EquivalenceClasses.h"

using namespace mlir;
using namespace mlir::cq;

std::string cq::getSliceName(const TracedWeight &weight, int64_t slice) {
  return weight.batch == 1 ? weight.name
                           : weight.name + "." + std::to_string(slice);
}

std::vector<WeightFacts> cq::getWeightFacts(const WeightTracing &tracing) {
  // Weights that arrive at one use enter one argument; uses of one activation
  // multiply one input (call by call where several weights arrive).
  llvm::EquivalenceClasses<unsigned> shared, fused;
  llvm::DenseMap<Value, ArrayRef<unsigned>> firstOfInput;
  for (const WeightUse &use : tracing.getUses()) {
    for (unsigned weight : use.weights)
      shared.unionSets(use.weights.front(), weight);
    Value input = use.op->getOperand(use.consumption.activationOperand);
    auto [it, fresh] = firstOfInput.try_emplace(input, use.weights);
    if (!fresh && it->second.size() == use.weights.size())
      for (auto [a, b] : llvm::zip_equal(it->second, use.weights))
        fused.unionSets(a, b);
  }
  for (const GatherUse &use : tracing.getGathers())
    for (unsigned weight : use.weights)
      shared.unionSets(use.weights.front(), weight);

  std::vector<WeightFacts> facts;
  int64_t count = tracing.getWeights().size();
  for (auto [number, weight] : llvm::enumerate(tracing.getWeights()))
    for (int64_t slice = 0; weight.canQuantize() && slice < weight.batch;
         ++slice) {
      WeightFacts fact{getSliceName(weight, slice), weight.n, weight.k,
                       weight.numGathers != 0, weight.isHead};
      // Slices of stacks pair up with each other.
      if (shared.contains(number))
        fact.sharedArgument = slice * count + shared.getLeaderValue(number);
      if (fused.contains(number))
        fact.fusedInput = slice * count + fused.getLeaderValue(number);
      facts.push_back(std::move(fact));
    }
  return facts;
}

/// Equal but for name and reason.
static bool sameChoice(const PlanEntry &a, const PlanEntry &b) {
  if (a.keep || b.keep)
    return a.keep == b.keep;
  return a.scheme == b.scheme && a.quantizer == b.quantizer &&
         a.layout == b.layout && a.wide == b.wide && a.cherries == b.cherries &&
         (a.cherries.form == CherryForm::None || a.criterion == b.criterion);
}

llvm::Error cq::verifyPlan(const Plan &plan, const WeightTracing &tracing) {
  if (llvm::Error error = verifyPlan(plan, getWeightFacts(tracing)))
    return error;
  auto check = [&](ArrayRef<unsigned> together) -> llvm::Error {
    const TracedWeight &first = tracing.getWeights()[together.front()];
    for (unsigned number : together.drop_front()) {
      const TracedWeight &other = tracing.getWeights()[number];
      for (int64_t slice = 0;
           first.canQuantize() && other.canQuantize() && slice < first.batch;
           ++slice) {
        const PlanEntry *a = plan.find(getSliceName(first, slice));
        const PlanEntry *b = plan.find(getSliceName(other, slice));
        if (!sameChoice(*a, *b))
          return llvm::createStringError(
              "weights '" + a->weight + "' and '" + b->weight +
              "' enter the same argument of a function and must be stored in "
              "one way; give both entries of the plan the same scheme, "
              "quantizer and cherries");
      }
    }
    return llvm::Error::success();
  };
  for (const WeightUse &use : tracing.getUses())
    if (llvm::Error error = check(use.weights))
      return error;
  for (const GatherUse &use : tracing.getGathers())
    if (llvm::Error error = check(use.weights))
      return error;
  return llvm::Error::success();
}

void cq::setPlanAttr(Operation *module, const Plan &plan) {
  Builder b(module->getContext());
  MLIRContext *context = module->getContext();
  SmallVector<Attribute> entries;
  for (const PlanEntry &entry : plan.entries) {
    SmallVector<NamedAttribute> fields;
    auto add = [&](StringRef name, Attribute value) {
      fields.push_back(b.getNamedAttr(name, value));
    };
    add("name", b.getStringAttr(entry.weight));
    add("shape", b.getDenseI64ArrayAttr({entry.n, entry.k}));
    if (entry.keep) {
      add("keep", b.getUnitAttr());
    } else {
      add("scheme", SchemeAttr::get(context, entry.scheme));
      add("quantizer", QuantizerAttr::get(context, entry.quantizer));
      if (entry.layout != LayoutKind::Panel16)
        add("layout", b.getStringAttr(stringifyLayoutKind(entry.layout)));
      if (entry.cherries.form != CherryForm::None) {
        add("cherries", CherriesAttr::get(context, entry.cherries));
        add("criterion", CriterionAttr::get(context, entry.criterion));
      }
      if (entry.wide)
        add("wide_rows", b.getDenseI64ArrayAttr(
                             {entry.wide.count, int64_t(entry.wide.bits)}));
    }
    if (!entry.reason.empty())
      add("reason", b.getStringAttr(entry.reason));
    if (!entry.candidates.empty()) {
      SmallVector<Attribute> candidates;
      for (const PlanCandidate &candidate : entry.candidates)
        candidates.push_back(
            b.getArrayAttr({b.getStringAttr(candidate.choice),
                            b.getI64IntegerAttr(candidate.bytes),
                            b.getF64FloatAttr(candidate.loss)}));
      add("candidates", b.getArrayAttr(candidates));
    }
    entries.push_back(b.getDictionaryAttr(fields));
  }
  module->setAttr(kPlanAttrName, b.getArrayAttr(entries));
  if (!plan.decision) {
    module->removeAttr(kDecisionAttrName);
    return;
  }
  const PlanDecision &decision = *plan.decision;
  SmallVector<NamedAttribute> fields = {
      b.getNamedAttr("method", b.getStringAttr(decision.method)),
      b.getNamedAttr("loss", b.getStringAttr(decision.loss)),
      b.getNamedAttr("budget", b.getI64IntegerAttr(decision.budget)),
      b.getNamedAttr("bytes", b.getI64IntegerAttr(decision.bytes)),
      b.getNamedAttr("other_bytes", b.getI64IntegerAttr(decision.otherBytes)),
      b.getNamedAttr("predicted_loss",
                     b.getF64FloatAttr(decision.predictedLoss)),
      b.getNamedAttr("price", b.getF64FloatAttr(decision.price))};
  if (decision.bound)
    fields.push_back(
        b.getNamedAttr("bound", b.getF64FloatAttr(*decision.bound)));
  if (!decision.curve.empty()) {
    SmallVector<double> curve; // bits and loss in turn
    for (auto [bits, loss] : decision.curve)
      curve.append({bits, loss});
    fields.push_back(b.getNamedAttr("curve", b.getDenseF64ArrayAttr(curve)));
  }
  module->setAttr(kDecisionAttrName, b.getDictionaryAttr(fields));
}

llvm::Expected<Plan> cq::getPlanAttr(Operation *module) {
  auto attr = module->getAttrOfType<ArrayAttr>(kPlanAttrName);
  if (!attr)
    return llvm::createStringError(
        "the module has no plan (attribute 'cq.plan'); run cq-solve-uniform or "
        "cq-load-plan first");
  Plan plan;
  for (Attribute element : attr) {
    auto fields = dyn_cast<DictionaryAttr>(element);
    auto name = fields ? fields.getAs<StringAttr>("name") : StringAttr();
    auto shape =
        fields ? fields.getAs<DenseI64ArrayAttr>("shape") : DenseI64ArrayAttr();
    if (!name || !shape || shape.size() != 2)
      return llvm::createStringError(
          "'cq.plan' has an entry without name or shape");
    PlanEntry entry;
    entry.weight = name.getValue().str();
    entry.n = shape[0], entry.k = shape[1];
    entry.keep = static_cast<bool>(fields.getAs<UnitAttr>("keep"));
    auto scheme = fields.getAs<SchemeAttr>("scheme");
    if (!scheme && !entry.keep)
      return llvm::createStringError("'cq.plan' has no scheme for '" +
                                     entry.weight + "'");
    if (scheme)
      entry.scheme = scheme.getScheme();
    if (auto quantizer = fields.getAs<QuantizerAttr>("quantizer"))
      entry.quantizer = quantizer.getKind();
    if (auto layout = fields.getAs<StringAttr>("layout"))
      if (auto kind = parseLayoutKind(layout.getValue()))
        entry.layout = *kind;
    if (auto cherries = fields.getAs<CherriesAttr>("cherries"))
      entry.cherries = cherries.getSpec();
    if (auto criterion = fields.getAs<CriterionAttr>("criterion"))
      entry.criterion = criterion.getCriterion();
    if (Attribute attribute = fields.get("wide_rows")) {
      auto wide = dyn_cast<DenseI64ArrayAttr>(attribute);
      if (!wide || wide.size() != 2 || wide[1] < 0 || wide[1] > 8)
        return llvm::createStringError("'cq.plan' has wide rows for '" +
                                       entry.weight +
                                       "' that are not [count, bits]");
      entry.wide = {wide[0], static_cast<unsigned>(wide[1])};
    }
    if (auto reason = fields.getAs<StringAttr>("reason"))
      entry.reason = reason.getValue().str();
    if (auto candidates = fields.getAs<ArrayAttr>("candidates"))
      for (Attribute item : candidates) {
        auto three = dyn_cast<ArrayAttr>(item);
        auto choice = three && three.size() == 3
                          ? dyn_cast<StringAttr>(three[0])
                          : StringAttr();
        auto bytes = choice ? dyn_cast<IntegerAttr>(three[1]) : IntegerAttr();
        auto loss = bytes ? dyn_cast<FloatAttr>(three[2]) : FloatAttr();
        if (!loss)
          return llvm::createStringError(
              "'cq.plan' has candidates for '" + entry.weight +
              "' that are not [choice, bytes, loss]");
        entry.candidates.push_back(
            {choice.getValue().str(), bytes.getInt(), loss.getValueAsDouble()});
      }
    plan.entries.push_back(std::move(entry));
  }
  if (auto fields = module->getAttrOfType<DictionaryAttr>(kDecisionAttrName)) {
    PlanDecision decision;
    auto text = [&](StringRef name) {
      auto value = fields.getAs<StringAttr>(name);
      return value ? value.getValue().str() : std::string();
    };
    auto integer = [&](StringRef name) {
      auto value = fields.getAs<IntegerAttr>(name);
      return value ? value.getInt() : 0;
    };
    auto number = [&](StringRef name) {
      auto value = fields.getAs<FloatAttr>(name);
      return value ? value.getValueAsDouble() : 0.0;
    };
    decision.method = text("method");
    decision.loss = text("loss");
    decision.budget = integer("budget");
    decision.bytes = integer("bytes");
    decision.otherBytes = integer("other_bytes");
    decision.predictedLoss = number("predicted_loss");
    decision.price = number("price");
    if (fields.get("bound"))
      decision.bound = number("bound");
    if (auto curve = fields.getAs<DenseF64ArrayAttr>("curve"))
      for (int64_t i = 0; i + 1 < curve.size(); i += 2)
        decision.curve.push_back({curve[i], curve[i + 1]});
    plan.decision = std::move(decision);
  }
  return std::move(plan);
}
