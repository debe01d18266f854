//===- SideFileFuzzer.cpp - Hostile plans, statistics, tokenizers ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// CQ_FUZZ_SIDE: which reader, by number, as in CMakeLists.txt.
//

#include "FuzzInput.h"
#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"
#include "cq/Solver/Measurements.h"
#include "cq/Solver/Plan.h"
#include "cq/Stats/ImportanceMatrix.h"
#include "cq/Stats/Statistics.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir::cq;

static void readOne(llvm::StringRef bytes) {
#if CQ_FUZZ_SIDE == 1
  auto plan = Plan::fromJSON(bytes, "plan.json");
  if (!fuzz::succeeded(plan))
    return;
  // What is read can be written and read again.
  auto again =
      Plan::fromJSON(llvm::formatv("{0}", plan->toJSON()).str(), "again");
  if (!fuzz::succeeded(again))
    std::abort();
#elif CQ_FUZZ_SIDE == 2
  auto measurements = Measurements::read(fuzz::fileOf(bytes));
  (void)fuzz::succeeded(measurements);
#elif CQ_FUZZ_SIDE == 3
  auto statistics = StatisticsReader::open(fuzz::fileOf(bytes));
  if (!fuzz::succeeded(statistics))
    return;
  const StatisticsReader &reader = **statistics;
  for (const auto &input : reader.facts().inputs) {
    auto squares = reader.meanSquares(input.weights.front(), 2, input.k);
    (void)fuzz::succeeded(squares);
    auto gram = reader.gram(input.weights.front(), 2, input.k);
    (void)fuzz::succeeded(gram);
  }
  for (const auto &entry : reader.facts().fishers)
    if (entry.n * entry.k < (1 << 20)) {
      auto fisher = reader.fisher(entry.weight, entry.n, entry.k);
      (void)fuzz::succeeded(fisher);
    }
#elif CQ_FUZZ_SIDE == 5
  static std::unique_ptr<ParameterArchive> model = [] {
    std::string header =
        R"({"blk.0.attn_q.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}})";
    header.resize(96, ' ');
    return llvm::cantFail(ParameterArchive::open(fuzz::fileInFolder(
        "model.safetensors", std::string("\x60\0\0\0\0\0\0\0", 8) + header +
                                 std::string(32, '\1'))));
  }();
  auto statistics =
      importImportanceMatrix(fuzz::fileOf(bytes), *model, 512, {}, 1);
  (void)fuzz::succeeded(statistics);
#else
  auto tokenizer = Tokenizer::open(fuzz::fileOf(bytes));
  if (!fuzz::succeeded(tokenizer))
    return;
  std::vector<int32_t> ids = (*tokenizer)->encode("a<s> b\n\xff 12");
  for (int32_t id : ids)
    (void)(*tokenizer)->decode(id);
#endif
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  readOne(llvm::StringRef(reinterpret_cast<const char *>(data), size));
  return 0;
}
