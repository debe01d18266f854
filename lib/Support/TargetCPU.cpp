//===- TargetCPU.cpp - What code for a CPU may use ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/TargetCPU.h"
#include "cq/Support/TileRegisters.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace mlir::cq;

static const llvm::StringMap<bool> &hostFeatures() {
  static const llvm::StringMap<bool> features = [] {
    llvm::StringMap<bool> has = llvm::sys::getHostCPUFeatures();
    if (has.lookup("amx-tile") && !requestTileRegisters())
      for (auto &feature : has)
        if (feature.first().starts_with("amx-"))
          feature.second = false;
    return has;
  }();
  return features;
}

std::optional<llvm::StringMap<bool>> mlir::cq::featuresOf(llvm::StringRef cpu) {
  if (cpu.empty() || cpu == "host")
    return hostFeatures();
  if (llvm::X86::parseArchX86(cpu) == llvm::X86::CK_None)
    return std::nullopt;
  llvm::SmallVector<llvm::StringRef> names;
  llvm::X86::getFeaturesForCPU(cpu, names);
  llvm::StringMap<bool> features;
  // Alder Lake's are said to have AVX-VNNI, which has AVX2.
  for (llvm::StringRef name : names) {
    features[name] = true;
    llvm::X86::updateImpliedFeatures(name, /*Enabled=*/true, features);
  }
  return features;
}

std::string mlir::cq::hostFeatureString() {
  std::vector<std::string> flags;
  for (const auto &feature : hostFeatures())
    flags.push_back((feature.second ? "+" : "-") + feature.first().str());
  llvm::sort(flags);
  return llvm::join(flags, ",");
}
