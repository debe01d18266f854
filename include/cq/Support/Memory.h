//===- Memory.h - Memory of this process ------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_MEMORY_H
#define CQ_SUPPORT_MEMORY_H

#include <cstdint>

namespace mlir::cq {

/// Largest resident memory of this process so far, in bytes.
int64_t peakMemory();

/// For work that takes the same large buffers again and again: from now on they
/// serve the next round. Left to itself, malloc maps and unmaps them each time,
/// a tenth of a calibration's time in page faults.
void keepMemory();

} // namespace mlir::cq

#endif // CQ_SUPPORT_MEMORY_H
