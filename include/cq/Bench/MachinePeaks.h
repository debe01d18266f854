//===- MachinePeaks.h - What a machine can do at best -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_BENCH_MACHINEPEAKS_H
#define CQ_BENCH_MACHINEPEAKS_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::cq {

/// Reads 256 MB with the threads of the runtime's pool.
class ReadBandwidth {
public:
  ReadBandwidth();
  /// Bytes a second of one pass.
  double measure();

private:
  std::vector<uint64_t> memory;
};

/// Instructions that multiply bytes on this CPU: "vpdpbusd zmm", or
/// "vpmaddubsw + vpmaddwd + vpaddd ymm".
std::string multiplierName();

/// u8 × s8 multiplications a second of all threads of the pool, from
/// registers; 0 on a CPU without AVX2.
double measureMultipliers();

} // namespace mlir::cq

#endif // CQ_BENCH_MACHINEPEAKS_H
