//===- ONNXBlocks.h - Block-quantized ops of ONNX ----------------*- C++
//-*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_ONNXBLOCKS_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_ONNXBLOCKS_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// `torch.operator "onnx.MatMulNBits"` and `"onnx.DequantizeLinear"` with a
/// block_size, as iree-import-onnx writes them, become Cast, Sub, Mul, Reshape,
/// Transpose and MatMul, which every lowering of ONNX knows. Gives their
/// number; `leave` hears of those that cannot.
int64_t
expandONNXBlocks(ModuleOp module,
                 llvm::function_ref<void(Operation *, StringRef)> leave);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_ONNXBLOCKS_H
