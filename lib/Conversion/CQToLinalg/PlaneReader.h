//===- PlaneReader.h - Reading elements of packed planes --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOLINALG_PLANEREADER_H
#define CQ_LIB_CONVERSION_CQTOLINALG_PLANEREADER_H

#include "Emit.h"
#include "cq/Codec/Layout.h"

namespace mlir::cq::tolinalg {

/// Emits the reads of a code, scale or zero point of W [n, k]. All places come
/// from the codec: panel units as small constant tables, strides by asking.
class PlaneReader {
public:
  /// Creates the tables at the insertion point of `b`, outside of any body.
  PlaneReader(Emitter &b, const Scheme &scheme, const Layout &layout, int64_t n,
              int64_t k);

  /// The code of (row, column) as i32.
  Value code(Emitter &b, Value plane, Value row, Value column) const;
  /// The entry of (row, group) of the scale or zero-point plane.
  Value entry(Emitter &b, Value plane, Value row, Value group) const;

private:
  /// The i-th term of every quad of a unit (PanelTerm), a table a field.
  struct Terms {
    Table offset, left, right, mask;
  };
  /// Rows [first, first + rows), whose code bytes start at `base`.
  struct Segment {
    int64_t first, rows, base;
    unsigned bits;
    SmallVector<Terms, 2> terms;
    std::optional<Table> shiftClass;
  };
  Value linearCode(Emitter &b, const Segment &segment, Value plane, Value row,
                   Value column) const;
  Value panelCode(Emitter &b, const Segment &segment, Value plane, Value row,
                  Value column) const;

  Scheme scheme;
  Layout layout;
  int64_t n, k;
  SmallVector<Segment, 1> segments;
};

} // namespace mlir::cq::tolinalg

#endif // CQ_LIB_CONVERSION_CQTOLINALG_PLANEREADER_H
