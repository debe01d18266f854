//===- MatrixOps.cpp - ldmatrix, mma.sync and cp.async --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Fragments as the PTX manual gives them. With g = lane / 4, t = lane % 4 and
// e elements in a 32-bit register: element i of A is in row g + 8 · (bit 0 of
// i / e), column t · e + i % e + 4 · e · (bit 1 of i / e); of B in row
// t · e + i % e + 4 · e · (i / e), column g; of C and D in row
// g + 8 · (i / 2), column 2 · t + i % 2.
//
//===----------------------------------------------------------------------===//

#include "Translator.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

/// D = C + A · B. Products of 16-bit floats are exact in f32; the sums go over
/// k in rising order, each rounded to f32. Tensor cores add in an order of
/// their own with at least that precision: tests leave room for it.
Outcome gpusim::warpMma(Warp &warp, const MmaShape &shape, ArrayRef<uint32_t> a,
                        ArrayRef<uint32_t> b, ArrayRef<uint32_t> c,
                        ArrayRef<uint32_t> d) {
  if (warp.mask() != ~LaneMask(0))
    return warp.fail(-1, "all 32 lanes must take part in a matrix product; "
                         "active are 0x" +
                             Twine::utohexstr(warp.mask()));
  unsigned k = shape.k;
  unsigned e = shape.integer ? 4 : 32 / floatWidth(shape.type);
  SmallVector<double, 512> left(16 * k), right(k * 8);
  auto decode = [&](uint64_t bits) -> double {
    if (!shape.integer)
      return decodeFloat(bits, shape.type);
    return shape.isSigned ? signExtend(bits, 8) : double(bits & 255);
  };
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i != a.size(); ++i) {
      unsigned r = i / e;
      left[(g + 8 * (r & 1)) * k + t * e + i % e + 4 * e * (r >> 1)] =
          decode(warp.lanes(a[i])[lane]);
    }
    for (unsigned i = 0; i != b.size(); ++i)
      right[(t * e + i % e + 4 * e * (i / e)) * 8 + g] =
          decode(warp.lanes(b[i])[lane]);
  }
  for (unsigned lane = 0; lane != kLanes; ++lane)
    for (unsigned i = 0; i != 4; ++i) {
      unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      uint64_t start = warp.lanes(c[i])[lane];
      uint64_t result;
      if (shape.integer) {
        int64_t sum = signExtend(start, 32);
        for (unsigned j = 0; j != k; ++j)
          sum +=
              static_cast<int64_t>(left[row * k + j] * right[j * 8 + column]);
        result = static_cast<uint64_t>(sum) & lowBits(32);
      } else {
        FloatKind kind = shape.wide ? FloatKind::F32 : FloatKind::F16;
        float sum = static_cast<float>(decodeFloat(start, kind));
        for (unsigned j = 0; j != k; ++j)
          sum += static_cast<float>(left[row * k + j] * right[j * 8 + column]);
        result = encodeFloat(sum, kind);
      }
      warp.lanes(d[i])[lane] = result;
    }
  return Outcome::Next;
}

Outcome gpusim::loadMatrix(Warp &warp, ArrayRef<uint64_t> addresses,
                           unsigned tiles, bool transpose,
                           ArrayRef<uint32_t> out, unsigned outBits) {
  if (warp.mask() != ~LaneMask(0))
    return warp.fail(-1, "all 32 lanes must take part in ldmatrix; active are "
                         "0x" +
                             Twine::utohexstr(warp.mask()));
  Memory &memory = warp.machine.memory;
  for (unsigned tile = 0; tile != tiles; ++tile) {
    uint16_t matrix[8][8];
    for (unsigned row = 0; row != 8; ++row) {
      unsigned lane = tile * 8 + row;
      MutableArrayRef<uint8_t> bytes(reinterpret_cast<uint8_t *>(matrix[row]),
                                     16);
      if (failed(memory.checkSpace(warp, lane, addresses[lane], Space::Shared,
                                   "the source of ldmatrix")) ||
          failed(memory.checkAligned(warp, lane, addresses[lane], 16)) ||
          failed(memory.load(warp, lane, addresses[lane], bytes)))
        return Outcome::Failed;
    }
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      unsigned row = lane / 4, column = 2 * (lane % 4);
      uint64_t low = transpose ? matrix[column][row] : matrix[row][column],
               high = transpose ? matrix[column + 1][row]
                                : matrix[row][column + 1];
      if (outBits == 32) {
        warp.lanes(out[tile])[lane] = low | high << 16;
      } else {
        warp.lanes(out[2 * tile])[lane] = low;
        warp.lanes(out[2 * tile + 1])[lane] = high;
      }
    }
  }
  return Outcome::Next;
}

LogicalResult gpusim::issueCopy(Warp &warp, unsigned lane, uint64_t destination,
                                uint64_t source, uint64_t size,
                                uint64_t sourceSize) {
  Memory &memory = warp.machine.memory;
  if (size != 4 && size != 8 && size != 16)
    return warp.error(lane) << "an asynchronous copy moves 4, 8 or 16 bytes, "
                               "not "
                            << size;
  if (sourceSize > size)
    return warp.error(lane) << "an asynchronous copy of " << size
                            << " bytes reads " << sourceSize;
  if (failed(memory.checkAligned(warp, lane, destination, size)) ||
      failed(memory.checkAligned(warp, lane, source, size)) ||
      failed(memory.beginAsync(warp, lane, destination, size)))
    return failure();
  PendingCopy copy{destination, std::vector<uint8_t>(size), warp.current()};
  if (sourceSize != 0 &&
      (failed(memory.checkSpace(warp, lane, source, Space::Global,
                                "the source of the copy")) ||
       failed(memory.load(
           warp, lane, source,
           MutableArrayRef<uint8_t>(copy.bytes).take_front(sourceSize)))))
    return failure();
  warp.copies[lane].open.push_back(std::move(copy));
  return success();
}

void gpusim::commitGroup(Warp &warp) {
  for (unsigned lane = 0; lane != kLanes; ++lane)
    if (warp.active(lane)) {
      CopyQueue &queue = warp.copies[lane];
      queue.groups.push_back(std::move(queue.open));
      queue.open.clear();
    }
}

/// Lands every group but the `allowed` newest: no copy is there earlier than
/// it must be.
void gpusim::waitGroups(Warp &warp, uint64_t allowed) {
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    if (!warp.active(lane))
      continue;
    std::deque<std::vector<PendingCopy>> &groups = warp.copies[lane].groups;
    while (groups.size() > allowed) {
      for (const PendingCopy &copy : groups.front())
        warp.machine.memory.land(warp, lane, copy.destination, copy.bytes,
                                 copy.op);
      groups.pop_front();
    }
  }
}
