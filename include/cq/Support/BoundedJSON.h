//===- BoundedJSON.h - JSON from files nobody vouches for -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_BOUNDEDJSON_H
#define CQ_SUPPORT_BOUNDEDJSON_H

#include "llvm/Support/JSON.h"

namespace mlir::cq {

/// llvm::json::parse with its two traps closed: it recurses once a bracket (and
/// overflows the stack on ~50,000 of them), and it keeps the last of two equal
/// keys of an object, so that two readers of one file could see two models.
/// `origin` names the file in messages. Bounds: 64 nested brackets.
llvm::Expected<llvm::json::Value> parseBoundedJSON(llvm::StringRef text,
                                                   llvm::StringRef origin);

} // namespace mlir::cq

#endif // CQ_SUPPORT_BOUNDEDJSON_H
