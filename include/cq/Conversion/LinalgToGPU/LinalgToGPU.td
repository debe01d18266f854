//===- LinalgToGPU.td - Linalg on buffers to GPU kernels ---*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOGPU_TD
#define CQ_CONVERSION_LINALGTOGPU_TD

include "mlir/Pass/PassBase.td"

def ConvertLinalgToGPU : Pass<"convert-linalg-to-gpu", "::mlir::ModuleOp"> {
  let summary = "Linalg on buffers to launches of generated GPU kernels";
  let description = [{
    Every linalg op and copy of a function becomes a `gpu.launch_func` of a kernel
    in `gpu.module @cq_kernels`; equal kernels are written once. A reduction with a
    known combiner takes a warp for each result, whose lanes share the reduced
    dimensions and meet in shuffles; everything else takes a thread for each
    result. Sums are added in an order that depends on the shape only.

    Launches are the same for every value of the function's scalar arguments (the
    position in a text): grids are for the largest one, what depends on a scalar
    argument is computed inside the kernel, from an i64 in device memory. So a
    sequence of launches can be recorded once and played again. Kernels take flat
    buffers; a host buffer becomes one by `builtin.unrealized_conversion_cast` with
    the attribute `cq.offset` (elements), a scalar argument one of one i64.
    Buffers of dynamic size get their largest one.
  }];
  let options = [
    Option<"maxScalar", "max-scalar", "int64_t", "0",
           "Largest value of a scalar argument (0: `context` of the module's "
           "`cq.model`)">];
  let statistics = [
    Statistic<"numKernels", "kernels", "Kernels written">,
    Statistic<"numLaunches", "launches", "Launches">];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::gpu::GPUDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def RelayoutProducts : Pass<"cq-relayout-products", "::mlir::ModuleOp"> {
  let summary = "Products on buffers read their weights in layout mma_fragment";
  let description = [{
    For NVIDIA kernels. The planes of a weight in another layout are replaced by
    `builtin.unrealized_conversion_cast`s of all its planes, with the attribute
    `cq.weight`: whoever loads the weights packs them anew. Planes of layout
    mma_fragment stay.
  }];
  let statistics = [
    Statistic<"numWeights", "weights", "Products with another layout now">];
  let dependentDialects = ["::mlir::cq::CQDialect"];
}

#endif // CQ_CONVERSION_LINALGTOGPU_TD
