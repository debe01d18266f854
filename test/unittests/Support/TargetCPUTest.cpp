//===- TargetCPUTest.cpp - What code for a CPU may use --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/TargetCPU.h"
#include "cq/Support/TileRegisters.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/TargetParser/Host.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

namespace {

TEST(TargetCPU, NamesAreLLVMs) {
  auto server = featuresOf("sapphirerapids"), desktop = featuresOf("znver4");
  ASSERT_TRUE(server && desktop);
  EXPECT_TRUE(server->lookup("amx-int8"));
  EXPECT_TRUE(desktop->lookup("avx512vnni"));
  EXPECT_FALSE(desktop->lookup("amx-int8"));
  EXPECT_FALSE(featuresOf("sapphire rapids"));
  // Some are implied by others only.
  auto hybrid = featuresOf("alderlake");
  ASSERT_TRUE(hybrid);
  EXPECT_TRUE(hybrid->lookup("avxvnni") && hybrid->lookup("avx2"));
  EXPECT_FALSE(hybrid->lookup("avx512f"));
}

TEST(TargetCPU, TilesOfTheHostAreThoseTheSystemAllows) {
  auto here = featuresOf("host");
  ASSERT_TRUE(here);
  llvm::StringMap<bool> cpu = llvm::sys::getHostCPUFeatures();
  EXPECT_EQ(here->size(), cpu.size());
  for (const auto &feature : cpu) {
    bool allowed =
        !feature.first().starts_with("amx-") || requestTileRegisters();
    EXPECT_EQ(here->lookup(feature.first()), feature.second && allowed)
        << feature.first().str();
  }
}

TEST(TargetCPU, FeatureStringIsSortedAndWhole) {
  std::string text = hostFeatureString();
  llvm::SmallVector<llvm::StringRef> flags;
  llvm::StringRef(text).split(flags, ',');
  EXPECT_TRUE(llvm::is_sorted(flags));
  auto here = featuresOf("");
  ASSERT_TRUE(here);
  EXPECT_EQ(flags.size(), here->size());
  for (llvm::StringRef flag : flags)
    EXPECT_EQ(here->lookup(flag.drop_front()), flag.front() == '+')
        << flag.str();
}

} // namespace
