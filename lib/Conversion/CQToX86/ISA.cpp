//===- ISA.cpp - The x86 vector levels kernels are written for ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToX86/ISA.h"
#include "cq/Support/TargetCPU.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::cq::x86;

static llvm::StringRef levelName(ISALevel level) {
  switch (level) {
  case ISALevel::AVX2:
    return "avx2";
  case ISALevel::AVX512:
    return "avx512";
  case ISALevel::AVXVNNI:
    return "avxvnni";
  case ISALevel::AVX512VNNI:
    return "avx512vnni";
  case ISALevel::AVX512AMX:
    return "avx512amx";
  }
  return "avx2";
}

std::string ISA::str() const {
  return (emulated ? "emulated-" : "") + levelName(level).str();
}

std::optional<ISA> ISA::parse(llvm::StringRef text) {
  if (text == "generic")
    return ISA{ISALevel::AVX512VNNI, /*emulated=*/true};
  ISA isa;
  isa.emulated = text.consume_front("emulated-");
  for (ISALevel level : kISALevels) {
    isa.level = level;
    if (text == levelName(level))
      return isa;
  }
  return std::nullopt;
}

llvm::StringRef ISA::targetFeatures() const {
  switch (level) {
  case ISALevel::AVX2:
    return "+avx2,+fma,+f16c";
  case ISALevel::AVXVNNI:
    return "+avx2,+fma,+f16c,+avxvnni";
  case ISALevel::AVX512:
    return "+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl";
  case ISALevel::AVX512VNNI:
    return "+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl,+avx512vnni";
  case ISALevel::AVX512AMX:
    return "+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl,+avx512vnni,"
           "+amx-tile,+amx-int8";
  }
  return "";
}

static bool hasAll(const llvm::StringMap<bool> &features,
                   llvm::StringRef list) {
  llvm::SmallVector<llvm::StringRef> names;
  list.split(names, ',');
  return llvm::all_of(names, [&](llvm::StringRef name) {
    return features.lookup(name.drop_front());
  });
}

ISA ISA::fromFeatures(const llvm::StringMap<bool> &features) {
  for (ISALevel level : llvm::reverse(kISALevels)) {
    ISA isa{level, false};
    if (hasAll(features, isa.targetFeatures()))
      return isa;
  }
  return ISA{ISALevel::AVX2, /*emulated=*/true};
}

ISA ISA::host() { return fromFeatures(*featuresOf("host")); }

bool ISA::runsOnHost() const {
  return emulated || hasAll(*featuresOf("host"), targetFeatures());
}
