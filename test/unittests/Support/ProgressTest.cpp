//===- ProgressTest.cpp - What long work tells its user -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/Progress.h"
#include "cq/Support/Memory.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

TEST(ProgressTest, OneLineAStepOffATerminal) {
  std::string text;
  llvm::raw_string_ostream os(text);
  {
    Progress progress(os, "quantizing", 2, /*terminal=*/false);
    progress.advance("a", "3.25 bpw");
    progress.advance("b");
  }
  EXPECT_EQ(text, "quantizing 1/2: a  3.25 bpw\nquantizing 2/2: b\n");
}

TEST(ProgressTest, TerminalLineIsRewrittenAndCleared) {
  std::string text;
  llvm::raw_string_ostream os(text);
  Progress progress(os, "quantizing", 2, /*terminal=*/true);
  progress.advance("a");
  progress.finish();
  progress.advance("late");
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(text.find("\rquantizing 1/2: a"), std::string::npos);
  EXPECT_NE(text.find("left"), std::string::npos);
  EXPECT_EQ(text.substr(text.size() - 4), "\r\033[K");
}

TEST(ProgressTest, SizesTimesAndCounts) {
  EXPECT_EQ(formatBytes(999), "999 B");
  EXPECT_EQ(formatBytes(98362432), "98.4 MB");
  EXPECT_EQ(formatBytes(999960000), "1.0 GB");
  EXPECT_EQ(formatSeconds(3.21), "3.2 s");
  EXPECT_EQ(formatSeconds(250), "4 min 10 s");
  EXPECT_EQ(formatCount(134515008), "134,515,008");
  EXPECT_GT(peakMemory(), 0);
}
