//===- Attention.h - Causal attention of many tokens ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_ATTENTION_H
#define CQ_CONVERSION_LINALGTOX86_ATTENTION_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// Extents of attention over `groups` heads of keys and values, each for
/// `heads` heads of queries; `width` elements a head.
struct AttentionShape {
  int64_t groups, heads, tokens, width;
};

/// The loops of attention on buffers, from the product of queries and keys to
/// the division by the sums of weights.
struct Attention {
  AttentionShape shape;
  Value queries;                     ///< [groups, heads · tokens, width]
  Value keys;                        ///< [positions, groups, width]
  Value values;                      ///< [positions, groups, width]
  Value position;                    ///< of the first token; null: 0
  Value result;                      ///< [tokens, groups, heads, width]
  SmallVector<linalg::LinalgOp> ops; ///< in their order
};

/// The attention that `mask` hides later positions for, where all of its
/// buffers but operands and result are its own.
std::optional<Attention> matchAttention(linalg::GenericOp mask);

/// Rows of queries that a task takes.
int64_t getAttentionRows(unsigned lanes);

/// cq_attention_…(queries, keys, values, result, position, begin, end); task =
/// head × block of rows. Tokens are a multiple of getAttentionRows, the width
/// of 8.
func::FuncOp getAttentionKernel(ModuleOp module, const Attention &attention,
                                unsigned lanes);

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_ATTENTION_H
