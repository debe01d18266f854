//===- CherryWalk.h - The order of cherry planes ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CODEC_CHERRYWALK_H
#define CQ_LIB_CODEC_CHERRYWALK_H

#include "cq/Codec/Quantizer.h"

namespace mlir::cq::detail {

inline int64_t readColumn(const CherrySpec &spec, const uint8_t *columns,
                          int64_t index) {
  if (spec.columnBytes() == 1)
    return columns[index];
  return columns[2 * index] | columns[2 * index + 1] << 8;
}

inline void writeColumn(const CherrySpec &spec, uint8_t *columns, int64_t index,
                        int64_t column) {
  if (spec.columnBytes() == 1) {
    columns[index] = static_cast<uint8_t>(column);
    return;
  }
  columns[2 * index] = static_cast<uint8_t>(column);
  columns[2 * index + 1] = static_cast<uint8_t>(column >> 8);
}

/// Place of slot `slot` of (row, block) in the planes [P, B, count, 16].
inline int64_t slotIndex(const CherrySpec &spec, int64_t blocks, int64_t row,
                         int64_t block, int64_t slot) {
  return ((row / 16 * blocks + block) * spec.count + slot) * 16 + row % 16;
}

/// Calls visit(column of W, index into the delta plane) for every cherry of
/// `row`, in the order in which kernels add them.
template <typename Visit>
void forEachCherry(const CherrySpec &spec, const uint8_t *columns, int64_t n,
                   int64_t k, int64_t row, Visit visit) {
  switch (spec.form) {
  case CherryForm::None:
    return;
  case CherryForm::Element:
    for (int64_t i = row * spec.count, e = i + spec.count; i < e; ++i)
      visit(readColumn(spec, columns, i), i);
    return;
  case CherryForm::Column:
    for (int64_t i = 0; i < spec.count; ++i)
      visit(readColumn(spec, columns, i), i * n + row);
    return;
  case CherryForm::Slot: {
    int64_t blocks = CherrySpec::slotBlocks(k);
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t slot = 0; slot < spec.count; ++slot) {
        int64_t index = slotIndex(spec, blocks, row, block, slot);
        visit(block * 256 + readColumn(spec, columns, index), index);
      }
    return;
  }
  }
}

/// Success if the plane has the size of its spec and every column lies in W
/// and, with `ascending`, those of a row (or block) strictly rise.
llvm::Error checkPositions(const CherryPositions &cherries, int64_t n,
                           int64_t k, bool ascending);

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_CHERRYWALK_H
