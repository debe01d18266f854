//===- OutputFolderTest.cpp -----------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/OutputFolder.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/ModulePaths.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"

using namespace mlir::cq;
namespace fs = llvm::sys::fs;

namespace {

class OutputFolderTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(fs::createUniqueDirectory("cq-output-folder", scratch));
    destination = inFolder(scratch, "result");
  }
  void TearDown() override { fs::remove_directories(scratch); }

  /// Names in `scratch`.
  std::vector<std::string> entries() const {
    std::vector<std::string> names;
    std::error_code code;
    for (fs::directory_iterator it(scratch, code), end; it != end && !code;
         it.increment(code))
      names.push_back(it->path());
    return names;
  }

  /// A folder with one file that is committed to `path`.
  void make(llvm::StringRef path, llvm::StringRef file, bool replace = false) {
    auto folder = OutputFolder::create(path, replace);
    ASSERT_TRUE(static_cast<bool>(folder)) << toString(folder.takeError());
    llvm::Error written =
        writeFileAtomically(inFolder(folder->path(), file), "text");
    ASSERT_FALSE(written) << toString(std::move(written));
    llvm::Error committed = folder->commit();
    ASSERT_FALSE(committed) << toString(std::move(committed));
  }

  llvm::SmallString<128> scratch;
  std::string destination;
};

TEST_F(OutputFolderTest, CommitRenames) {
  make(destination, "a");
  EXPECT_TRUE(fs::exists(inFolder(destination, "a")));
  EXPECT_EQ(entries(), std::vector<std::string>{destination});
}

TEST_F(OutputFolderTest, NothingStaysWithoutCommit) {
  {
    auto folder = OutputFolder::create(destination, /*replace=*/false);
    ASSERT_TRUE(static_cast<bool>(folder)) << toString(folder.takeError());
    EXPECT_EQ(entries(), std::vector<std::string>{folder->path().str()});
    OutputFolder moved = std::move(*folder);
    EXPECT_TRUE(fs::is_directory(moved.path()));
  }
  EXPECT_TRUE(entries().empty());
}

TEST_F(OutputFolderTest, WhatExistsIsReplacedOnlyWhenAsked) {
  make(destination, "old");
  auto refused = OutputFolder::create(destination, /*replace=*/false);
  ASSERT_FALSE(static_cast<bool>(refused));
  EXPECT_EQ(toString(refused.takeError()),
            destination +
                " exists already; choose another name or pass --force");
  EXPECT_EQ(entries(), std::vector<std::string>{destination});

  make(destination, "new", /*replace=*/true);
  EXPECT_TRUE(fs::exists(inFolder(destination, "new")));
  EXPECT_FALSE(fs::exists(inFolder(destination, "old")));
}

TEST_F(OutputFolderTest, WhatExistsStaysUntilCommit) {
  make(destination, "old");
  {
    auto folder = OutputFolder::create(destination, /*replace=*/true);
    ASSERT_TRUE(static_cast<bool>(folder)) << toString(folder.takeError());
  }
  EXPECT_TRUE(fs::exists(inFolder(destination, "old")));
}

TEST_F(OutputFolderTest, TrailingSlashNamesTheSameFolder) {
  make(destination + "/", "a");
  EXPECT_TRUE(fs::exists(inFolder(destination, "a")));
  EXPECT_EQ(entries(), std::vector<std::string>{destination});
}

TEST_F(OutputFolderTest, EmptyPathIsScratchOutsideTheWorkingFolder) {
  std::string path;
  {
    auto folder = OutputFolder::create("", /*replace=*/false);
    ASSERT_TRUE(static_cast<bool>(folder)) << toString(folder.takeError());
    path = folder->path().str();
    EXPECT_TRUE(fs::is_directory(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

} // namespace
