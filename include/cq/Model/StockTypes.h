//===- StockTypes.h - Quantized weights as ggml blocks ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A quantized weight in the types that other programs read from GGUF. Codes are
// kept where the type has room for them; then only scales are rounded, and for
// Q4_0, Q5_0 and Q8_0 not even those. Where codes do not fit (cherries change
// values), values are rounded to Q8_0 or F16.
//

#ifndef CQ_MODEL_STOCKTYPES_H
#define CQ_MODEL_STOCKTYPES_H

#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"

namespace mlir::cq {

struct StockWeight {
  DType type = DType::F32;
  std::vector<uint8_t> bytes; ///< rows in the order of W
  double error = 0;           ///< RMS of the difference / RMS of the weight
};

/// The smallest of Q2_K, Q3_K, Q4_0, Q4_1, Q5_0, Q5_1, Q6_K, Q8_0 and F16 whose
/// error is at most `tolerance`; the most exact one where none is. `cherries`
/// may be null.
StockWeight nearestStockType(const QuantizedWeight &weight,
                             const CherryPositions *cherries, double tolerance,
                             unsigned threads = 0);

/// f32 values as F16 or BF16 where that loses nothing, else as F32.
StockWeight exactStockType(llvm::ArrayRef<float> values);

} // namespace mlir::cq

#endif // CQ_MODEL_STOCKTYPES_H
