//===- StoredWeight.cpp - A weight's planes as IREE reads them ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StoredWeight.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>

using namespace mlir::cq;
using namespace mlir::cq::toiree;

using Bytes = std::vector<uint8_t>;

static int64_t bitsOf(Element element) {
  switch (element) {
  case Element::I2:
    return 2;
  case Element::I4:
    return 4;
  case Element::I8:
    return 8;
  case Element::I16:
  case Element::F16:
  case Element::BF16:
    return 16;
  case Element::I32:
  case Element::F32:
    return 32;
  }
  return 0;
}

int64_t StoredPlane::bytes() const {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count * bitsOf(element) / 8;
}

CodeUnit CodeUnit::get(unsigned bits, bool packed) {
  if (!packed || bits == 8)
    return {};
  if (bits == 2 || bits == 4)
    return {1, 0, bits == 2 ? Element::I2 : Element::I4};
  if (bits == 6)
    return {4, 3};
  return {8, bits}; // 8 codes of b bits are b bytes
}

int64_t StoredWeight::paddedLength() const {
  return packed ? static_cast<int64_t>(llvm::alignTo(groupLength, 8))
                : groupLength;
}

std::string StoredWeight::planeName(size_t segment,
                                    llvm::StringRef plane) const {
  if (layout.segments.size() == 1)
    return plane.str();
  return "rows" + std::to_string(segment) + "." + plane.str();
}

int64_t StoredWeight::cherryEntries() const {
  return cherries.form == CherryForm::Slot
             ? cherries.count * CherrySpec::slotBlocks(k)
             : cherries.count;
}

static Element scaleElement(ScaleType type) {
  switch (type) {
  case ScaleType::F16:
    return Element::F16;
  case ScaleType::BF16:
    return Element::BF16;
  case ScaleType::F32:
    return Element::F32;
  }
  return Element::F32;
}

std::vector<StoredPlane> StoredWeight::flatPlanes() const {
  int64_t entries = layout.scaleEntries(n, k, scheme);
  std::vector<StoredPlane> planes{
      {"codes", Element::I8, {layout.codeBytes(n, k)}},
      {"scales", scaleElement(scheme.scaleType), {entries}}};
  if (scheme.hasZeroPoints())
    planes.push_back({"zeros", Element::I8, {entries}});
  if (cherries.form != CherryForm::None) {
    planes.push_back({"cherry_columns",
                      cherries.columnBytes() == 1 ? Element::I8 : Element::I16,
                      {cherries.numColumns(n, k)}});
    planes.push_back(
        {"cherry_deltas", Element::F16, {cherries.numDeltas(n, k)}});
  }
  if (layout.permuted)
    planes.push_back({"row_positions", Element::I32, {n}});
  return planes;
}

std::vector<StoredPlane> StoredWeight::planes() const {
  if (flat)
    return flatPlanes();
  std::vector<StoredPlane> planes;
  int64_t groups = numGroups(), length = paddedLength();
  for (auto [i, segment] : llvm::enumerate(layout.segments)) {
    CodeUnit unit = CodeUnit::get(segment.bits, packed);
    std::string codes = planeName(i, "codes");
    for (int64_t byte = 0; byte < std::max<int64_t>(unit.bytes, 1); ++byte)
      planes.push_back({unit.bytes ? codes + "." + std::to_string(byte) : codes,
                        unit.element,
                        {segment.rows, groups, length / unit.codes}});
    planes.push_back({planeName(i, "scales"),
                      scaleElement(scheme.scaleType),
                      {segment.rows, groups}});
    if (scheme.hasZeroPoints())
      planes.push_back(
          {planeName(i, "zeros"), Element::I8, {segment.rows, groups}});
  }
  if (hasCherries()) {
    Element column = k > 65536 ? Element::I32 : Element::I16;
    if (cherries.form == CherryForm::Column)
      planes.push_back({"cherry_columns", column, {cherries.count}});
    else
      planes.push_back({"cherry_columns", column, {n, cherryEntries()}});
    planes.push_back({"cherry_deltas", Element::F16, {n, cherryEntries()}});
  }
  if (layout.permuted)
    planes.push_back({"row_positions", Element::I32, {n}});
  return planes;
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

static void append(Bytes &bytes, uint32_t value, unsigned count) {
  for (unsigned i = 0; i < count; ++i)
    bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

/// Codes of `rows` rows from `first` on, one a byte, groups padded with 0.
static Bytes spread(const StoredWeight &w, const QuantizedWeight &q,
                    int64_t first, int64_t rows) {
  int64_t groups = w.numGroups(), length = w.paddedLength();
  Bytes codes(rows * groups * length);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t g = 0; g < groups; ++g) {
      int64_t begin = g * w.groupLength;
      std::memcpy(codes.data() + (row * groups + g) * length,
                  q.codes.data() + (first + row) * w.k + begin,
                  std::min(w.groupLength, w.k - begin));
    }
  return codes;
}

static void encodeCodes(const Bytes &codes, unsigned bits, const CodeUnit &unit,
                        std::vector<Bytes> &planes) {
  if (unit.bytes == 0) {
    unsigned each = bitsOf(unit.element), perByte = 8 / each;
    Bytes packed(codes.size() / perByte);
    for (size_t i = 0; i < codes.size(); ++i)
      packed[i / perByte] |=
          static_cast<uint8_t>(codes[i] << (i % perByte * each));
    planes.push_back(std::move(packed));
    return;
  }
  size_t first = planes.size(), units = codes.size() / unit.codes;
  for (int64_t byte = 0; byte < unit.bytes; ++byte)
    planes.emplace_back(units);
  for (size_t u = 0; u < units; ++u) {
    uint64_t word = 0;
    for (int64_t i = 0; i < unit.codes; ++i)
      word |= uint64_t(codes[u * unit.codes + i]) << (i * bits);
    for (int64_t byte = 0; byte < unit.bytes; ++byte)
      planes[first + byte][u] = static_cast<uint8_t>(word >> (8 * byte));
  }
}

/// Column and delta of entry `e` of a stored row, absolute in K.
static std::pair<uint32_t, uint16_t> cherry(const StoredWeight &w,
                                            const QuantizedWeight &q,
                                            const CherryPositions &positions,
                                            int64_t row, int64_t e) {
  const uint8_t *columns = positions.columns.data();
  auto wide = [&](int64_t at) {
    return uint32_t(columns[2 * at] | columns[2 * at + 1] << 8);
  };
  int64_t count = w.cherries.count;
  if (w.cherries.form == CherryForm::Column)
    return {wide(e), q.deltas[e * w.n + row]};
  if (w.cherries.form == CherryForm::Element)
    return {wide(row * count + e), q.deltas[row * count + e]};
  int64_t blocks = CherrySpec::slotBlocks(w.k), block = e / count;
  int64_t at =
      ((row / 16 * blocks + block) * count + e % count) * 16 + row % 16;
  return {static_cast<uint32_t>(block * 256 + columns[at]), q.deltas[at]};
}

/// Where row i of W is stored, as i32.
static Bytes positionsOf(const QuantizedWeight &q) {
  std::vector<uint32_t> positions(q.n);
  for (int64_t row = 0; row < q.n; ++row)
    positions[q.originOf(row)] = static_cast<uint32_t>(row);
  Bytes bytes;
  for (uint32_t position : positions)
    append(bytes, position, 4);
  return bytes;
}

std::vector<Bytes>
StoredWeight::encode(const QuantizedWeight &q,
                     const CherryPositions &positions) const {
  std::vector<Bytes> planes;
  int64_t groups = numGroups(), held = scheme.numGroups(k), first = 0;
  // A row that is one group repeats its scale in every group here.
  auto groupOf = [&](int64_t g) { return held == groups ? g : 0; };
  for (const RowSegment &segment : layout.segments) {
    encodeCodes(spread(*this, q, first, segment.rows), segment.bits,
                CodeUnit::get(segment.bits, packed), planes);
    std::vector<float> scales;
    Bytes zeros;
    for (int64_t row = first; row < first + segment.rows; ++row)
      for (int64_t g = 0; g < groups; ++g) {
        scales.push_back(q.scales[row * held + groupOf(g)]);
        if (scheme.hasZeroPoints())
          zeros.push_back(q.zeros[row * held + groupOf(g)]);
      }
    Bytes bytes(scales.size() * scaleBytes(scheme.scaleType));
    encodeScales(scales.data(), scales.size(), scheme.scaleType, bytes.data());
    planes.push_back(std::move(bytes));
    if (scheme.hasZeroPoints())
      planes.push_back(std::move(zeros));
    first += segment.rows;
  }
  if (hasCherries()) {
    Bytes columns, deltas;
    for (int64_t row = 0; row < n; ++row)
      for (int64_t e = 0; e < cherryEntries(); ++e) {
        auto [column, delta] = cherry(*this, q, positions, row, e);
        if (row == 0 || cherries.form != CherryForm::Column)
          append(columns, column, k > 65536 ? 4 : 2);
        append(deltas, delta, 2);
      }
    planes.push_back(std::move(columns));
    planes.push_back(std::move(deltas));
  }
  if (layout.permuted)
    planes.push_back(positionsOf(q));
  return planes;
}

std::vector<Bytes> StoredWeight::encodeFlat(const QuantizedWeight &q,
                                            PackedWeight packed) const {
  std::vector<Bytes> planes{std::move(packed.codes), std::move(packed.scales)};
  if (scheme.hasZeroPoints())
    planes.push_back(std::move(packed.zeros));
  if (cherries.form != CherryForm::None) {
    planes.push_back(std::move(packed.cherryColumns));
    planes.push_back(std::move(packed.cherryDeltas));
  }
  if (layout.permuted)
    planes.push_back(positionsOf(q));
  return planes;
}
