//===- LastError.h - One sentence a thread ----------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CAPI_LASTERROR_H
#define CQ_LIB_CAPI_LASTERROR_H

#include "llvm/Support/Error.h"

namespace mlir::cq {

/// Keeps the sentence for cqLastError().
void setLastError(llvm::Error error);
void setLastError(std::string sentence);

} // namespace mlir::cq

#endif // CQ_LIB_CAPI_LASTERROR_H
