//===- DequantizedWeight.h - Weights decoded by upstream ops ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Other stacks decode integer weights in front of a product: a linalg.generic
// over codes, scales and perhaps zero points, or quant.dcast. Both say, for
// every element, scale · (code − zero).
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_DEQUANTIZEDWEIGHT_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_DEQUANTIZEDWEIGHT_H

#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Value.h"
#include <vector>

namespace mlir::cq {

/// A decoded weight, an entry for every element of the value.
struct DequantizedWeight {
  std::string name; ///< of the codes, where they have one
  std::vector<int32_t> codes, zeros;
  std::vector<float> scales;
  ScaleType scaleType = ScaleType::F32;
};

/// Whether `value` is made by an op that may decode a weight.
bool isDequantization(Value value);

/// What `value` decodes; or a sentence why it cannot be told. `archive` (may be
/// null) has the globals that are by reference.
llvm::Expected<DequantizedWeight>
readDequantized(Value value, const SymbolTable &symbols,
                const ParameterArchive *archive);

/// W [n, k] from those numbers, [n, k] in order or transposed: bits and grid
/// are the smallest that hold the codes, the group the longest over which
/// scales and zero points do not change. Or a sentence why there is no scheme.
llvm::Expected<QuantizedWeight> makeQuantized(const DequantizedWeight &weight,
                                              int64_t n, int64_t k,
                                              bool transposed);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_DEQUANTIZEDWEIGHT_H
