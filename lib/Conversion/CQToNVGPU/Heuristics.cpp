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

/// 256 columns at 2 to 5 bits, 128 at more: eight to twenty registers of words
/// for each tile. Whole groups and whole blocks fit.
static unsigned unitChunks(const MatmulSpec &spec) {
  return spec.bits() > 5 ? 2 : 4;
}

/// Multiprocessors of the largest chip of an architecture (A100, H200).
static int64_t processors(unsigned architecture) {
  return architecture >= 90 ? 132 : 108;
}

/// Few rows and many columns leave multiprocessors idle: CTAs share the columns
/// until there is one for each, while every warp keeps four units. A second
/// launch is not worth less.
static unsigned chooseSplit(const MatmulSpec &spec, KernelOptions options,
                            unsigned architecture) {
  if (spec.layout.segments.size() > 1)
    return 1;
  MatmulSpec one = spec;
  one.options = options;
  int64_t units = spec.chunks() / options.unitChunks / options.warpsK;
  unsigned split = 1;
  while (split < 8 && one.gridX() * split * 2 <= processors(architecture) &&
         units >= 4 * 2 * split)
    split *= 2;
  return split;
}

KernelOptions nv::chooseOptions(const MatmulSpec &spec, int64_t tokens,
                                unsigned architecture, Abilities abilities) {
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
    if (abilities.splits)
      options.splitK = chooseSplit(spec, options, architecture);
    return options;
  }
  if (abilities.wgmma && (tokens <= 0 || tokens > 64)) {
    // Two warpgroups share a stage: one makes numbers while the other's
    // products run. 64 tokens where more would leave multiprocessors idle.
    options.family = Family::Warpgroup;
    options.warpsK = 1;
    options.warpsN = 8;
    options.tokens = 128;
    if (tokens > 0 && (tokens + 127) / 128 * ((spec.tiles() + 7) / 8) <
                          processors(architecture))
      options.tokens = 64;
    // Short units: the sums of 128 tokens leave few registers for words ahead.
    options.unitChunks = spec.bits() == 3 || spec.bits() == 5 ? 4 : 2;
    // Many groups in a unit leave fewer, and so do five bits with zero points.
    int64_t groups =
        spec.scheme.group ? options.unitChunks * 64 / spec.scheme.group : 1;
    if (groups >= 8)
      options.tokens = 32;
    else if (groups >= 4 || (spec.bits() == 5 && spec.scheme.hasZeroPoints()))
      options.tokens = 64;
    options.stages = 12 / options.unitChunks;
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
  } else if (abilities.splits) {
    options.splitK = chooseSplit(spec, options, architecture);
  }
  return options;
}

std::vector<KernelOptions> nv::candidateOptions(const MatmulSpec &spec,
                                                int64_t tokens,
                                                unsigned architecture,
                                                Abilities abilities) {
  KernelOptions chosen = chooseOptions(spec, tokens, architecture, abilities);
  std::vector<KernelOptions> candidates;
  auto add = [&](const KernelOptions &options) {
    MatmulSpec other = spec;
    other.options = options;
    if (!llvm::is_contained(candidates, options) && !other.unsupported())
      candidates.push_back(options);
  };
  add(chosen);
  if (chosen.family == Family::Warpgroup) {
    for (unsigned warpsN : {4, 8})
      for (unsigned blockTokens : {64, 128})
        for (unsigned unitChunks : {2, 4})
          for (unsigned stages : {2, 3, 4, 6}) {
            KernelOptions options = chosen;
            options.warpsN = warpsN;
            options.tokens = blockTokens;
            options.unitChunks = unitChunks;
            options.stages = stages;
            add(options);
          }
    chosen = chooseOptions(spec, tokens, architecture);
    add(chosen);
  }
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
            // 64 tokens and two tiles do not fit the registers, nor do they in
            // those of sixteen warps.
            if (warps < 4 || warps > 16 ||
                tiles * options.tokens > (resident ? 16 : 64) ||
                warps * options.tokens > 512)
              continue;
            add(options);
            for (unsigned split : {2, 4, 8}) {
              if (!abilities.splits || spec.layout.segments.size() > 1 ||
                  split > 4 * chosen.splitK)
                continue;
              options.splitK = split;
              add(options);
            }
          }
  return candidates;
}
