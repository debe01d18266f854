//===- Heuristics.cpp - Which options a product gets ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Reasoned, not measured: no device has run these kernels. Every choice here
// is about speed only.
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToNVGPU/Kernels.h"
#include "llvm/ADT/STLExtras.h"
#include <algorithm>

using namespace mlir::cq;
using namespace mlir::cq::nv;

/// 256 columns at 2 to 4 bits, 128 at 8: eight to sixteen registers of words
/// for each tile. Whole groups and whole blocks fit.
static unsigned unitChunks(const MatmulSpec &spec) {
  return spec.bits() == 8 ? 2 : 4;
}

/// Multiprocessors of the largest chip of an architecture (A100, H200).
static int64_t processors(unsigned architecture) {
  return architecture >= 90 ? 132 : 108;
}

KernelOptions nv::chooseOptions(const MatmulSpec &spec, int64_t tokens,
                                unsigned architecture) {
  KernelOptions options;
  options.unitChunks = unitChunks(spec);
  int64_t units = std::max<int64_t>(1, spec.chunks() / options.unitChunks);
  if (tokens >= 1 && tokens <= 8) {
    options.family = Family::Resident;
    options.tokens = 1;
    while (options.tokens < tokens)
      options.tokens *= 2;
    // More warps than units would wait; fewer leave too few loads in flight.
    options.warpsK = 8;
    while (options.warpsK > 1 && options.warpsK > units)
      options.warpsK /= 2;
    // Two tiles share their activations where rows are many.
    options.tiles = spec.tiles() >= 4 * processors(architecture) ? 2 : 1;
    return options;
  }
  options.family = Family::Pipelined;
  options.stages = 3;
  options.tokens = 16;
  while (options.tokens < 64 && (tokens <= 0 || options.tokens < tokens))
    options.tokens *= 2;
  options.warpsN = 4;
  // Stages of 64 tokens fill 32 KiB for every warp that shares the columns.
  options.warpsK = units >= 2 && options.tokens < 64 ? 2 : 1;
  options.tiles = 1;
  if (tokens <= 0 || tokens > 64) {
    // Enough products for every weight that is unpacked.
    options.warpsK = 1;
    options.warpsN = 8;
  }
  return options;
}

std::vector<KernelOptions> nv::candidateOptions(const MatmulSpec &spec,
                                                int64_t tokens,
                                                unsigned architecture) {
  KernelOptions chosen = chooseOptions(spec, tokens, architecture);
  std::vector<KernelOptions> candidates;
  auto add = [&](const KernelOptions &options) {
    MatmulSpec other = spec;
    other.options = options;
    if (!llvm::is_contained(candidates, options) && !other.unsupported())
      candidates.push_back(options);
  };
  add(chosen);
  bool resident = chosen.family == Family::Resident;
  for (unsigned warpsN :
       resident ? std::vector<unsigned>{1} : std::vector<unsigned>{2, 4, 8})
    for (unsigned warpsK : {1, 2, 4, 8, 16})
      for (unsigned tiles : {1, 2})
        for (unsigned unitChunks : {2, 4})
          for (unsigned stages : resident ? std::vector<unsigned>{3}
                                          : std::vector<unsigned>{3, 4}) {
            KernelOptions options = chosen;
            options.warpsN = warpsN;
            options.warpsK = warpsK;
            options.tiles = tiles;
            options.unitChunks = unitChunks;
            options.stages = stages;
            unsigned warps = warpsN * warpsK;
            // 64 tokens and two tiles do not fit the registers.
            if (warps < 4 || warps > 16 ||
                tiles * options.tokens > (resident ? 16 : 64))
              continue;
            add(options);
          }
  return candidates;
}
