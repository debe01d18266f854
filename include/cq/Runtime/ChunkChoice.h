//===- ChunkChoice.h - Which chunk for so many tokens -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_CHUNKCHOICE_H
#define CQ_RUNTIME_CHUNKCHOICE_H

#include <cstddef>
#include <cstdint>

namespace mlir::cq {

/// CPU code exists for calls of `sizes` tokens (ascending, count ≥ 1). Index of
/// the size to call next for `remaining` ≥ 1 tokens, so that all calls take
/// the least time: the largest that is filled, or a larger one with rows to
/// spare where that costs less than several smaller ones.
size_t chooseChunk(const int64_t *sizes, size_t count, int64_t remaining);

} // namespace mlir::cq

#endif // CQ_RUNTIME_CHUNKCHOICE_H
