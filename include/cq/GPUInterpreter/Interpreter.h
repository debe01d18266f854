//===- Interpreter.h - GPU kernels run on the host --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Executes one gpu.func on the host, so that its numbers and its
// synchronisation are tested on machines without a GPU. A warp is 32 lanes in
// lock step; blocks run one after the other, the warps of a block interleaved
// by a seeded random schedule. What a GPU leaves to chance is an error here:
// see docs/GPU-interpreter.md.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_GPUINTERPRETER_INTERPRETER_H
#define CQ_GPUINTERPRETER_INTERPRETER_H

#include "mlir/Support/LLVM.h"
#include <array>
#include <cstdint>

namespace mlir {
class Operation;
}

namespace mlir::cq {

/// What the host passes for one parameter of a kernel.
struct GPUArgument {
  /// The bits of an integer, index or float parameter; unused for buffers.
  uint64_t scalar = 0;
  /// The memory behind a memref or pointer parameter; stays the caller's. The
  /// element at index 0 of a memref is its first byte.
  MutableArrayRef<uint8_t> bytes;
  /// Sizes of a memref's dynamic dimensions, in order; dynamic strides are
  /// those of a dense row-major buffer.
  SmallVector<int64_t, 4> dynamicSizes;
  /// A write to it is an error, and its reads need no race bookkeeping.
  bool readOnly = false;
  /// Reading a byte that the launch has not written is an error.
  bool uninitialised = false;
};

/// One launch.
struct GPULaunch {
  std::array<int64_t, 3> grid{1, 1, 1}, block{32, 1, 1};
  /// Bytes behind gpu.dynamic_shared_memory.
  int64_t dynamicSharedBytes = 0;
  SmallVector<GPUArgument> arguments;
  /// Chooses the order of blocks and warps. Every seed must give the same
  /// result; a seed that does not is a bug of the kernel.
  uint64_t seed = 0;
  /// Operations a launch may take before it counts as hanging.
  uint64_t maxSteps = uint64_t(1) << 33;
};

/// What a launch did; for tests and cost models.
struct GPULaunchStatistics {
  uint64_t steps = 0;      ///< operations of warps
  uint64_t barriers = 0;   ///< block-wide barriers passed
  int64_t sharedBytes = 0; ///< static and dynamic, of one block
};

/// Runs `kernel`, a gpu.func, with `launch`. Every error is a diagnostic at the
/// operation at fault that names warp, lane and block.
LogicalResult runGPUKernel(Operation *kernel, const GPULaunch &launch,
                           GPULaunchStatistics *statistics = nullptr);

} // namespace mlir::cq

#endif // CQ_GPUINTERPRETER_INTERPRETER_H
