//===- KernelFrame.h - What all product kernels share -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTONVGPU_KERNELFRAME_H
#define CQ_LIB_CONVERSION_CQTONVGPU_KERNELFRAME_H

#include "WeightTile.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace mlir::cq::nv {

/// Where a thread stands. Warps are numbered with those of one tile together:
/// warp = warpN · warpsK + warpK.
struct Place {
  Value thread, lane, warpK, warpN;
  Value firstTile; ///< of this warp, in the segment
  Value firstRow;  ///< of the CTA, in the segment
};

struct KernelFrame {
  gpu::GPUFuncOp kernel;
  KernelArguments args;
  Place place;
  Value tokens;     ///< m as an index, at most `maxTokens`
  Value firstToken; ///< of the CTA
  Value shared;     ///< memref<?xi8>
};

/// The function with its arguments, attributes and what every thread computes
/// first; the builder is left inside.
KernelFrame openKernel(Emitter &b, const MatmulSpec &spec);

/// A view of shared memory at a byte offset.
Value sharedView(Emitter &b, const KernelFrame &frame, int64_t byte,
                 ArrayRef<int64_t> shape, Type element);

/// Column at which x[row, column] lies in shared memory: odd rows swap the
/// halves of a chunk, so that eight lanes hit all banks.
Value swizzled(Emitter &b, Value row, Value column);

/// Bytes of the buffer that `storeSums` needs.
int64_t reductionBytes(const MatmulSpec &spec);

/// Adds the cherries to the sums of the warps, those in a fixed order, and
/// stores y. Starts with a barrier. The buffer at `byte` of shared memory may
/// overlap what was read before.
void storeSums(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame,
               ArrayRef<Value> sums, int64_t byte);

/// Adds to buffer[warpK, token, row] what the cherries of a share of the
/// columns contribute. Each element has one lane.
void addCherries(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame,
                 Value buffer);

/// The loops of the two families.
void buildResidentBody(Emitter &b, const MatmulSpec &spec,
                       const KernelFrame &frame);
void buildPipelinedBody(Emitter &b, const MatmulSpec &spec,
                        const KernelFrame &frame);

/// Columns of x that lie in shared memory at a time (resident).
int64_t residentColumns(const MatmulSpec &spec);
/// Bytes of all stages of x (pipelined).
int64_t pipelineBytes(const MatmulSpec &spec);

/// x[token, column … column + 7] in the compute type, through registers; zeros
/// behind K. The token exists.
Value loadActivations(Emitter &b, const MatmulSpec &spec,
                      const KernelFrame &frame, Value token, Value column);

} // namespace mlir::cq::nv

#endif // CQ_LIB_CONVERSION_CQTONVGPU_KERNELFRAME_H
