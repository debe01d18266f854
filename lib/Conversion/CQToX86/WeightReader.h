//===- WeightReader.h - Vectors of codes, scales and zeros ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_WEIGHTREADER_H
#define CQ_LIB_CONVERSION_CQTOX86_WEIGHTREADER_H

#include "Emitter.h"
#include "cq/Conversion/CQToX86/Kernels.h"

namespace mlir::cq::x86 {

/// The memrefs of a product kernel; absent ones are null.
struct KernelArgs {
  Value x, activationCodes, activationScales, activationSums;
  Value codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder, y;
  Value begin, end;
  /// Where the rows of a segment are, in code that several segments share: row
  /// and panel of the first, behind the last, first byte of the code plane,
  /// rows of the weight. Null where a Segment says so.
  Value rowBegin, rowEnd, panelBegin, codeOffset, rows;
};

/// Rows of one bit width, in panels of 16 (the last may have fewer).
struct Segment {
  unsigned bits = 0;
  int64_t rowBegin = 0, rows = 0;
  int64_t panelBegin = 0; ///< first task
  int64_t codeOffset = 0; ///< first byte in the code plane
  int64_t panels() const { return (rows + 15) / 16; }
  bool ragged() const { return rows % 16 != 0; }
};
SmallVector<Segment> segmentsOf(const WeightSpec &spec);

/// Where codes lie as in an 8-bit panel: [quad][row of 16][4], from `index` on.
struct CodeBytes {
  Value memref, index;
};

/// Strides of the scale plane, derived from the layout's own answers.
struct ScaleStrides {
  int64_t row, panel, group;
  static ScaleStrides get(const WeightSpec &spec);
};

/// Reads panels of 16 rows of a weight, whatever its layout: codes as the
/// vectors of `unit()`, scales as f32 and zero points as i32 in lanes of rows.
class WeightReader {
public:
  static std::unique_ptr<WeightReader> create(Emitter &e,
                                              const WeightSpec &spec,
                                              const Segment &segment, ISA isa,
                                              const KernelArgs &args);
  /// The same, but codes are read from scratch memory of `columns` columns,
  /// into which `unpack` puts them, one byte each.
  static std::unique_ptr<WeightReader>
  createUnpacked(Emitter &e, const WeightSpec &spec, const Segment &segment,
                 ISA isa, const KernelArgs &args, int64_t columns);
  virtual ~WeightReader() = default;

  /// Moves to a panel, counted from the segment's first.
  virtual void setPanel(Value panel);
  /// Unpacks the columns [column, end) of the panel, from now on the only ones
  /// that can be read. Asks for the scales from column `next` on, which may be
  /// one of the next panel (≥ K), or without it for the codes
  /// bytesFetchedAhead() behind.
  virtual void unpack(Value column, Value end, Value next = nullptr) {}
  /// Asks for the `turn`-th of `turns` equal parts of the stored codes of
  /// `columns` columns from `column` on, which may be one of the next panel.
  virtual void fetchPart(Value column, int64_t columns, Value turn,
                         int64_t turns) {}
  /// Called once before the vectors of columns [column, column + length).
  virtual void prepare(Value column, int64_t length) {}
  /// Vector `vector` of the unit at `offset` columns from the prepared
  /// `column`: the bytes of lanes [lane, lane + isa.lanes()).
  virtual Value loadVector(Value column, int64_t offset, unsigned vector,
                           Value lane) = 0;
  /// The codes from `column` on, of a panel whose unit is that of 8 bits.
  virtual CodeBytes bytesFrom(Value column) = 0;
  /// Asks for the codes that come bytesFetchedAhead() behind the unit at
  /// `offset` columns from `column`.
  virtual void fetchAhead(Value column, int64_t offset) {}
  virtual Value loadScales(Value group, Value lane) = 0;
  virtual Value loadZeros(Value group, Value lane) = 0;

  const PanelUnit &unit() const { return *unitTable; }
  const Scheme &scheme() const { return segmentScheme; }
  const Segment &segment() const { return seg; }
  /// The weight row of a lane of the current panel.
  Value row(Value lane) { return e.add(rowBase, lane); }
  /// Which row of W each stored row is; null where they are the same.
  Value rowOrder() const { return args.rowOrder; }
  Value numRows() { return given(args.rows, spec.n); }
  /// How many of the rows from `lane` on exist (may be ≤ 0).
  Value validRows(Value lane);

protected:
  Value given(Value value, int64_t otherwise) {
    return value ? value : e.index(otherwise);
  }
  WeightReader(Emitter &e, const WeightSpec &spec, const Segment &segment,
               ISA isa, const KernelArgs &args, const PanelUnit &unit);

  Emitter &e;
  const WeightSpec &spec;
  Segment seg;
  Scheme segmentScheme; ///< with the segment's bits
  ISA isa;
  const KernelArgs &args;
  const PanelUnit *unitTable;
  ScaleStrides strides;
  Value panel, rowBase;
};

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_WEIGHTREADER_H
