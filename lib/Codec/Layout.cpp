//===- Layout.cpp - Sizes and places of planes ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Layout.h"
#include "Support.h"

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

StringRef mlir::cq::stringifyLayoutKind(LayoutKind kind) {
  switch (kind) {
  case LayoutKind::Linear:
    return "linear";
  case LayoutKind::Panel16:
    return "panel16";
  case LayoutKind::MmaFragment:
    return "mma-fragment";
  }
  return "unknown";
}

std::optional<LayoutKind> mlir::cq::parseLayoutKind(StringRef text) {
  for (LayoutKind kind :
       {LayoutKind::Linear, LayoutKind::Panel16, LayoutKind::MmaFragment})
    if (text == stringifyLayoutKind(kind))
      return kind;
  return std::nullopt;
}

Layout Layout::uniform(LayoutKind kind, int64_t rows, unsigned bits) {
  Layout layout;
  layout.kind = kind;
  layout.segments.push_back({rows, bits});
  return layout;
}

llvm::Error Layout::check(int64_t n, int64_t k) const {
  if (llvm::Error error = detail::checkShape(n, k))
    return error;
  if (kind > LayoutKind::MmaFragment)
    return detail::makeError("layout must be linear, panel16 or mma-fragment");
  if (segments.empty())
    return detail::makeError("a layout needs at least one row segment");
  int64_t rows = 0;
  for (auto [index, segment] : llvm::enumerate(segments)) {
    if (!detail::isValidBits(segment.bits))
      return detail::makeError("row segment " + Twine(index) + " has " +
                               Twine(segment.bits) +
                               " bits, but 2, 3, 4, 5, 6 or 8 are possible");
    // Compared with what is left, so that the sum cannot overflow.
    if (segment.rows <= 0 || segment.rows > n - rows)
      return detail::makeError("row segment " + Twine(index) + " has " +
                               Twine(segment.rows) + " rows, but 1 to " +
                               Twine(n - rows) + " are left of " + Twine(n));
    rows += segment.rows;
    if (kind != LayoutKind::Linear && index + 1 != segments.size() &&
        segment.rows % 16 != 0)
      return detail::makeError("row segment " + Twine(index) + " has " +
                               Twine(segment.rows) + " rows, but every " +
                               stringifyLayoutKind(kind) +
                               " segment except the last has a multiple of "
                               "16");
  }
  if (rows != n)
    return detail::makeError("row segments have " + Twine(rows) +
                             " rows in all, but the weight has " + Twine(n));
  return llvm::Error::success();
}

llvm::Error Layout::checkWidths(const Scheme &scheme) const {
  if (segments.empty() || segments.back().bits != scheme.bits)
    return detail::makeError(
        "the last rows of the layout must have the " + Twine(scheme.bits) +
        " bits of the scheme" +
        (segments.empty() ? Twine() : ", not " + Twine(segments.back().bits)));
  for (const RowSegment &segment : segments)
    if (llvm::Error error = scheme.withBits(segment.bits).check())
      return error;
  return llvm::Error::success();
}

int64_t Layout::rowBytes(int64_t k, unsigned bits) const {
  return detail::ceilDiv(k * bits, 8);
}

int64_t Layout::panelBytes(int64_t k, unsigned bits) const {
  if (kind == LayoutKind::MmaFragment)
    return detail::ceilDiv(k, FragmentChunk::columns) * bits * 4 *
           FragmentChunk::lanes;
  const PanelUnit &unit = PanelUnit::get(bits);
  return detail::ceilDiv(k, unit.columns()) * unit.vectors * 64;
}

int64_t Layout::codeBytes(int64_t n, int64_t k) const {
  int64_t bytes = 0;
  for (const RowSegment &segment : segments)
    bytes +=
        kind == LayoutKind::Linear
            ? segment.rows * rowBytes(k, segment.bits)
            : detail::ceilDiv(segment.rows, 16) * panelBytes(k, segment.bits);
  return bytes;
}

int64_t Layout::scaleEntries(int64_t n, int64_t k, const Scheme &scheme) const {
  int64_t rows = kind == LayoutKind::Linear ? n : detail::ceilDiv(n, 16) * 16;
  return rows * scheme.numGroups(k);
}

int64_t Layout::scaleIndex(int64_t n, int64_t g, int64_t numRows, int64_t k,
                           const Scheme &scheme) const {
  int64_t groups = scheme.numGroups(k);
  if (kind == LayoutKind::Linear)
    return n * groups + g;
  int64_t row = n % 16;
  if (kind == LayoutKind::MmaFragment)
    row = row % 8 * 2 + row / 8;
  return (n / 16 * groups + g) * 16 + row;
}

PlaneBytes mlir::cq::planeBytes(int64_t n, int64_t k, const Scheme &scheme,
                                const Layout &layout,
                                const CherrySpec &cherries) {
  PlaneBytes bytes;
  bytes.codes = layout.codeBytes(n, k);
  int64_t entries = layout.scaleEntries(n, k, scheme);
  bytes.scales = entries * scaleBytes(scheme.scaleType);
  bytes.zeros = scheme.hasZeroPoints() ? entries : 0;
  bytes.cherryColumns = cherries.numColumns(n, k) * cherries.columnBytes();
  bytes.cherryDeltas = cherries.numDeltas(n, k) * 2;
  bytes.rowOrder = layout.permuted ? n * Layout::orderEntryBytes(n) : 0;
  return bytes;
}
