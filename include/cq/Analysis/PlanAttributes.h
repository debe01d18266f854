//===- PlanAttributes.h - Facts and plans in the IR -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// `cq.weight` on the source of a weight holds its facts; `cq.plan` on the
// module holds the decision, so that both can be seen and edited between
// passes:
//
//   cq.plan = [{name = "fc", shape = array<i64: 128, 64>,
//               scheme = #cq.scheme<…>, quantizer = #cq.quantizer<mse>,
//               cherries = #cq.cherries<slot, 1>,
//               criterion = #cq.criterion<quant_error>, reason = "uniform"}]
//
//===----------------------------------------------------------------------===//

#ifndef CQ_ANALYSIS_PLANATTRIBUTES_H
#define CQ_ANALYSIS_PLANATTRIBUTES_H

#include "cq/Analysis/WeightTracing.h"
#include "cq/Solver/Plan.h"

namespace mlir::cq {

inline constexpr llvm::StringLiteral kWeightAttrName = "cq.weight";
inline constexpr llvm::StringLiteral kPlanAttrName = "cq.plan";
/// How the plan came about (PlanDecision), where a solver made it.
inline constexpr llvm::StringLiteral kDecisionAttrName = "cq.plan_decision";

/// The name under which matrix `slice` of a weight is planned and stored: the
/// weight's own, or "name.slice" for a stack of several.
std::string getSliceName(const TracedWeight &weight, int64_t slice);

/// The facts of the matrices that can be quantized, in the order of tracing.
std::vector<WeightFacts> getWeightFacts(const WeightTracing &tracing);

/// verifyPlan of the solver library, and: weights that enter one argument of a
/// shared function are stored in one way (its code is one).
llvm::Error verifyPlan(const Plan &plan, const WeightTracing &tracing);

void setPlanAttr(Operation *module, const Plan &plan);
/// Fails (with a sentence) when there is none or it is malformed.
llvm::Expected<Plan> getPlanAttr(Operation *module);

} // namespace mlir::cq

#endif // CQ_ANALYSIS_PLANATTRIBUTES_H
