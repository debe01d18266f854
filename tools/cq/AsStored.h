//===- AsStored.h - Folders from quantized checkpoints ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_ASSTORED_H
#define CQ_TOOLS_CQ_ASSTORED_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace mlir::cq::tool {

/// Whether `path` is a checkpoint whose weights are quantized already.
bool isQuantizedCheckpoint(llvm::StringRef path);

/// The module at `modulePath`, imported from such a checkpoint, becomes a
/// folder as `cq quantize` makes them, with the checkpoint's own codes and
/// scales. The module goes away.
llvm::Error packAsStored(llvm::StringRef folder, llvm::StringRef modulePath,
                         llvm::StringRef checkpoint);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_ASSTORED_H
