//===- KernelBuilder.h - Shorthand for emitting f32 kernels --- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_KERNELBUILDER_H
#define CQ_CONVERSION_LINALGTOX86_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq {

/// Sizes of the register tiles and of the packed blocks.
struct GemmTiling {
  unsigned lanes;      ///< f32 in a vector register
  unsigned rows;       ///< M of the packed kernel's register tile
  unsigned vectors;    ///< N of that tile, in vectors
  int64_t depth = 256; ///< K of a packed block: one panel of B stays in L1
  int64_t panels = 8;  ///< panels of B packed at a time: they stay in L2
  int64_t columns() const { return static_cast<int64_t>(vectors) * lanes; }
  /// 6 × 16 fills 12 of AVX2's 16 registers with sums, 14 × 32 fills 28 of 32.
  static GemmTiling get(unsigned vectorBits) {
    return vectorBits >= 512 ? GemmTiling{16, 14, 2} : GemmTiling{8, 6, 2};
  }
};

/// Rank of every matrix a kernel sees: [batch, batch, row, column], strides and
/// extents dynamic; `unit`: columns are contiguous.
MemRefType getViewType(MLIRContext *context, bool unit);

/// `count` floats at what the runtime's `symbol` (cq_scratch, cq_workspace)
/// returns, as memref<?xf32>.
Value callScratch(OpBuilder &b, Location loc, ModuleOp module, StringRef symbol,
                  Value count);

/// Emits one kernel function. Index arithmetic reads as such.
class KernelBuilder {
public:
  /// Inserts a private, never inlined function at the end of the module and
  /// positions the builder in it.
  KernelBuilder(ModuleOp module, StringRef name, TypeRange arguments,
                unsigned lanes);

  func::FuncOp function;
  ImplicitLocOpBuilder b;
  unsigned lanes;

  Value argument(unsigned i) { return function.getArgument(i); }
  VectorType vector() { return VectorType::get({lanes}, b.getF32Type()); }
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, x, y); }
  Value div(Value x, Value y) { return arith::DivUIOp::create(b, x, y); }
  Value rem(Value x, Value y) { return arith::RemUIOp::create(b, x, y); }
  Value min(Value x, Value y) { return arith::MinUIOp::create(b, x, y); }
  Value max(Value x, Value y) { return arith::MaxUIOp::create(b, x, y); }
  Value ceilDiv(Value x, int64_t y) {
    return div(add(x, index(y - 1)), index(y));
  }
  Value less(Value x, Value y) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, x, y);
  }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, x, y); }
  Value isFalse(Value x) {
    return arith::CmpIOp::create(
        b, arith::CmpIPredicate::eq, x,
        arith::ConstantOp::create(b, b.getBoolAttr(false)));
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, condition, x, y);
  }
  Value either(Value x, Value y) { return arith::OrIOp::create(b, x, y); }
  Value dim(Value memref, int64_t d) {
    return memref::DimOp::create(b, memref, d);
  }
  Value zero() { return arith::ConstantOp::create(b, b.getF32FloatAttr(0)); }
  Value zeroVector() {
    return arith::ConstantOp::create(b, b.getZeroAttr(vector()));
  }
  /// Lanes below `count` (which may exceed the vector).
  Value mask(Value count) {
    return vector::CreateMaskOp::create(
        b, VectorType::get({lanes}, b.getI1Type()), count);
  }
  Value load(Value memref, ValueRange at) {
    return vector::LoadOp::create(b, vector(), memref, at);
  }
  /// The cache line of an element that is read soon.
  void prefetch(Value memref, ValueRange at) {
    memref::PrefetchOp::create(b, memref, at, /*isWrite=*/false,
                               /*localityHint=*/3, /*isDataCache=*/true);
  }
  Value maskedLoad(Value memref, ValueRange at, Value mask) {
    return vector::MaskedLoadOp::create(b, vector(), memref, at, mask,
                                        zeroVector());
  }
  Value fma(Value x, Value y, Value sum) {
    return vector::FMAOp::create(b, x, y, sum);
  }
  Value splat(Value scalar) {
    return vector::BroadcastOp::create(b, vector(), scalar);
  }

  using Body =
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange sums)>;
  SmallVector<Value> loop(Value from, Value to, Value step, ValueRange sums,
                          Body body);
  void loop(Value from, Value to, Value step,
            llvm::function_ref<void(Value iv)> body);
  void ifThen(Value condition, llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise = nullptr);
  void finish() { func::ReturnOp::create(b); }
};

/// Adds the kernels of this family; each returns the existing one if there is.
/// All compute C += A · B, or C = A · B where `accumulate` is false.
///
/// cq_f32_dot_<rows>(A [.,.,M,K] unit, B [.,.,N,K] unit, C [.,.,M,N] unit, i1
/// accumulate, begin, end): sums along contiguous K; task = batch × ceil(N /
/// columns).
struct DotTile {
  int64_t rows, columns; ///< of C; 4 or 8 columns
  /// For M = `rows`: as many passes over the tile's rows of B as must be, of
  /// about the same number of rows.
  static DotTile get(unsigned lanes, int64_t rows);
};
func::FuncOp getDotKernel(ModuleOp module, unsigned lanes, const DotTile &tile);
/// cq_f32_direct_<rows>(A [.,.,M,K], B [.,.,K,N] unit, C [.,.,M,N] unit, …):
/// reads rows of B where they lie; task = batch × ceil(N / (2 vectors)).
enum class DirectForm {
  ManyRows,
  /// cq_f32_direct_few_<rows>: a block of rows of B meets all tasks of a thread
  /// before the next block does.
  FewRows,
  /// cq_f32_direct_nk_<rows>: B [.,.,N,K] unit; a task transposes its rows of B
  /// first.
  Transposed
};
func::FuncOp getDirectKernel(ModuleOp module, unsigned lanes, int64_t rows,
                             DirectForm form);
/// Rows of such a kernel's tile for M = `rows`, which are few.
int64_t getDirectRows(unsigned lanes, int64_t rows);
/// cq_f32_pack(A [1,1,M,K], P [?], begin, end): panels of `rows` rows, blocks
/// of `depth` columns; task = ceil(M / rows).
func::FuncOp getPackKernel(ModuleOp module, const GemmTiling &tiling);
/// cq_f32_packed…(P, B [1,1,N,K], C [1,1,M,N] unit, …); task = ceil(N /
/// columns). `unitK`, `unitN`: which of B's dimensions is contiguous (or
/// neither).
func::FuncOp getPackedKernel(ModuleOp module, const GemmTiling &tiling,
                             bool unitK, bool unitN);

/// to[base + kk · |rows| + j] = from[batch, rows[j], first + kk] for kk <
/// count; elements of a row are contiguous, and |rows| is a multiple of 8.
void packTransposed(KernelBuilder &k, Value from, ValueRange batch,
                    ValueRange rows, Value first, Value count, Value to,
                    Value base);

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_KERNELBUILDER_H
