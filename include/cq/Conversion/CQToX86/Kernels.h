//===- Kernels.h - Generators of fused dequantize-GEMM kernels --*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each function here writes one `func.func` on memrefs: arith, math, vector,
// scf, memref and llvm.call_intrinsic, ready for the usual conversions to LLVM.
// What the numbers are is defined by cq/Codec/ReferenceGemm.h; the kernels
// equal it bit for bit on every level. Where the bytes lie is asked from
// cq/Codec/Layout.h.
//
// A kernel's arguments are the memrefs it reads and writes, those that the spec
// has not left out, then `begin` and `end` of the tasks to do: panels of 16
// rows for a product, tokens for the others.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOX86_KERNELS_H
#define CQ_CONVERSION_CQTOX86_KERNELS_H

#include "cq/Codec/ReferenceGemm.h"
#include "cq/Conversion/CQToX86/ISA.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::cq::x86 {

/// A packed weight, as generators need to know it. The bits are those of the
/// layout's segments.
struct WeightSpec {
  Scheme scheme;
  Layout layout;
  CherrySpec cherries;
  int64_t n = 0, k = 0;
  /// "w192x576_b3_g64_symmetric_f16_panel16": unique for what the kernel does.
  /// (with rows of two widths: "…_panel16_32b4_160b3_permuted")
  std::string name() const;
  /// A sentence where no kernel can be written for it.
  std::optional<std::string> unsupported() const;
  /// Panels of 16 rows: the tasks of a product.
  int64_t numPanels() const;
  /// Whether task i writes columns [16 i, 16 i + 16) of y and nothing else.
  bool tasksAreColumns() const;
};

/// y [m, n] = x [m, k] · Ŵᵀ.
struct MatmulSpec {
  WeightSpec weight;
  ActivationMode mode = ActivationMode::Int8;
  int64_t m = 1; ///< tokens; ShapedType::kDynamic: taken from y
  ISA isa;
  /// x is given by columns, for the cherries only (see transposedType).
  bool transposed = false;
  std::string name() const;
  bool needsFloatActivations() const {
    return mode == ActivationMode::F32 ||
           weight.cherries.form != CherryForm::None;
  }
};

/// Types of the memrefs, in the order of the kernel's arguments; null = absent.
struct MatmulTypes {
  MemRefType x, activationCodes, activationScales, activationSums;
  MemRefType codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder;
  MemRefType y;
  /// Identity-layout memrefs of the shapes the codec states.
  static MatmulTypes get(MLIRContext *context, const MatmulSpec &spec);
};
class KernelCache;

/// x [m, k] by columns: [⌈m / 16⌉, 256 slotBlocks(k), 16]. For slot cherries of
/// many tokens, whose columns are then contiguous.
inline constexpr int64_t kTransposedTokens = 16;
MemRefType transposedType(MLIRContext *context, int64_t m, int64_t k);
/// Whether a product is quicker with x by columns.
bool wantsTransposed(const MatmulSpec &spec);
/// What makes it of x [m, k]; tasks are tokens.
func::FuncOp buildTransposeKernel(OpBuilder &builder, Location loc,
                                  StringRef name, MemRefType x,
                                  MemRefType columns);

/// With a cache the kernel consists of calls, one for each segment of rows;
/// what is called goes into the cache's module and is shared with other
/// kernels.
func::FuncOp buildMatmulKernel(OpBuilder &builder, Location loc, StringRef name,
                               const MatmulSpec &spec, const MatmulTypes &types,
                               KernelCache *cache = nullptr);

/// Rows of a packed weight as floats; tasks are the entries of `indices`.
struct GatherTypes {
  MemRefType indices, codes, scales, zeros, cherryColumns, cherryDeltas, out;
  static GatherTypes get(MLIRContext *context, const WeightSpec &spec,
                         int64_t m);
};
func::FuncOp buildGatherKernel(OpBuilder &builder, Location loc, StringRef name,
                               const WeightSpec &spec,
                               const GatherTypes &types);

/// Activations to int8; tasks are tokens.
struct DynamicQuantizeTypes {
  MemRefType x, codes, scales, sums;
  static DynamicQuantizeTypes get(MLIRContext *context, int64_t m, int64_t k,
                                  int64_t group);
};
func::FuncOp buildDynamicQuantizeKernel(OpBuilder &builder, Location loc,
                                        StringRef name, int64_t k,
                                        int64_t group,
                                        const DynamicQuantizeTypes &types);

} // namespace mlir::cq::x86

#endif // CQ_CONVERSION_CQTOX86_KERNELS_H
