//===- Collect.h - Parts of collectReport -----------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_REPORT_COLLECT_H
#define CQ_LIB_REPORT_COLLECT_H

#include "cq/Model/Parameters.h"
#include "cq/Report/Report.h"

namespace mlir::cq {

/// Share of weights that count as cherries in overlaps and scatter plots.
inline constexpr int64_t cherryShare = 256;

/// A row for each weight of the plan, in its order, and its totals as facts.
llvm::Error collectPlan(const ReportInputs &inputs, Report &report);

/// Relative error of each quantized weight; needs model, planes and plan.
llvm::Error collectErrors(const ReportInputs &inputs, Report &report);

/// A sample of `weight`, whose Fisher matrix and values are there.
llvm::Expected<ScatterReport> collectScatter(const ReportInputs &inputs,
                                             const MatrixReport &matrix);

/// f32 values of a weight [n, k] of the model, checked against the statistics;
/// empty where there is no model.
llvm::Expected<std::vector<float>> loadWeight(const ReportInputs &inputs,
                                              const MatrixReport &matrix);

} // namespace mlir::cq

#endif // CQ_LIB_REPORT_COLLECT_H
