//===- Heuristics.cpp - Every tuning decision of the x86 kernels ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Heuristics.h"
#include "PairOffsets.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "llvm/ADT/SmallSet.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir::cq;
using namespace mlir::cq::x86;

/// A dot product of 64 bytes is worth more than what it takes to mask the codes
/// of two panels again for every eight tokens: from registers, two panels times
/// eight tokens multiply at 97 % of what the CPU can; from bytes unpacked into
/// L1 it was 80 % (Zen 5).
static bool unpacksInRegisters(ISA isa) {
  return isa.hasDotProduct() && isa.lanes() == 16;
}

int64_t mlir::cq::x86::maxTokensPerTile(ISA isa, ActivationMode mode,
                                        LayoutKind layout, bool unpacked) {
  // The f32 mode exists for accuracy checks; linear planes for interchange.
  if (mode == ActivationMode::F32 || layout == LayoutKind::Linear)
    return 4;
  // Sixteen rows times four: two loads of weights and four broadcasts for
  // eight products. With 32 registers two panels times eight: ten loads for
  // sixteen products, and rows of 4 KB meet in one set of L1 eight at a time,
  // of its twelve ways (Zen 5: sixteen tokens of one panel 262 GMAC/s, these
  // 440, in a C model of the loop).
  if (unpacked && isa.numRegisters() == 16)
    return 4;
  return 8;
}

int64_t mlir::cq::x86::panelsPerTile(ISA isa, ActivationMode mode,
                                     LayoutKind layout, int64_t tokens) {
  bool wide = isa.lanes() == 16 && mode == ActivationMode::Int8 &&
              layout == LayoutKind::Panel16;
  return wide && tokens >= 16 ? 2 : 1;
}

bool mlir::cq::x86::multipliesTiles(ISA isa, ActivationMode mode,
                                    LayoutKind layout, int64_t k,
                                    int64_t tokens) {
  // A tile of fewer tokens takes as long.
  return isa.hasTiles() && mode == ActivationMode::Int8 &&
         layout == LayoutKind::Panel16 && k % 32 == 0 && tokens >= 16;
}

bool mlir::cq::x86::unpacksPanels(ISA isa, ActivationMode mode,
                                  LayoutKind layout, unsigned bits, int64_t k,
                                  int64_t tokens) {
  // With few registers a tile of bytes from L1 is the only one that has room
  // for its sums; with many it pays from two tiles on.
  return mode == ActivationMode::Int8 && layout == LayoutKind::Panel16 &&
         bits < 8 && k % 4 == 0 &&
         tokens >= (isa.numRegisters() == 16 ? 3 : 16) &&
         (multipliesTiles(isa, mode, layout, k, tokens) ||
          !(unpacksInRegisters(isa) && k % 32 == 0));
}

bool mlir::cq::x86::takesBlocks(ISA isa, ActivationMode mode, LayoutKind layout,
                                unsigned bits, int64_t k, int64_t tokens) {
  return unpacksPanels(isa, mode, layout, bits, k, tokens) ||
         (unpacksInRegisters(isa) && mode == ActivationMode::Int8 &&
          layout == LayoutKind::Panel16 && k % 32 == 0 && tokens >= 16);
}

int64_t mlir::cq::x86::unpackedColumns(int64_t k, int64_t tokens) {
  // Few tokens wait for memory too: short pieces keep it busy meanwhile. Of
  // many, sixteen rows and the activations of a tile lie in L1 together.
  const int64_t most = tokens <= 16 ? 128 : 1024;
  int64_t pieces = (k + most - 1) / most;
  return pieces == 1 ? k : llvm::alignTo((k + pieces - 1) / pieces, 128);
}

bool mlir::cq::x86::fetchesNextPiece(int64_t tokens) { return tokens > 16; }

// Three bits and less, two quads at a time: in longer code LLVM adds products
// to each other first, and spills.
int64_t mlir::cq::x86::minColumnsPerRun() { return 64; }

int64_t mlir::cq::x86::centeredColumnsPerSum(ISA isa, const Scheme &scheme,
                                             unsigned bits, int64_t k) {
  int64_t run =
      std::min(PairOffsets::columnsPerSum(bits), activationGroup(scheme));
  int64_t bytes = isa.vectorBytes();
  return isa.hasDotProduct() || k % bytes != 0 || run % bytes != 0 ? 0 : run;
}

// Half of an L2 of 512 KB. Codes come from behind it once a block of tokens,
// sums once a block of columns; more tokens than 64 are more rows than fit
// first-level tables of addresses and, at strides of 4 KB, ways of L2 (128: 5 %
// slower at K = 4096, 256: 10 %).
static constexpr int64_t kBlockBytes = 256 * 1024;

int64_t mlir::cq::x86::tokensPerBlock() { return 64; }

int64_t mlir::cq::x86::columnsPerBlock(int64_t k, int64_t tokens,
                                       int64_t piece) {
  int64_t most = kBlockBytes / std::min(tokens, tokensPerBlock());
  return std::min(k, std::max<int64_t>(most / piece, 1) * piece);
}

/// A vpdpbusd has to wait 4 or 5 cycles for its sum, and a core starts one
/// (Zen 4) or two (Cascade Lake) a cycle. Few tokens wait for memory, and mask
/// codes meanwhile: 8 sums are enough for them. No more than half of the
/// registers, the others are for codes, masks and the groups' float sums.
static unsigned independentChains(ISA isa, const TilePlan &plan,
                                  const PanelUnit &unit) {
  llvm::SmallSet<unsigned, 8> classes;
  for (const PanelQuad &quad : unit.quads)
    classes.insert(plan.inPlace ? quad.shiftClass : 0);
  unsigned sums = static_cast<unsigned>(plan.tokens * plan.rows / isa.lanes() *
                                        classes.size());
  unsigned enough = plan.tokens < 4 ? 8 : 10, chains = 1;
  while (sums * chains < enough && 4 * sums * chains <= isa.numRegisters())
    chains *= 2;
  return chains;
}

TilePlan mlir::cq::x86::planTile(ISA isa, ActivationMode mode,
                                 LayoutKind layout, bool unpacked,
                                 const PanelUnit &unit, int64_t k,
                                 int64_t panels, int64_t tokens) {
  TilePlan plan;
  plan.tokens = tokens;
  plan.unpacked = unpacked;
  // One token waits for memory: all sixteen rows of a cache line at once.
  // Several tokens need the registers: half a panel, an accumulator a token.
  bool fewRegisters = isa.numRegisters() == 16;
  plan.rows =
      fewRegisters && !unpacked && tokens > 2 && layout == LayoutKind::Panel16
          ? isa.lanes()
          : 16 * panels;
  // A shift per quad is cheaper than an accumulator per token and shift class.
  plan.inPlace = isa.hasDotProduct() && tokens <= 2 && !unpacked;
  if (isa.hasDotProduct() && !unpacked && mode == ActivationMode::Int8)
    plan.chains = independentChains(isa, plan, unit);
  if (unpacked) {
    // Of two panels a quad is 16 products already; of more LLVM moves all
    // broadcasts to the beginning, and spills them.
    plan.columnsPerStep = std::min<int64_t>(panels == 1 ? 32 : 4, k & -k);
    return plan;
  }
  // Straight-line code that is long enough to hide the loop and short enough
  // for compile time: 32 quads for one token, 8 for several, 4 of two panels.
  plan.columnsPerStep = std::max<int64_t>(
      unit.columns(), panels > 1 ? 16 : (tokens == 1 ? 64 : 32));
  if (mode == ActivationMode::F32)
    plan.columnsPerStep = std::max<int64_t>(unit.columns(), 16);
  return plan;
}

// Over the end of a page, where the prefetchers of the CPU stop, and as many
// bytes as memory gives two threads in the 150 ns that it takes to answer. From
// 1 to 6 KB measured alike on Zen 3; on Zen 5 a token of 135 M takes 4 % less
// time with 4 to 8 KB than with 2, and 12 are worse again.
int64_t mlir::cq::x86::bytesFetchedAhead() { return 6144; }

bool mlir::cq::x86::wantsTransposed(const MatmulSpec &spec) {
  const CherrySpec &cherries = spec.weight.cherries;
  // Deltas of a panel, as f32, lie on the stack.
  int64_t slots = CherrySpec::slotBlocks(spec.weight.k) * cherries.count;
  return cherries.form == CherryForm::Slot && slots > 0 && slots <= 256 &&
         spec.mode == ActivationMode::Int8 &&
         spec.weight.layout.kind == LayoutKind::Panel16 &&
         !ShapedType::isDynamic(spec.m) && spec.m >= 8 &&
         spec.weight.k % 32 == 0;
}

// One token of long rows is as quick as memory, and there a gather of the
// columns that are wanted hides (4096²: 1.02 to 1.05 of the time without
// cherries, by table 1.13); from L3 it takes 1.37, by table 1.24.
bool mlir::cq::x86::looksUpCherries(const MatmulSpec &spec) {
  const WeightSpec &weight = spec.weight;
  return spec.isa.lanes() == 16 && !spec.isa.emulated && !spec.transposed &&
         weight.cherries.form == CherryForm::Slot &&
         weight.cherries.count > 0 && spec.mode == ActivationMode::Int8 &&
         weight.layout.kind == LayoutKind::Panel16 && weight.k % 16 == 0 &&
         weight.k >= 128 && spec.m >= (weight.k <= 2048 ? 1 : 2) && spec.m < 16;
}

// A table comes from L1 again for every panel where x is small; after one panel
// codes from memory have not waited for long (1536 x 576: as quick as with a
// gather; with four or eight panels 3 % slower). Where x has left L1 it is the
// table that has to be used more than once.
int64_t mlir::cq::x86::panelsPerCherryTable(int64_t k, int64_t tokens) {
  return tokens * k <= 2048 ? 1 : 8;
}

// One or two microseconds of work: what a launch costs.
int64_t mlir::cq::x86::parallelProductSize() { return 64 * 1024; }

int64_t mlir::cq::x86::parallelQuantizeElements() { return 32 * 1024; }
