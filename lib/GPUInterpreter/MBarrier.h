//===- MBarrier.h - mbarrier objects ----------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_GPUINTERPRETER_MBARRIER_H
#define CQ_LIB_GPUINTERPRETER_MBARRIER_H

#include "Translator.h"

namespace mlir::cq::gpusim {

LogicalResult initMBarrier(Warp &warp, unsigned lane, uint64_t address,
                           uint64_t count);
/// Null after an error: not initialised, or not ordered after it.
MBarrier *findMBarrier(Warp &warp, unsigned lane, uint64_t address);
/// Counts arrivals and expected bytes; gives the number of the phase. The
/// caller ticks the warp's clock after its lanes have arrived.
FailureOr<uint64_t> arrive(Warp &warp, unsigned lane, uint64_t address,
                           uint64_t count, int64_t transactions);
FailureOr<bool> testParity(Warp &warp,
                           llvm::function_ref<uint64_t(unsigned)> address,
                           llvm::function_ref<uint64_t(unsigned)> parity);
/// Waits until the phase of the given parity is over in every active lane.
Outcome waitParity(Warp &warp,
                   const std::function<uint64_t(Warp &, unsigned)> &address,
                   const std::function<uint64_t(Warp &, unsigned)> &parity);

/// Starts a copy to shared memory (cp.async.bulk) counted by an mbarrier.
LogicalResult startBulkCopy(Warp &warp, unsigned lane, uint64_t target,
                            uint64_t source, uint64_t barrier, uint64_t bytes);

} // namespace mlir::cq::gpusim

#endif // CQ_LIB_GPUINTERPRETER_MBARRIER_H
