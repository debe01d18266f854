//===- TestModels.h - Configs without files ---------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_UNITTESTS_IMPORT_TESTMODELS_H
#define CQ_UNITTESTS_IMPORT_TESTMODELS_H

#include "cq/Import/LlamaImporter.h"

namespace mlir::cq::test {

/// stories260K: width 64, 5 blocks, 8 heads over 4, tied, interleaved pairs.
ModelConfig storiesConfig();
/// SmolLM2-135M: width 576, 30 blocks, 9 heads over 3, tied.
ModelConfig smolConfig();
/// A small Qwen2: biases, head of its own, pairs half a head apart.
ModelConfig qwenConfig();

/// A source without an archive, with GGUF's tensor names.
ModelSource makeSource(const ModelConfig &config);

} // namespace mlir::cq::test

#endif // CQ_UNITTESTS_IMPORT_TESTMODELS_H
