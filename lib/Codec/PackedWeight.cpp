//===- PackedWeight.cpp - Planes as files and IR hold them ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CherryWalk.h"
#include "Half.h"
#include "Support.h"
#include "cq/Codec/Quantizer.h"
#include <cassert>

using namespace mlir::cq;
using llvm::Twine;

static void write16(uint8_t *out, uint16_t value) {
  out[0] = static_cast<uint8_t>(value);
  out[1] = static_cast<uint8_t>(value >> 8);
}
static uint16_t read16(const uint8_t *in) { return in[0] | in[1] << 8; }

void mlir::cq::encodeScales(const float *in, int64_t count, ScaleType type,
                            uint8_t *out) {
  switch (type) {
  case ScaleType::F16:
    for (int64_t i = 0; i < count; ++i)
      write16(out + 2 * i, detail::f32ToF16(in[i]));
    return;
  case ScaleType::BF16:
    for (int64_t i = 0; i < count; ++i)
      write16(out + 2 * i, detail::f32ToBF16(in[i]));
    return;
  case ScaleType::F32:
    std::memcpy(out, in, count * 4);
  }
}

void mlir::cq::decodeScales(const uint8_t *in, int64_t count, ScaleType type,
                            float *out) {
  switch (type) {
  case ScaleType::F16:
    for (int64_t i = 0; i < count; ++i)
      out[i] = detail::f16ToF32(read16(in + 2 * i));
    return;
  case ScaleType::BF16:
    for (int64_t i = 0; i < count; ++i)
      out[i] = detail::bf16ToF32(read16(in + 2 * i));
    return;
  case ScaleType::F32:
    std::memcpy(out, in, count * 4);
  }
}

static void writeOrder(uint8_t *out, int64_t n, int64_t row, uint32_t value) {
  unsigned bytes = Layout::orderEntryBytes(n);
  for (unsigned i = 0; i < bytes; ++i)
    out[row * bytes + i] = static_cast<uint8_t>(value >> (8 * i));
}

static uint32_t readOrder(const uint8_t *in, int64_t n, int64_t row) {
  unsigned bytes = Layout::orderEntryBytes(n);
  uint32_t value = 0;
  for (unsigned i = 0; i < bytes; ++i)
    value |= static_cast<uint32_t>(in[row * bytes + i]) << (8 * i);
  return value;
}

PackedWeight mlir::cq::packWeight(const QuantizedWeight &q,
                                  const CherryPositions *cherries,
                                  const Layout &layout) {
  PackedWeight p;
  p.n = q.n;
  p.k = q.k;
  p.scheme = q.scheme;
  p.layout = layout;
  if (cherries)
    p.cherries = cherries->spec;
  PlaneBytes bytes = planeBytes(q.n, q.k, q.scheme, layout, p.cherries);
  p.codes.resize(bytes.codes);
  layout.pack(q.codes.data(), q.n, q.k, p.codes.data());

  int64_t groups = q.scheme.numGroups(q.k);
  int64_t entries = layout.scaleEntries(q.n, q.k, q.scheme);
  std::vector<float> scales(entries); // padded rows have scale 0
  p.zeros.resize(bytes.zeros);
  for (int64_t row = 0; row < q.n; ++row)
    for (int64_t group = 0; group < groups; ++group) {
      int64_t to = layout.scaleIndex(row, group, q.n, q.k, q.scheme);
      scales[to] = q.scales[row * groups + group];
      if (q.scheme.hasZeroPoints())
        p.zeros[to] = q.zeros[row * groups + group];
    }
  p.scales.resize(bytes.scales);
  encodeScales(scales.data(), entries, q.scheme.scaleType, p.scales.data());

  assert(layout.permuted == !q.order.empty() && "layout of another weight");
  p.rowOrder.resize(bytes.rowOrder);
  for (size_t row = 0; row < q.order.size(); ++row)
    writeOrder(p.rowOrder.data(), q.n, row, q.order[row]);

  if (cherries) {
    assert(static_cast<int64_t>(q.deltas.size()) * 2 == bytes.cherryDeltas &&
           "quantized with other cherries");
    p.cherryColumns = cherries->columns;
    p.cherryDeltas.resize(bytes.cherryDeltas);
    for (size_t i = 0; i < q.deltas.size(); ++i)
      write16(p.cherryDeltas.data() + 2 * i, q.deltas[i]);
  }
  return p;
}

static llvm::Error checkPlane(llvm::StringRef plane,
                              const std::vector<uint8_t> &bytes,
                              int64_t expected) {
  if (static_cast<int64_t>(bytes.size()) == expected)
    return llvm::Error::success();
  return detail::makeError("the plane of " + plane + " has " +
                           Twine(bytes.size()) +
                           " bytes, but shape, scheme and "
                           "layout make it " +
                           Twine(expected));
}

static llvm::Error checkPlanes(const PackedWeight &p) {
  if (llvm::Error error = p.scheme.check())
    return error;
  if (llvm::Error error = p.layout.check(p.n, p.k))
    return error;
  if (llvm::Error error = p.cherries.check(p.n, p.k))
    return error;
  if (llvm::Error error = p.layout.checkWidths(p.scheme))
    return error;
  PlaneBytes bytes = planeBytes(p.n, p.k, p.scheme, p.layout, p.cherries);
  if (llvm::Error error = checkPlane("codes", p.codes, bytes.codes))
    return error;
  if (llvm::Error error = checkPlane("scales", p.scales, bytes.scales))
    return error;
  if (llvm::Error error = checkPlane("zero points", p.zeros, bytes.zeros))
    return error;
  if (llvm::Error error =
          checkPlane("cherry columns", p.cherryColumns, bytes.cherryColumns))
    return error;
  if (llvm::Error error = checkPlane("row order", p.rowOrder, bytes.rowOrder))
    return error;
  return checkPlane("cherry deltas", p.cherryDeltas, bytes.cherryDeltas);
}

/// The row order of a weight whose planes have their sizes.
static llvm::Expected<std::vector<uint32_t>>
readRowOrder(const PackedWeight &p) {
  std::vector<uint32_t> order(p.layout.permuted ? p.n : 0);
  std::vector<bool> seen(order.size());
  for (size_t row = 0; row < order.size(); ++row) {
    order[row] = readOrder(p.rowOrder.data(), p.n, row);
    if (order[row] >= seen.size() || seen[order[row]])
      return detail::makeError("the row order names row " + Twine(order[row]) +
                               (order[row] >= seen.size()
                                    ? " of a weight of " + Twine(p.n) + " rows"
                                    : Twine(" twice")));
    seen[order[row]] = true;
  }
  return order;
}

llvm::Expected<QuantizedWeight>
mlir::cq::unpackWeight(const PackedWeight &p, CherryPositions *cherries) {
  if (llvm::Error error = checkPlanes(p))
    return std::move(error);
  CherryPositions positions{p.cherries, p.cherryColumns};
  if (llvm::Error error =
          detail::checkPositions(positions, p.n, p.k, /*ascending=*/false))
    return std::move(error);
  if (cherries)
    *cherries = std::move(positions);
  llvm::Expected<std::vector<uint32_t>> order = readRowOrder(p);
  if (!order)
    return order.takeError();

  QuantizedWeight q;
  q.order = std::move(*order);
  if (p.layout.isMixed())
    q.segments = p.layout.segments;
  q.n = p.n;
  q.k = p.k;
  q.scheme = p.scheme;
  q.codes.resize(p.n * p.k);
  p.layout.unpack(p.codes.data(), p.n, p.k, q.codes.data());
  int64_t groups = p.scheme.numGroups(p.k);
  int64_t entries = p.layout.scaleEntries(p.n, p.k, p.scheme);
  std::vector<float> scales(entries);
  decodeScales(p.scales.data(), entries, p.scheme.scaleType, scales.data());
  q.scales.resize(p.n * groups);
  if (p.scheme.hasZeroPoints())
    q.zeros.resize(p.n * groups);
  for (int64_t row = 0; row < p.n; ++row)
    for (int64_t group = 0; group < groups; ++group) {
      int64_t from = p.layout.scaleIndex(row, group, p.n, p.k, p.scheme);
      q.scales[row * groups + group] = scales[from];
      if (p.scheme.hasZeroPoints())
        q.zeros[row * groups + group] = p.zeros[from];
    }
  q.deltas.resize(p.cherryDeltas.size() / 2);
  for (size_t i = 0; i < q.deltas.size(); ++i)
    q.deltas[i] = read16(p.cherryDeltas.data() + 2 * i);
  return q;
}
