//===- Kernels.h - Generators of NVIDIA kernels -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each function here writes one `gpu.func`: gpu, nvgpu, cq.nv, arith, math,
// vector, scf and memref, nothing else; docs/Kernels-nvidia.md lists the ops
// and the signature. y [m, N] = x [m, K] · Ŵᵀ with the weight as the first
// operand of the mma, in layout mma-fragment; codes become exact small integers
// in the compute type, products are summed in f32 for a group, then scaled.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTONVGPU_KERNELS_H
#define CQ_CONVERSION_CQTONVGPU_KERNELS_H

#include "cq/Codec/Layout.h"
#include <string>
#include <vector>

namespace mlir {
class Location;
class OpBuilder;
namespace gpu {
class GPUFuncOp;
} // namespace gpu
} // namespace mlir

namespace mlir::cq::nv {

/// Floating-point types of activations, results and products; spelled as those
/// of scales.
using FloatKind = ScaleType;

/// Which loop a kernel has.
///   resident   up to 8 tokens: x stays in shared memory, warps share K
///   pipelined  more: x comes through shared memory in stages (cp.async)
///   warpgroup  sm_90a, many: wgmma with the weights from registers; x, put in
///              order by a kernel of its own, comes in bulk copies
enum class Family : uint8_t { Resident, Pipelined, Warpgroup };

/// What may be tuned. Every combination computes the same sums up to their
/// order; the order depends on nothing else, so results are reproducible.
struct KernelOptions {
  Family family = Family::Resident;
  /// Tokens of one CTA: 1, 2, 4, 8 (resident), 16, 32, 64 (pipelined), 64, 128
  /// (warpgroup).
  unsigned tokens = 1;
  unsigned warpsK = 8;     ///< warps that share the columns of a tile
  unsigned warpsN = 1;     ///< warps with rows of their own
  unsigned tiles = 1;      ///< tiles of 16 rows of a warp
  unsigned unitChunks = 4; ///< chunks of 64 columns a warp takes at a time
  unsigned stages = 3;     ///< stages of x (pipelined, warpgroup)
  int64_t sharedBytes = 64 << 10; ///< of x at a time (resident)
  /// CTAs that share the columns; above 1 a kernel writes partial sums, and
  /// another one adds them in a fixed order (resident, pipelined).
  unsigned splitK = 1;

  bool operator==(const KernelOptions &o) const {
    return family == o.family && tokens == o.tokens && warpsK == o.warpsK &&
           warpsN == o.warpsN && tiles == o.tiles &&
           unitChunks == o.unitChunks && stages == o.stages &&
           sharedBytes == o.sharedBytes && splitK == o.splitK;
  }
  /// Threads that multiply; a warpgroup kernel has one warpgroup more, which
  /// copies.
  unsigned multipliers() const { return 32 * warpsK * warpsN; }
  unsigned threads() const {
    return multipliers() + (family == Family::Warpgroup ? 128 : 0);
  }
  unsigned rowsPerBlock() const { return 16 * tiles * warpsN; }
};

/// One product with the rows of one segment of a weight.
struct MatmulSpec {
  Scheme scheme; ///< of the weight; the segment says the width
  Layout layout; ///< mma-fragment
  unsigned segment = 0;
  CherrySpec cherries;
  int64_t n = 0, k = 0;  ///< of the whole weight
  int64_t maxTokens = 0; ///< leading dimension of x and y: a bound on m
  FloatKind compute = FloatKind::F16; ///< F16 or BF16
  FloatKind x = FloatKind::F16, y = FloatKind::F32;
  KernelOptions options;

  unsigned bits() const { return layout.segments[segment].bits; }
  Scheme segmentScheme() const { return scheme.withBits(bits()); }
  int64_t rows() const { return layout.segments[segment].rows; }
  int64_t firstRow() const;   ///< stored row of W that the segment starts with
  int64_t codeOffset() const; ///< of the segment's codes in their plane
  int64_t chunks() const { return (k + 63) / 64; }
  int64_t tiles() const { return (rows() + 15) / 16; }

  /// "cq_mm_n192_k576_b3_g64_symmetric_f16_cf16_xf16_yf32_t1…": unique for what
  /// the kernel does.
  std::string name() const;
  /// A sentence where no kernel can be written.
  std::optional<std::string> unsupported() const;
  /// CTAs in x (rows) and bytes of dynamic shared memory.
  int64_t gridX() const;
  /// Warpgroup: elements of "packed", and the kernel that fills it.
  int64_t packedElements() const;
  std::string activationsName() const;
  /// splitK > 1: the kernel that adds the partial sums.
  std::string sumName() const;
  int64_t sharedBytes() const;
};

/// Writes the kernel where the builder stands (inside a gpu.module).
gpu::GPUFuncOp buildMatmulKernel(OpBuilder &builder, Location loc,
                                 const MatmulSpec &spec);

/// The kernel that puts activations in the order of Family::Warpgroup:
/// kernel(x, packed, m). Several products of the same x may share it.
gpu::GPUFuncOp buildActivationsKernel(OpBuilder &builder, Location loc,
                                      const MatmulSpec &spec);

/// The kernel behind one with splitK > 1: kernel(partial, y, m), y the sums of
/// partial [m, splitK, N] in rising order.
gpu::GPUFuncOp buildSumKernel(OpBuilder &builder, Location loc,
                              const MatmulSpec &spec);

/// Writes the kernel and those that go with it, none twice in a module; the
/// builder stands in a gpu.module.
gpu::GPUFuncOp buildKernels(OpBuilder &builder, Location loc,
                            const MatmulSpec &spec);

/// What the code around kernels can do.
struct Abilities {
  bool wgmma = false;  ///< the code is for sm_90a alone, two launches are fine
  bool splits = false; ///< so are those of splitK > 1
};

/// The options that a product of `tokens` tokens gets (0: unknown, many) on an
/// architecture (80, 90): the one place where they are chosen.
KernelOptions chooseOptions(const MatmulSpec &spec, int64_t tokens,
                            unsigned architecture, Abilities abilities = {});

/// All options worth measuring for such a product, the chosen ones first; those
/// that cannot be built are left out.
std::vector<KernelOptions> candidateOptions(const MatmulSpec &spec,
                                            int64_t tokens,
                                            unsigned architecture,
                                            Abilities abilities = {});

} // namespace mlir::cq::nv

#endif // CQ_CONVERSION_CQTONVGPU_KERNELS_H
