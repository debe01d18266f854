//===- WeightRoles.h - What a weight is used for ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_ANALYSIS_WEIGHTROLES_H
#define CQ_LIB_ANALYSIS_WEIGHTROLES_H

#include "mlir/IR/Operation.h"
#include <string>

namespace mlir::linalg {
class GenericOp;
} // namespace mlir::linalg
namespace mlir::tensor {
class ExtractOp;
} // namespace mlir::tensor

namespace mlir::cq {

/// Does the name end as front ends name an output head ("lm_head.weight",
/// "output.weight")?
bool isHeadName(llvm::StringRef name);

/// Is `n` the vocabulary the module's `cq.model` states?
bool isVocabulary(Operation *module, int64_t n);

/// Does the op's result leave a public function through reshapes and
/// elementwise ops only?
bool feedsResult(Operation *op);

/// Does the generic copy rows: result [i…, k] = W[row(i…), k]?
bool isRowGather(linalg::GenericOp generic, tensor::ExtractOp extract,
                 std::string &why);

} // namespace mlir::cq

#endif // CQ_LIB_ANALYSIS_WEIGHTROLES_H
