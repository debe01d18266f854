//===- TensorNames.h - Names of tensors in checkpoints ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_TENSORNAMES_H
#define CQ_LIB_MODEL_TENSORNAMES_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace mlir::cq {

/// How a family of files names the tensors of one role.
struct TensorNames {
  const char *embedding, *finalNorm, *head, *blockPrefix;
  const char *attentionNorm, *q, *k, *v, *o, *mlpNorm, *gate, *up, *down;
  const char *qBias, *kBias, *vBias, *qNorm, *kNorm;
};

extern const TensorNames ggufNames, huggingFaceNames;

/// The name that another family gives to the tensor's role, whichever family
/// `name` is from; empty for a tensor without a role.
std::string renamedTensor(llvm::StringRef name, const TensorNames &to);

/// Whether a name is that of q or k (weight or bias), whose rows the two
/// families order differently for rope.
enum class RotatedRows { None, Q, K };
RotatedRows rotatedRows(llvm::StringRef name);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_TENSORNAMES_H
