//===- GramFactor.h - Vectors of given inner products -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_GRAMFACTOR_H
#define CQ_LIB_SOLVER_GRAMFACTOR_H

#include "llvm/ADT/ArrayRef.h"
#include <optional>
#include <vector>

namespace mlir::cq {

struct GramFactor {
  size_t dimension = 0;
  std::vector<double> vectors; ///< [size, dimension]
};

/// Vectors whose inner products are the symmetric matrix [size, size], by
/// Cholesky with pivots, up to rounding of the matrix's own entries (as many
/// dimensions as it has rank). None: it is not positive semidefinite.
std::optional<GramFactor> factoriseGram(llvm::ArrayRef<double> matrix,
                                        size_t size);

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_GRAMFACTOR_H
