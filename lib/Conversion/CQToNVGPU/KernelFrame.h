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
  Value split;      ///< share of the columns of the CTA; null: it has all
};

/// The function with its arguments, attributes and what every thread computes
/// first; the builder is left inside.
KernelFrame openKernel(Emitter &b, const MatmulSpec &spec);
/// Shared memory whose size the launch says.
Value dynamicShared(Emitter &b);
/// A kernel of `threads` threads with its attributes; the builder is left
/// inside. `arguments` become its arguments.
struct KernelArgument {
  StringRef name;
  Value *value;
  Type type;
};
gpu::GPUFuncOp createKernel(Emitter &b, StringRef name,
                            ArrayRef<KernelArgument> arguments,
                            unsigned threads, int64_t gridX, int64_t gridZ,
                            int64_t sharedBytes, unsigned tokens,
                            bool tokenBlocks);
/// gpu.thread_id x, gpu.block_id of a dimension.
Value threadIndex(Emitter &b);
Value blockIndex(Emitter &b, gpu::Dimension dimension);

/// A view of shared memory at a byte offset.
Value sharedView(Emitter &b, const KernelFrame &frame, int64_t byte,
                 ArrayRef<int64_t> shape, Type element);

/// Column at which x[row, column] lies in shared memory: odd rows swap the
/// halves of a chunk, so that eight lanes hit all banks.
Value swizzled(Emitter &b, Value row, Value column);

/// Bytes of the buffer that `storeSums` needs.
int64_t reductionBytes(const MatmulSpec &spec);

/// Adds the cherries to the sums of the warps, those in a fixed order, and
/// stores y. Sums lie at `byte` of shared memory; `overlaps`: others may still
/// read there, so that it starts with a barrier.
void storeSums(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame,
               ArrayRef<Value> sums, int64_t byte = 0, bool overlaps = true);

/// Adds to buffer[warpK, token, row] what the cherries of a share of the
/// columns contribute. Each element has one lane.
void addCherries(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame,
                 Value buffer);

/// The loops of the families.
void buildResidentBody(Emitter &b, const MatmulSpec &spec,
                       const KernelFrame &frame);
void buildPipelinedBody(Emitter &b, const MatmulSpec &spec,
                        const KernelFrame &frame);
void buildWarpgroupBody(Emitter &b, const MatmulSpec &spec,
                        const KernelFrame &frame);

/// Columns of x that lie in shared memory at a time (resident), and how many
/// times that makes for a CTA.
int64_t residentColumns(const MatmulSpec &spec);
int64_t residentPhases(const MatmulSpec &spec);
/// Bytes of all stages of x (pipelined).
int64_t pipelineBytes(const MatmulSpec &spec);
/// Elements of a stage of x (warpgroup).
int64_t stageElements(const MatmulSpec &spec);

/// x[token, column … column + 7] in the compute type, through registers; zeros
/// behind K. The token exists.
Value loadActivations(Emitter &b, const MatmulSpec &spec,
                      const KernelFrame &frame, Value token, Value column);

} // namespace mlir::cq::nv

#endif // CQ_LIB_CONVERSION_CQTONVGPU_KERNELFRAME_H
