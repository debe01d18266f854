//===- DeviceExport.h - A model's step for a machine with a GPU -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A step of greedy decoding as files: model.txt (buffers, launches, the ids
// that must come), model.bin (what the buffers hold, then the logits of the
// last step). The interpreter takes the steps here first. Whoever replays it
// needs the driver and the kernels only.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_DEVICEEXPORT_H
#define CQ_EXECUTION_DEVICEEXPORT_H

#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace mlir::cq {

struct DeviceExportOptions {
  int32_t firstToken = 1;
  unsigned steps = 8;
  /// PTX is made for each; the first chip's architecture chooses options.
  std::vector<std::string> chips;
};

struct DeviceExport {
  std::vector<int32_t> tokens;  ///< that the steps made
  std::string kernels;          ///< MLIR, for the interpreter
  std::vector<std::string> ptx; ///< of each chip
};

/// `path`: a module, or a folder of `cq quantize`; `folder` exists.
llvm::Expected<DeviceExport>
exportDeviceModel(llvm::StringRef path, llvm::StringRef folder,
                  const DeviceExportOptions &options);

} // namespace mlir::cq

#endif // CQ_EXECUTION_DEVICEEXPORT_H
