//===- Handles.h - What the handles point to --------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CAPI_HANDLES_H
#define CQ_LIB_CAPI_HANDLES_H

#include "cq-c/Plan.h"
#include "cq-c/Weight.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Solver/Measurements.h"
#include "cq/Solver/Plan.h"
#include "cq/Stats/Statistics.h"

struct CqWeight_ {
  mlir::cq::PackedWeight packed;
};

struct CqStatistics_ {
  std::shared_ptr<mlir::cq::StatisticsReader> reader;
};

struct CqMeasurements_ {
  mlir::cq::Measurements held;
  /// Both null where the numbers come from a file.
  std::shared_ptr<mlir::cq::StatisticsReader> statistics;
  std::unique_ptr<mlir::cq::WeightLossMeter> meter;
};

struct CqPlan_ {
  mlir::cq::Plan plan;
};

#endif // CQ_LIB_CAPI_HANDLES_H
