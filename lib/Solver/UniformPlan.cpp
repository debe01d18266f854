//===- UniformPlan.cpp - The same bits for every layer --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/UniformPlan.h"
#include "NamePatterns.h"

using namespace mlir::cq;

llvm::Expected<SchemeOverride> SchemeOverride::parse(llvm::StringRef text) {
  auto [pattern, scheme] = text.rsplit(':');
  if (pattern.empty() || scheme.empty())
    return llvm::createStringError(
        "the override '" + text +
        "' is not of the form REGEX:SCHEME (e.g. attn_v:b4-g64-symmetric-f16)");
  auto parsed = Scheme::parse(scheme);
  if (!parsed)
    return llvm::createStringError("the override '" + text +
                                   "': " + llvm::toString(parsed.takeError()));
  return SchemeOverride{pattern.str(), *parsed};
}

static PlanEntry decide(const WeightFacts &weight,
                        const UniformPlanOptions &options,
                        std::optional<size_t> override) {
  PlanEntry entry;
  entry.weight = weight.name;
  entry.n = weight.n;
  entry.k = weight.k;
  entry.quantizer = options.quantizer;
  entry.layout = options.layout;
  entry.criterion = options.criterion;
  if (override) {
    entry.scheme = options.overrides[*override].scheme;
    entry.reason = "override " + options.overrides[*override].pattern;
  } else if (weight.feedsGather || weight.isHead) {
    entry.scheme = options.headScheme;
    // At so many bits feedback gains nothing, and the head is the largest.
    if (entry.quantizer == QuantizerKind::GPTQ)
      entry.quantizer = QuantizerKind::RTN;
    entry.reason = weight.feedsGather && weight.isHead
                       ? "embedding and head share it, so it keeps 8 bits"
                   : weight.isHead ? "the head keeps 8 bits"
                                   : "an embedding keeps 8 bits";
    return entry;
  } else {
    entry.scheme = options.scheme;
    entry.reason = "uniform";
    if (options.rows) {
      entry.wide = {WideRows::roundedCount(options.rows.numerator,
                                           options.rows.denominator, weight.n),
                    options.rows.bits};
      if (!entry.wide)
        entry.reason += ", too few rows for some to be wider";
    }
  }
  if (options.cherryForm == CherryForm::None)
    return entry;
  CherrySpec spec =
      CherrySpec::fromRatio(options.cherryForm, options.cherryRatio, weight.k);
  if (spec.numDeltas(weight.n, weight.k) == 0)
    entry.reason += ", too narrow for cherries";
  else
    entry.cherries = spec;
  return entry;
}

llvm::Expected<Plan> mlir::cq::solveUniform(llvm::ArrayRef<WeightFacts> facts,
                                            const UniformPlanOptions &options) {
  for (const Scheme &scheme : {options.scheme, options.headScheme})
    if (llvm::Error error = scheme.check())
      return std::move(error);
  if (options.cherryForm != CherryForm::None &&
      !(options.cherryRatio > 0 && options.cherryRatio <= 0.5))
    return llvm::createStringError(
        "the cherry ratio must be above 0 and at most 0.5");
  if (options.rows)
    if (llvm::Error error =
            WideRows{16, options.rows.bits}.check(INT64_MAX, options.scheme))
      return std::move(error);
  NamePatterns keep, overrides;
  for (const std::string &pattern : options.keep)
    if (llvm::Error error = keep.add(pattern))
      return std::move(error);
  for (const SchemeOverride &item : options.overrides) {
    if (llvm::Error error = item.scheme.check())
      return std::move(error);
    if (llvm::Error error = overrides.add(item.pattern))
      return std::move(error);
  }

  Plan plan;
  for (const WeightFacts &weight : facts) {
    std::optional<size_t> override = overrides.match(weight.name);
    if (std::optional<size_t> kept = keep.match(weight.name)) {
      PlanEntry entry;
      entry.weight = weight.name;
      entry.n = weight.n;
      entry.k = weight.k;
      entry.keep = true;
      entry.reason = "keep " + options.keep[*kept];
      plan.entries.push_back(std::move(entry));
      continue;
    }
    plan.entries.push_back(decide(weight, options, override));
  }
  if (llvm::Error error = keep.checkAllUsed("keep"))
    return std::move(error);
  if (llvm::Error error = overrides.checkAllUsed("override"))
    return std::move(error);
  return plan;
}
