//===- QuantizedArchive.h - Reading planned weights -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_QUANTIZEDARCHIVE_H
#define CQ_MODEL_QUANTIZEDARCHIVE_H

#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"
#include "cq/Solver/Plan.h"

namespace mlir::cq {

/// The planes "WEIGHT:codes", "WEIGHT:scales", … of a weight that `entry` does
/// not keep, from the archive of a folder made by `cq quantize`; `cherries` are
/// set. Error: planes that do not fit the plan; it names weight and archive.
llvm::Expected<QuantizedWeight>
readQuantizedWeight(const ParameterArchive &archive, const PlanEntry &entry,
                    CherryPositions &cherries);

} // namespace mlir::cq

#endif // CQ_MODEL_QUANTIZEDARCHIVE_H
