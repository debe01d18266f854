//===- ExportTensors.h - What all exports share -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_EXPORTTENSORS_H
#define CQ_LIB_MODEL_EXPORTTENSORS_H

#include "TensorNames.h"
#include "cq/Model/Export.h"

namespace mlir::cq {

/// A tensor of the model: planes of `entry`, or `kept` as it is.
struct ModelTensor {
  const PlanEntry *entry = nullptr;
  const ParameterInfo *kept = nullptr;
  std::string name;   ///< in the family of the export
  std::string source; ///< in the folder
};

/// In the order of the archive. Error: a tensor that the family has no name
/// for, planes without an entry.
llvm::Expected<std::vector<ModelTensor>>
listModelTensors(const ExportInput &input, const TensorNames &names);

/// Where the export's rope pairs lie otherwise than the model's: the place of
/// each row of q or k. Empty: rows stay.
std::vector<uint32_t> movedRows(const ModelTensor &tensor,
                                const ModelConfig &config, bool interleaved);

/// A quantized weight, rows moved; `order` is always filled or empty as for
/// dequantizeWeight. Cherries stay, or go with `dropCherries`.
struct ExportWeight {
  QuantizedWeight weight;
  CherryPositions cherries;
  bool dropped = false;
  std::vector<float> values; ///< with cherries, in the export's row order
};
llvm::Expected<ExportWeight> readForExport(const ExportInput &input,
                                           const ModelTensor &tensor,
                                           llvm::ArrayRef<uint32_t> moved,
                                           const ExportOptions &options);

/// A kept tensor as f32, rows moved.
llvm::Expected<std::vector<float>> readKept(const ModelTensor &tensor,
                                            llvm::ArrayRef<uint32_t> moved);

/// RMS of the difference / RMS of `wanted`.
double relativeError(llvm::ArrayRef<float> wanted, llvm::ArrayRef<float> got);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_EXPORTTENSORS_H
