//===- Diagnostics.h - One-sentence errors of the readers -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_DIAGNOSTICS_H
#define CQ_SUPPORT_DIAGNOSTICS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>

namespace mlir::cq {

/// An error that is the sentence `message`.
llvm::Error fail(const llvm::Twine &message);

/// `name` between quotes, control characters escaped and cut to 80 characters:
/// names come out of hostile files and go to terminals.
std::string quoted(llvm::StringRef name);

/// Product of the extents, or nothing when an extent is not positive or the
/// product exceeds 2^62. The empty shape is a scalar: 1.
std::optional<int64_t> checkedElements(llvm::ArrayRef<int64_t> shape);

/// "[2, 3]".
std::string printShape(llvm::ArrayRef<int64_t> shape);

} // namespace mlir::cq

#endif // CQ_SUPPORT_DIAGNOSTICS_H
