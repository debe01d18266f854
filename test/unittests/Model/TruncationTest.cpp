//===- TruncationTest.cpp - Every prefix, and random damage ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Files are refused or opened and then read to the last byte; the sanitizers
// watch. The seed and the number of rounds are fixed.
//
//===----------------------------------------------------------------------===//

#include "TinyModels.h"
#include "cq/Model/ModelSource.h"
#include <unistd.h>

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {
enum class Use { Archive, Tokenizer, Config };
struct Sample {
  const char *name;
  std::string bytes;
  Use use;
};
class Damaged : public ::testing::TestWithParam<Sample> {};
} // namespace

/// Opens the file and uses all that it holds. Says whether it was accepted.
static bool useFile(Use use, const TemporaryFolder &folder,
                    const std::string &path) {
  if (use == Use::Tokenizer) {
    auto tokenizer = Tokenizer::open(path);
    if (!tokenizer) {
      EXPECT_NE(llvm::toString(tokenizer.takeError()), "");
      return false;
    }
    std::vector<int32_t> ids =
        (*tokenizer)->encode("ab abc 12 \xE6\xBC\xA2\xFF<|im_end|>");
    for (int32_t id : ids) {
      EXPECT_TRUE(id >= 0 && id < (*tokenizer)->vocabularySize());
      (*tokenizer)->decode(id, ids[0]);
    }
    return true;
  }
  // Beside a config.json, a safetensors file is a model; others hold it all.
  auto source =
      ModelSource::open(use == Use::Config ? folder.path.str() : path);
  llvm::consumeError(source.takeError());
  auto archive = ParameterArchive::open(
      use == Use::Config ? folder.path.str() : llvm::StringRef(path));
  if (!archive) {
    EXPECT_NE(llvm::toString(archive.takeError()), "");
    return false;
  }
  for (const ParameterInfo &info : (*archive)->parameters()) {
    // Whatever the shape claims, the bytes are there.
    EXPECT_LE(info.numElements() / blockElements(info.type),
              int64_t(info.bytes.size()) / blockBytes(info.type));
    std::vector<float> values(info.numElements());
    EXPECT_FALSE(
        llvm::errorToBool(ParameterArchive::readAsF32(info, values.data(), 1)));
  }
  return true;
}

static void prepare(const TemporaryFolder &folder, Use use) {
  folder.write(use == Use::Config ? "model.safetensors" : "config.json",
               use == Use::Config
                   ? safetensorsOf(tinyHuggingFaceTensors(false, false))
                   : tinyConfig("llama"));
}
static const char *fileName(Use use) {
  return use == Use::Config ? "config.json" : "sample";
}

TEST_P(Damaged, EveryPrefix) {
  const Sample &sample = GetParam();
  TemporaryFolder folder;
  prepare(folder, sample.use);
  std::string path = folder.write(fileName(sample.use), sample.bytes);
  EXPECT_TRUE(useFile(sample.use, folder, path));
  int accepted = 0;
  for (size_t size = sample.bytes.size(); size-- > 0;) {
    ASSERT_EQ(::truncate(path.c_str(), off_t(size)), 0);
    accepted += useFile(sample.use, folder, path);
  }
  // An archive without its last byte is no archive. (Padding behind a GGUF
  // tokenizer or whole records of a tokenizer.bin may go.)
  if (sample.use == Use::Archive)
    EXPECT_EQ(accepted, 0);
}

TEST_P(Damaged, RandomBytes) {
  const Sample &sample = GetParam();
  TemporaryFolder folder;
  prepare(folder, sample.use);
  uint64_t state = 12345;
  auto random = [&](uint64_t bound) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % bound;
  };
  static const uint64_t wild[] = {0,          1,          0x7F,       0xFF,
                                  0x7FFFFFFF, 0xFFFFFFFF, 1ull << 32, ~0ull,
                                  1ull << 63, 0x20000000};
  for (int round = 0; round < 500; ++round) {
    std::string bytes = sample.bytes;
    for (uint64_t edits = 1 + random(4); edits > 0; --edits) {
      // Headers are short: most edits go to the first bytes.
      size_t span =
          random(4) ? std::min<size_t>(bytes.size(), 1400) : bytes.size();
      size_t at = random(span);
      switch (random(4)) {
      case 0:
        bytes[at] = char(random(256));
        break;
      case 1:
        bytes[at] = char(bytes[at] ^ (1 << random(8)));
        break;
      case 2: {
        std::string word = bytesOf(wild[random(std::size(wild))]);
        bytes.replace(at, std::min<size_t>(8, bytes.size() - at),
                      word.substr(0, bytes.size() - at));
        break;
      }
      case 3:
        bytes.erase(at, 1 + random(8));
        break;
      }
      if (bytes.empty())
        break;
    }
    useFile(sample.use, folder, folder.write(fileName(sample.use), bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Model, Damaged,
    ::testing::Values(
        Sample{"GGUF", tinyGGUF("qwen2", true), Use::Archive},
        Sample{"Safetensors",
               safetensorsOf(tinyHuggingFaceTensors(false, false)),
               Use::Archive},
        Sample{"Llama2C0", tinyLlama2C(0), Use::Archive},
        Sample{"Llama2C1", tinyLlama2C(1, true), Use::Archive},
        Sample{"TokenizerGGUF", tinyGGUF(), Use::Tokenizer},
        Sample{"TokenizerBin", tinyTokenizerBin(), Use::Tokenizer},
        Sample{"TokenizerJSON", tinyTokenizerJSON(), Use::Tokenizer},
        Sample{"Config",
               tinyConfig("llama", ",\"rope_scaling\":{\"type\":\"llama3\","
                                   "\"factor\":8}"),
               Use::Config}),
    [](const auto &info) { return std::string(info.param.name); });
