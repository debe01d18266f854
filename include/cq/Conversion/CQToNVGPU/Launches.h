//===- Launches.h - What runs a product on a device -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For those that launch kernels themselves: benchmarks, the device bundle,
// tests. Everything is read off the kernel's attributes.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTONVGPU_LAUNCHES_H
#define CQ_CONVERSION_CQTONVGPU_LAUNCHES_H

#include "cq/Conversion/CQToNVGPU/Kernels.h"
#include <array>

namespace mlir::cq::nv {

struct ProductLaunch {
  std::string kernel;
  std::array<int64_t, 3> grid, block;
  int64_t sharedBytes = 0;
  /// Of its parameters: "m" is the number of tokens, others name buffers.
  std::vector<std::string> arguments;
};

/// The launches of a product of m tokens, in order: what `kernel` needs before
/// (cq.prepare), itself, what it needs behind (cq.finish).
std::vector<ProductLaunch> launchesOf(gpu::GPUFuncOp kernel, int64_t m);

/// Bytes of the buffer that a role names, for m tokens; 0: not known.
int64_t bufferBytes(const MatmulSpec &spec, int64_t m, llvm::StringRef role);

} // namespace mlir::cq::nv

#endif // CQ_CONVERSION_CQTONVGPU_LAUNCHES_H
