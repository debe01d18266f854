//===- BenchDevice.h - cq bench --target=cuda -------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_BENCHDEVICE_H
#define CQ_TOOLS_CQ_BENCHDEVICE_H

#include "cq/Codec/Scheme.h"
#include "llvm/Support/Error.h"
#include <string>
#include <utility>
#include <vector>

namespace mlir::cq::tool {

struct DeviceBenchOptions {
  std::vector<std::pair<int64_t, int64_t>> shapes; ///< rows, columns
  std::vector<Scheme> schemes;
  std::vector<int64_t> tokens;
  CherryForm cherries = CherryForm::None; ///< at a ratio of 1/256
  unsigned rounds = 7;
  int64_t rotateBytes = int64_t(400) << 20; ///< weights of a round, at least
  bool cublas = true;
  std::string json, plot; ///< files; empty: none
};

/// Times products on the first GPU by graph replay over copies of each weight
/// beyond any L2 cache, in the same run beside device-to-device copies and,
/// where libcublas opens, cuBLAS in bf16.
llvm::Error benchDevice(const DeviceBenchOptions &options);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_BENCHDEVICE_H
