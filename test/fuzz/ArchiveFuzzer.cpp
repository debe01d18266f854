//===- ArchiveFuzzer.cpp - Weights from hostile files ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// CQ_FUZZ_ARCHIVE: "model" (GGUF, safetensors, IRPA or llama2.c, by content),
// "irpa" (the same, its header given), "index" (an index.json beside one good
// shard) or "packed" (config.json, a 0 byte, and the safetensors file beside
// it).
//

#include "FuzzInput.h"
#include "cq/Model/ModelSource.h"
#include "cq/Model/PackedCheckpoint.h"

using namespace mlir::cq;

/// Whatever opens can be read: every tensor up to a million elements.
static void readAll(llvm::StringRef path) {
  auto archive = ParameterArchive::open(path);
  if (!fuzz::succeeded(archive))
    return;
  std::vector<float> values;
  for (size_t i = 0; i < (*archive)->parameters().size(); ++i) {
    ParameterInfo info = (*archive)->parameters()[i];
    int64_t bytes = static_cast<int64_t>(info.bytes.size());
    (*archive)->declare(info.name, DType::F16, {bytes / 2});
  }
  for (const ParameterInfo &info : (*archive)->parameters()) {
    if (info.numElements() > (1 << 20))
      continue;
    values.resize(info.numElements());
    llvm::consumeError(ParameterArchive::readAsF32(info, values.data(), 1));
  }
  auto plan = planAsStored(**archive);
  (void)fuzz::succeeded(plan);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef bytes(reinterpret_cast<const char *>(data), size);
  std::string path;
  if (llvm::StringRef(CQ_FUZZ_ARCHIVE) == "index") {
    path = fuzz::fileInFolder("model.safetensors.index.json", bytes);
    std::string header =
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    std::string shard(8, '\0');
    shard[0] = char(header.size());
    fuzz::fileInFolder("shard.safetensors", shard + header + "1234");
  } else if (llvm::StringRef(CQ_FUZZ_ARCHIVE) == "packed") {
    auto [config, weights] = bytes.split('\0');
    fuzz::fileInFolder("config.json", config);
    path = fuzz::fileInFolder("model.safetensors", weights);
  } else if (llvm::StringRef(CQ_FUZZ_ARCHIVE) == "irpa") {
    path = fuzz::fileOf("IRPA" + bytes.str());
  } else {
    path = fuzz::fileOf(bytes);
  }
  readAll(path);
  auto source = ModelSource::open(path);
  (void)fuzz::succeeded(source);
  return 0;
}
