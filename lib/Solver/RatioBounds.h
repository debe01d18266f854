//===- RatioBounds.h - Bound and repair for any M ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_RATIOBOUNDS_H
#define CQ_LIB_SOLVER_RATIOBOUNDS_H

#include "RatioModel.h"

namespace mlir::cq {

/// A feasible answer of a problem whose budget is reachable, its proven bound
/// and the price of a byte at that bound.
RatioSolution boundAndRepair(const RatioProblem &problem,
                             const RatioModel &model);

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_RATIOBOUNDS_H
