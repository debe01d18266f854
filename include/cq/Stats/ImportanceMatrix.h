//===- ImportanceMatrix.h - llama.cpp's importance matrices -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// llama-imatrix writes Σ x² of each linear layer's input columns. Two forms,
// told apart by content:
//
//  - GGUF: F32 tensors `<weight>.in_sum2` [matrices, k] and `<weight>.counts`
//    [matrices, 1] (tokens); strings `imatrix.datasets`, numbers
//    `imatrix.chunk_count`, `imatrix.chunk_size`.
//  - legacy (.dat), little-endian: i32 entries; for each i32 length, name, i32
//    calls (chunks), i32 values, f32 values, which are calls · E[x²]; then,
//    optionally, i32 chunks, i32 length, name of the data set. The number of
//    tokens is not in the file.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_STATS_IMPORTANCEMATRIX_H
#define CQ_STATS_IMPORTANCEMATRIX_H

#include "cq/Stats/Statistics.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {

/// Reads either form. Sums of squares and tokens are all there is; a legacy
/// file's chunks are taken to have `chunkTokens` tokens, which changes counts
/// and sums but no mean. Weights that `model` has not, or of another shape, are
/// errors; it gives the fingerprint. `names` leads from GGUF's names to those
/// of `model` where they differ. Experts (several matrices an entry) are
/// refused.
llvm::Expected<Statistics>
importImportanceMatrix(llvm::StringRef path, const ParameterArchive &model,
                       int64_t chunkTokens = 512,
                       const llvm::StringMap<std::string> &names = {},
                       unsigned threads = 0);

/// GGUF's names of a model's linear layers -> those of its archive.
struct ModelSource;
llvm::StringMap<std::string> weightNamesOf(const ModelSource &source);

} // namespace mlir::cq

#endif // CQ_STATS_IMPORTANCEMATRIX_H
