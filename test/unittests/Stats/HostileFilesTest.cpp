//===- HostileFilesTest.cpp - Damaged and made-up statistics --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileHeader.h"
#include "SmallStatistics.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>
#include <cstring>
#include <functional>

using namespace mlir::cq;
using namespace mlir::cq::test;

/// Opens and reads all there is; the error's text, or "".
static std::string readAll(llvm::StringRef path) {
  auto whole = Statistics::read(path);
  std::string text = whole ? "" : llvm::toString(whole.takeError());
  auto reader = StatisticsReader::open(path);
  if (!reader)
    return llvm::toString(reader.takeError());
  std::string lazily;
  for (const FisherStatistics &fisher : (*reader)->facts().fishers)
    if (auto error =
            (*reader)->fisher(fisher.weight, fisher.n, fisher.k).takeError())
      lazily = llvm::toString(std::move(error));
  for (const InputStatistics &input : (*reader)->facts().inputs)
    if ((*reader)->hasGram(input.weights[0]))
      if (auto error =
              (*reader)->gram(input.weights[0], 1, input.k).takeError())
        lazily = llvm::toString(std::move(error));
  // Both ways see the same damage, but for compact stores.
  EXPECT_TRUE(text.empty() == lazily.empty() || (*reader)->compactShare() > 0)
      << text << " / " << lazily;
  return lazily;
}

TEST(HostileStatistics, EveryTruncationIsRefused) {
  TemporaryFolder folder;
  std::string path = folder.file("a");
  llvm::cantFail(smallStatistics(0, 2).write(path));
  std::string bytes = contents(path);
  for (size_t size = 0; size < bytes.size(); size += 31)
    EXPECT_NE(readAll(folder.write("cut", bytes.substr(0, size))), "") << size;
  EXPECT_NE(readAll(folder.write("cut", bytes + "x")), "");
}

TEST(HostileStatistics, EveryChangedByteIsRefused) {
  TemporaryFolder folder;
  std::string path = folder.file("a");
  llvm::cantFail(smallStatistics(0, 2).write(path));
  std::string bytes = contents(path);
  std::mt19937 engine(7);
  for (size_t at = 0; at < bytes.size(); at += 1 + engine() % 8) {
    std::string changed = bytes;
    changed[at] ^= char(1 + engine() % 255);
    std::string text = readAll(folder.write("changed", changed));
    // A blank for another blank between the header's tokens changes nothing.
    if (!(bytes[at] == ' ' && std::isspace(changed[at])))
      EXPECT_NE(text, "") << at;
  }
}

namespace {
/// The tensors of a file by name, and its description; written again with
/// checksums that fit, as a forger would.
struct Forgery {
  struct Tensor {
    DType type;
    llvm::SmallVector<int64_t, 4> shape;
    std::string bytes;
  };
  std::string description;
  std::vector<std::pair<std::string, Tensor>> tensors;

  Tensor &operator[](llvm::StringRef name) {
    for (auto &[key, tensor] : tensors)
      if (key == name)
        return tensor;
    ADD_FAILURE() << name.str();
    return tensors.front().second;
  }
  void replace(llvm::StringRef from, llvm::StringRef to) {
    size_t at = description.find(from.str());
    ASSERT_NE(at, std::string::npos) << from.str();
    description.replace(at, from.size(), to.str());
  }
  template <typename T> void set(llvm::StringRef name, size_t at, T value) {
    std::memcpy((*this)[name].bytes.data() + at * sizeof(T), &value, sizeof(T));
  }
};
} // namespace

static llvm::ArrayRef<uint8_t> view(llvm::StringRef bytes) {
  return llvm::arrayRefFromStringRef(bytes);
}

/// What reading says of a good file (or compact store) after `change`.
static std::string forged(const std::function<void(Forgery &)> &change,
                          bool compact = false) {
  TemporaryFolder folder;
  std::string path = folder.file("good"), small = folder.file("small");
  llvm::cantFail(smallStatistics(0, 2).write(path));
  if (compact)
    llvm::cantFail(exportCompact(path, small, 0.25));
  Forgery forgery;
  {
    auto archive =
        llvm::cantFail(ParameterArchive::open(compact ? small : path));
    forgery.description = archive->metadata(headerKey)->str();
    auto header = llvm::cantFail(FileHeader::parse(forgery.description, "x"));
    for (const FileTensor &tensor : layoutOf(header)) {
      const ParameterInfo *info = archive->find(tensor.entry.name);
      forgery.tensors.push_back(
          {info->name,
           {info->type, info->shape,
            std::string(info->bytes.begin(), info->bytes.end())}});
    }
  }
  change(forgery);
  std::vector<SafetensorsWriter::Entry> entries;
  std::vector<int64_t> sums = {int64_t(checksum(view(forgery.description)))};
  for (auto &[name, tensor] : forgery.tensors) {
    entries.push_back({name, tensor.type, tensor.shape});
    sums.push_back(int64_t(checksum(view(tensor.bytes))));
  }
  entries.push_back({"checksums", DType::I64, {int64_t(sums.size())}});
  std::string bad = folder.file("forged");
  auto writer = llvm::cantFail(SafetensorsWriter::create(
      bad, entries, {{headerKey.str(), forgery.description}}));
  for (auto &[name, tensor] : forgery.tensors)
    llvm::cantFail(writer->append(view(tensor.bytes)));
  llvm::cantFail(writer->append(
      {reinterpret_cast<uint8_t *>(sums.data()), 8 * sums.size()}));
  llvm::cantFail(writer->commit());
  writer.reset();
  return readAll(bad);
}

TEST(HostileStatistics, AForgeryWithoutChangesIsRead) {
  EXPECT_EQ(forged([](Forgery &) {}), "");
  EXPECT_EQ(forged([](Forgery &) {}, true), "");
}

TEST(HostileStatistics, ValuesNoCalibrationGives) {
  auto says = [](llvm::StringRef words, auto change) {
    std::string text = forged(change);
    EXPECT_NE(text.find(words.str()), std::string::npos)
        << "wanted " << words.str() << ", got: " << text;
  };
  double nan = std::nan(""), infinity = INFINITY;
  says("sum of squares of weight 'w.q'",
       [=](Forgery &file) { file.set("w.q:sum_squares", 2, -1.0); });
  says("sum of squares of weight 'w.down'",
       [=](Forgery &file) { file.set("w.down:sum_squares", 0, nan); });
  says("sum of magnitudes",
       [=](Forgery &file) { file.set("w.q:sum_magnitudes", 0, -0.5); });
  says("largest magnitude", [=](Forgery &file) {
    file.set("w.q:max_magnitude", 0, float(infinity));
  });
  says("contradict each other",
       [=](Forgery &file) { file.set("w.q:max_magnitude", 0, 100.0f); });
  says("contradict each other",
       [=](Forgery &file) { file.set("w.q:sum_magnitudes", 0, 1e3); });
  says("Gram matrix of weight 'w.q'",
       [=](Forgery &file) { file.set("w.q:gram", 1, nan); });
  says("another sum of squares",
       [=](Forgery &file) { file.set("w.q:gram", 0, -1.0); });
  says("Fisher matrix of weight 'w.q'",
       [=](Forgery &file) { file.set("w.q:fisher", 9, -1e-3); });
  says("Fisher matrix of weight 'w.down'",
       [=](Forgery &file) { file.set("w.down:fisher", 14, infinity); });
  says("block 1", [=](Forgery &file) { file.set("blocks", 4, 1e6); });
  says("block 0", [=](Forgery &file) { file.set("blocks", 2, -1.0); });
}

TEST(HostileStatistics, DescriptionsThatLie) {
  auto says = [](llvm::StringRef words, llvm::StringRef from,
                 llvm::StringRef to, bool compact = false) {
    std::string text =
        forged([&](Forgery &file) { file.replace(from, to); }, compact);
    EXPECT_NE(text.find(words.str()), std::string::npos)
        << "wanted " << words.str() << ", got: " << text;
  };
  says("version 2", "\"version\":1", "\"version\":2");
  says("damaged", "\"version\"", "\"v\"");
  says("unknown kind 'x'", "\"fisher\":\"sequence\"", "\"fisher\":\"x\"");
  says("does not say of which kind", "\"fisher\":\"sequence\"",
       "\"fisher\":\"none\"");
  says("0 tokens", "\"tokens\":16", "\"tokens\":0");
  says("contradict", "\"tokens\":16", "\"tokens\":1");
  says("-16 tokens", "\"tokens\":16", "\"tokens\":-16");
  says("twice", "\"w.k\"", "\"w.q\"");
  says("names no weight", "[\"w.q\",\"w.k\"]", "[]");
  says("3 sequences", "\"sequences\":2,\"weight\"",
       "\"sequences\":3,\"weight\"");
  says("9223372036854775807", "\"first\":0", "\"first\":9223372036854775807");
  says("0 sequences",
       "\"first\":0,\"hash\":\"hash\",\"name\":\"text\","
       "\"sequences\":2",
       "\"first\":0,\"hash\":\"hash\",\"name\":\"text\",\"sequences\":0");
  says("where the weight's input has 6", "\"k\":5,\"magnitudes\"",
       "\"k\":6,\"magnitudes\"");
  says("columns", "\"k\":5,\"magnitudes\"",
       "\"k\":4611686018427387904,\"magnitudes\"");
  says("block 0", "\"block\":1", "\"block\":0");
  says("tensors", "\"gram\":true", "\"gram\":false");
  says("share", "\"share\":0.25", "\"share\":7", true);
  says("keeps 0 values", "\"kept\":2", "\"kept\":0", true);
  says("keeps 99 values", "\"kept\":2", "\"kept\":99", true);
}

TEST(HostileStatistics, CompactStoresThatLie) {
  auto refused = [](auto change) { EXPECT_NE(forged(change, true), ""); };
  refused(
      [](Forgery &file) { file.set("w.q:fisher_positions", 0, int64_t(-1)); });
  refused(
      [](Forgery &file) { file.set("w.q:fisher_positions", 1, int64_t(10)); });
  refused([](Forgery &file) {
    file.set("w.q:fisher_positions", 1, int64_t(0));
    file.set("w.q:fisher_positions", 0, int64_t(0));
  });
  refused([](Forgery &file) { file.set("w.q:fisher_values", 1, -1.0f); });
  refused([](Forgery &file) { file.set("w.q:fisher_rows", 1, -1.0); });
  refused(
      [](Forgery &file) { file.set("w.q:fisher_columns", 1, std::nan("")); });
}

TEST(HostileStatistics, TensorsThatAreMissingOrMore) {
  EXPECT_NE(forged([](Forgery &file) { file.tensors.pop_back(); }), "");
  EXPECT_NE(forged([](Forgery &file) {
              file.tensors.push_back({"more", file.tensors.front().second});
            }),
            "");
  EXPECT_NE(
      forged([](Forgery &file) { file["w.q:sum_squares"].type = DType::I64; }),
      "");
  EXPECT_NE(forged([](Forgery &file) { file["w.q:fisher"].shape = {5, 2}; }),
            "");
}

TEST(HostileStatistics, OtherFilesAreNamed) {
  TemporaryFolder folder;
  EXPECT_NE(readAll(folder.file("absent")), "");
  EXPECT_NE(readAll(folder.write("text", "hello")), "");
  std::string path = folder.file("plain.safetensors");
  auto writer =
      llvm::cantFail(SafetensorsWriter::create(path, {{"a", DType::U8, {1}}}));
  llvm::cantFail(writer->append({uint8_t(1)}));
  llvm::cantFail(writer->commit());
  EXPECT_NE(readAll(path).find("no statistics file"), std::string::npos);
}
