//===- Heuristics.h - Every tuning decision of the x86 kernels --*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_HEURISTICS_H
#define CQ_LIB_CONVERSION_CQTOX86_HEURISTICS_H

#include "cq/Codec/ReferenceGemm.h"
#include "cq/Conversion/CQToX86/ISA.h"

namespace mlir::cq::x86 {

struct MatmulSpec;

/// The shape of a micro-tile: the rows of a panel or two (or half of one at a
/// time) × tokens.
struct TilePlan {
  int64_t tokens = 1;
  /// Codes are bytes already.
  bool unpacked = false;
  /// Rows a pass covers: those of its panels, or the lanes of one register
  /// where registers are few.
  int64_t rows = 16;
  /// Fields stay where they lie, one accumulator for every shift class.
  bool inPlace = false;
  /// Independent accumulators of one sum; hides the latency of the dot product.
  unsigned chains = 1;
  /// Columns of K that the body of the inner loop covers. Of unpacked panels it
  /// divides K.
  int64_t columnsPerStep = 64;
};

/// The most tokens a tile of this kind of kernel takes.
int64_t maxTokensPerTile(ISA isa, ActivationMode mode, LayoutKind layout,
                         bool unpacked);

/// Panels of a tile in a product of `tokens` (which may be
/// ShapedType::kDynamic).
int64_t panelsPerTile(ISA isa, ActivationMode mode, LayoutKind layout,
                      int64_t tokens);

TilePlan planTile(ISA isa, ActivationMode mode, LayoutKind layout,
                  bool unpacked, const PanelUnit &unit, int64_t k,
                  int64_t panels, int64_t tokens);

/// Whether products are made in tile registers.
bool multipliesTiles(ISA isa, ActivationMode mode, LayoutKind layout, int64_t k,
                     int64_t tokens);

/// Whether a panel is unpacked once into scratch memory, for all tokens, rather
/// than in every tile. `tokens` may be ShapedType::kDynamic.
bool unpacksPanels(ISA isa, ActivationMode mode, LayoutKind layout,
                   unsigned bits, int64_t k, int64_t tokens);

/// Whether blocks of tokens × columns meet all panels, rather than each panel
/// all tokens. So it is where panels are unpacked.
bool takesBlocks(ISA isa, ActivationMode mode, LayoutKind layout, unsigned bits,
                 int64_t k, int64_t tokens);

/// Columns of a panel that are unpacked at a time: a multiple of 128, or all.
int64_t unpackedColumns(int64_t k, int64_t tokens);

/// Whether the tiles of a piece fetch the whole next one, rather than unpacking
/// it bytesFetchedAhead().
bool fetchesNextPiece(int64_t tokens);

/// Columns whose products an int16 has to hold for a loop to carry sums of
/// pairs; sums of fewer are widened in straight-line code.
int64_t minColumnsPerRun();

/// Without VNNI, columns of codes of `bits` less their mean that a sum in int16
/// takes: 0 where shorter sums that begin at 0 are better.
int64_t centeredColumnsPerSum(ISA isa, const Scheme &scheme, unsigned bits,
                              int64_t k);

/// Tokens, and columns in whole pieces, whose activations stay in L2 while all
/// panels pass by.
int64_t tokensPerBlock();
int64_t columnsPerBlock(int64_t k, int64_t tokens, int64_t piece);

/// How far behind the codes that are read others are fetched into L1.
int64_t bytesFetchedAhead();

/// Whether cherries are looked up in registers instead of gathered, and how
/// many panels meet a table.
bool looksUpCherries(const MatmulSpec &spec);
int64_t panelsPerCherryTable(int64_t k, int64_t tokens);

/// Multiplications below which a product is not worth waking a thread.
int64_t parallelProductSize();

/// Tokens times columns from which dynamic quantization is worth several
/// threads.
int64_t parallelQuantizeElements();

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_HEURISTICS_H
