//===- SafetensorsWriterTest.cpp - Whole files or none --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestFiles.h"
#include "cq/Model/Parameters.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace mlir::cq;
using namespace mlir::cq::test;

static llvm::ArrayRef<uint8_t> view(const std::string &bytes) {
  return {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()};
}

static const std::vector<SafetensorsWriter::Entry> entries = {
    {"odd", DType::U8, {3}},
    {"codes", DType::I8, {128}},
    {"scales", DType::F16, {4, 8}},
    {"scalar", DType::F32, {}}};
static const std::vector<std::string> contents = {
    "abc", std::string(128, 'c'), std::string(64, 's'), bytesOf(1.5f)};

TEST(SafetensorsWriter, RoundTripAlignedWhatCanBe) {
  TemporaryFolder folder;
  std::string path = folder.file("out.safetensors");
  auto writer = llvm::cantFail(
      SafetensorsWriter::create(path, entries, {{"cq.version", "1 \"x\""}}));
  for (size_t i = 0; i < contents.size(); ++i) {
    // In two parts, to see that a tensor may come in pieces.
    auto bytes = view(contents[i]);
    llvm::cantFail(writer->append(bytes.take_front(1)));
    llvm::cantFail(writer->append(bytes.drop_front(1)));
  }
  EXPECT_FALSE(llvm::sys::fs::exists(path));
  llvm::cantFail(writer->commit());
  writer.reset();
  EXPECT_EQ(folder.list(), std::vector<std::string>{"out.safetensors"});

  auto archive = llvm::cantFail(ParameterArchive::open(path));
  EXPECT_EQ(archive->metadata("cq.version"), "1 \"x\"");
  EXPECT_EQ(archive->metadata("absent"), std::nullopt);
  ASSERT_EQ(archive->parameters().size(), entries.size());
  auto file = llvm::cantFail(
      llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(path)));
  const uint8_t *base = archive->find("codes")->bytes.data();
  size_t codes = file->getBuffer().find(std::string(128, 'c'));
  EXPECT_EQ(codes % 64, 0u);
  for (size_t i = 0; i < contents.size(); ++i) {
    const ParameterInfo *info = archive->find(entries[i].name);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->type, entries[i].type);
    EXPECT_EQ(info->shape, entries[i].shape);
    EXPECT_EQ(std::string(info->bytes.begin(), info->bytes.end()), contents[i]);
    if (info->bytes.size() % 64 == 0) {
      EXPECT_EQ((codes + (info->bytes.data() - base)) % 64, 0u) << info->name;
    }
  }
}

TEST(SafetensorsWriter, NothingWithoutCommit) {
  TemporaryFolder folder;
  std::string path = folder.file("out.safetensors");
  {
    auto writer = llvm::cantFail(SafetensorsWriter::create(path, entries));
    llvm::cantFail(writer->append(view(contents[0])));
    // Missing bytes: commit refuses.
    EXPECT_NE(llvm::toString(writer->commit()).find("'codes'"),
              std::string::npos);
  }
  EXPECT_TRUE(folder.list().empty());
  {
    auto writer = llvm::cantFail(SafetensorsWriter::create(path, entries));
    EXPECT_TRUE(llvm::errorToBool(writer->append(view("more than three"))));
    EXPECT_TRUE(llvm::errorToBool(writer->commit()));
  }
  EXPECT_TRUE(folder.list().empty());
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  TemporaryFolder folder;
  std::string path = folder.file("out.safetensors");
  for (const std::vector<SafetensorsWriter::Entry> &bad :
       {std::vector<SafetensorsWriter::Entry>{{"a", DType::Q8_0, {32}}},
        {{"a", DType::F32, {2}}, {"a", DType::F32, {2}}},
        {{"a", DType::F32, {0}}},
        {{"a", DType::F32, {INT64_MAX, 2}}},
        {{"", DType::F32, {2}}},
        {{"__metadata__", DType::F32, {2}}},
        {{"\xff", DType::F32, {2}}}})
    EXPECT_TRUE(
        llvm::errorToBool(SafetensorsWriter::create(path, bad).takeError()));
  EXPECT_TRUE(llvm::errorToBool(
      SafetensorsWriter::create(folder.file("no/such/folder"), entries)
          .takeError()));
  // A folder; devices would be replaced by the rename.
  EXPECT_TRUE(llvm::errorToBool(
      SafetensorsWriter::create(folder.path, entries).takeError()));
  EXPECT_TRUE(folder.list().empty());
}

// A limit on the size of files stands for the full disk: write(2) fails in the
// same place.
TEST(SafetensorsWriter, FullDiskLeavesNothing) {
  TemporaryFolder folder;
  std::string path = folder.write("out.safetensors", "the file of before");
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  {
    auto writer = llvm::cantFail(
        SafetensorsWriter::create(path, {{"big", DType::U8, {100000}}}));
    std::string message =
        llvm::toString(writer->append(view(std::string(100000, 'x'))));
    EXPECT_NE(message.find("nothing was written"), std::string::npos);
    EXPECT_TRUE(llvm::errorToBool(writer->commit()));
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(folder.list(), std::vector<std::string>{"out.safetensors"});
  auto file = llvm::cantFail(
      llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(path)));
  EXPECT_EQ(file->getBuffer(), "the file of before");
}

/// Of the map of a file: kB in huge pages, once all of it was touched.
static int64_t hugeKilobytes(llvm::StringRef map, llvm::StringRef name) {
  volatile char touched = 0;
  for (size_t at = 0; at < map.size(); at += 4096)
    touched = touched + map[at];
  std::ifstream maps("/proc/self/smaps");
  int64_t result = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" r--p ") != std::string::npos)
      inside = llvm::StringRef(line).ends_with(name);
    llvm::StringRef text = line;
    if (inside && text.consume_front("FilePmdMapped:"))
      EXPECT_FALSE(text.ltrim().consumeInteger(10, result));
  }
  return result;
}

// However small the pieces are that it was written in.
TEST(SafetensorsWriter, LargeFilesAreReadInHugePages) {
  constexpr size_t size = 8 << 20;
  TemporaryFolder folder;
  // Whether they are to be had here: pages of one large write are huge.
  std::string other = folder.write("probe", std::string(size, 'x'));
  int descriptor = ::open(other.c_str(), O_RDONLY);
  void *probe = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  ASSERT_NE(probe, MAP_FAILED);
  bool possible =
      ::madvise(probe, size, MADV_HUGEPAGE) == 0 &&
      hugeKilobytes(llvm::StringRef(static_cast<char *>(probe), size), other);
  ::munmap(probe, size);
  ::close(descriptor);
  if (!possible)
    GTEST_SKIP() << "this file system or kernel has no huge pages of files";

  std::string path = folder.file("out.safetensors");
  auto writer = llvm::cantFail(
      SafetensorsWriter::create(path, {{"w", DType::U8, {size}}}));
  for (size_t done = 0; done < size; done += 1 << 16)
    llvm::cantFail(writer->append(view(std::string(1 << 16, 'y'))));
  llvm::cantFail(writer->commit());
  auto archive = llvm::cantFail(ParameterArchive::open(path));
  llvm::ArrayRef<uint8_t> bytes = archive->parameters()[0].bytes;
  // How many depends on what memory is free in one piece.
  EXPECT_GT(hugeKilobytes(llvm::toStringRef(bytes), path), 0);
}
