//===- FeedbackQuantizer.h - gptq on panels of rows -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CODEC_FEEDBACKQUANTIZER_H
#define CQ_LIB_CODEC_FEEDBACKQUANTIZER_H

#include "FeedbackKernels.h"
#include "cq/Codec/Quantizer.h"

namespace mlir::cq::detail {

/// Replaces codes and scales of `q`, quantized without feedback, by those of
/// gptq where they are better, a row at a time. `values` [n, k] receives what
/// each cherry is to be worth (other positions: unspecified). Returns the rows'
/// errors δ H δᵀ, before and after, for tests and reports.
struct RowErrors {
  std::vector<float> before, after;
};
RowErrors compensate(QuantizedWeight &q, const float *w,
                     const CherryPositions *cherries,
                     const SecondMoments &moments, const GPTQOptions &options,
                     std::vector<float> &cherryValues, unsigned threads,
                     const FeedbackKernels &kernels = feedbackKernels());

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_FEEDBACKQUANTIZER_H
