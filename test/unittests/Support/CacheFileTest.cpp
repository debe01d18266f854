//===- CacheFileTest.cpp - Files kept between runs -----------* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/CacheFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

namespace {

/// A cache folder of its own for every test.
class CacheFileTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("cq-cache-test", folder));
    setenv("CQ_CACHE_DIR", folder.c_str(), 1);
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }
  llvm::SmallString<128> folder;
};

TEST_F(CacheFileTest, StoredValuesComeBack) {
  std::vector<float> values = {1.5f, -2.0f, 0.0f};
  ASSERT_FALSE(static_cast<bool>(storeCached<float>("hidden", "key", values)));
  EXPECT_EQ(loadCached<float>("hidden", "key", 3), values);
  EXPECT_FALSE(loadCached<float>("hidden", "key", 4).has_value());
  EXPECT_FALSE(loadCached<float>("hidden", "other", 3).has_value());
}

TEST_F(CacheFileTest, DamageIsNoticed) {
  ASSERT_FALSE(
      static_cast<bool>(storeCachedBytes("objects", "key", "content")));
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, "objects", "key");
  std::error_code code;
  {
    llvm::raw_fd_ostream os(path, code, llvm::sys::fs::CD_OpenExisting,
                            llvm::sys::fs::FA_Write, llvm::sys::fs::OF_None);
    ASSERT_FALSE(code);
    os << "C";
  }
  EXPECT_FALSE(loadCachedBytes("objects", "key").has_value());
}

TEST_F(CacheFileTest, AFolderThatCannotBeMadeIsASentence) {
  setenv("CQ_CACHE_DIR", "/dev/null/cq", 1);
  llvm::Error error = storeCachedBytes("objects", "key", "content");
  ASSERT_TRUE(static_cast<bool>(error));
  EXPECT_NE(llvm::toString(std::move(error)).find("CQ_CACHE_DIR"),
            std::string::npos);
}

TEST(HashKeyTest, PartsDoNotRunTogether) {
  EXPECT_NE(hashKey({"ab", "c"}), hashKey({"a", "bc"}));
  EXPECT_EQ(hashKey({"ab", "c"}), hashKey({"ab", "c"}));
}

} // namespace
