//===- IRPATest.cpp - IREE parameter archives -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/IRPA.h"
#include "TestFiles.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

static llvm::ArrayRef<uint8_t> view(const std::string &bytes) {
  return {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()};
}

static const std::vector<ParameterWriter::Entry> entries = {
    {"w:codes", DType::U8, {2, 3}},
    {"w:scales", DType::F16, {2}},
    {"norm \"x\"", DType::F32, {}}};
static const std::vector<std::string> contents = {"abcdef", "1234",
                                                  bytesOf(1.5f)};

TEST(IRPA, RoundTrip) {
  TemporaryFolder folder;
  std::string path = folder.file("out.irpa");
  auto writer = llvm::cantFail(createIRPAWriter(path, entries));
  for (const std::string &bytes : contents) {
    llvm::cantFail(writer->append(view(bytes).take_front(1)));
    llvm::cantFail(writer->append(view(bytes).drop_front(1)));
  }
  EXPECT_FALSE(llvm::sys::fs::exists(path));
  llvm::cantFail(writer->commit());
  writer.reset();
  EXPECT_EQ(folder.list(), std::vector<std::string>{"out.irpa"});

  auto archive = llvm::cantFail(ParameterArchive::open(path));
  ASSERT_EQ(archive->parameters().size(), entries.size());
  const uint8_t *first = archive->parameters().front().bytes.data();
  for (size_t i = 0; i < entries.size(); ++i) {
    const ParameterInfo *info = archive->find(entries[i].name);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->type, entries[i].type);
    EXPECT_EQ(info->shape, entries[i].shape);
    EXPECT_EQ(std::string(info->bytes.begin(), info->bytes.end()), contents[i]);
    EXPECT_EQ((info->bytes.data() - first) % 64, 0);
  }
  // What the archive itself knows is not declared away.
  archive->declare("w:scales", DType::I8, {4});
  EXPECT_EQ(archive->find("w:scales")->type, DType::F16);
}

TEST(IRPA, NothingWithoutCommit) {
  TemporaryFolder folder;
  {
    auto writer =
        llvm::cantFail(createIRPAWriter(folder.file("out.irpa"), entries));
    llvm::cantFail(writer->append(view(contents[0])));
    llvm::Error error = writer->commit();
    EXPECT_NE(llvm::toString(std::move(error)).find("was declared but"),
              std::string::npos);
  }
  EXPECT_TRUE(folder.list().empty());
}

/// As IREE's tools write it: no metadata.
static std::string foreign() {
  std::string entry = bytesOf<uint64_t>(76) + bytesOf<uint32_t>(2);
  for (uint64_t word : {0, 0, 1, 0, 0, 64, 0, 8})
    entry += bytesOf(word);
  std::string file = "IRPA" + bytesOf<uint32_t>(0);
  for (uint64_t word : {88, 0, 0, 1, 96, 76, 172, 1, 173, 8})
    file += bytesOf(word);
  return file + std::string(8, '\0') + entry + "w" +
         bytesOf(std::vector<float>{1, 2});
}

TEST(IRPA, TypesOfOthersAreDeclared) {
  TemporaryFolder folder;
  std::string path = folder.write("x.irpa", foreign());
  auto archive = llvm::cantFail(ParameterArchive::open(path));
  ASSERT_TRUE(archive->find("w"));
  EXPECT_EQ(archive->find("w")->type, DType::U8);
  EXPECT_EQ(archive->find("w")->numElements(), 8);
  archive->declare("w", DType::F32, {3}); // does not fit
  EXPECT_EQ(archive->find("w")->type, DType::U8);
  archive->declare("w", DType::F32, {2, 1});
  float values[2];
  llvm::cantFail(ParameterArchive::readAsF32(*archive->find("w"), values, 1));
  EXPECT_EQ(values[1], 2.0f);
  archive->declare("w", DType::I64, {1}); // only once
  EXPECT_EQ(archive->find("w")->type, DType::F32);
}

TEST(IRPA, EveryTruncationIsAnError) {
  TemporaryFolder folder;
  std::string whole = foreign();
  for (size_t size = 4; size < whole.size(); ++size) {
    auto archive = ParameterArchive::open(
        folder.write("x.irpa", llvm::StringRef(whole).take_front(size)));
    EXPECT_FALSE(bool(archive)) << size;
    llvm::consumeError(archive.takeError());
  }
}
