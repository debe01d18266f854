//===- FragmentChunk.cpp - The words of the mma-fragment layout -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"
#include "cq/Codec/Layout.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/ErrorHandling.h"
#include <algorithm>
#include <cstring>

using namespace mlir::cq;

static FragmentChunk makeChunk(unsigned bits, unsigned chunksPerBlock) {
  FragmentChunk chunk;
  chunk.bits = bits;
  chunk.chunksPerBlock = chunksPerBlock;
  unsigned perHalf = 16 / bits;
  for (uint8_t pair = 0; pair < FragmentChunk::pairs; ++pair)
    chunk.fields[pair].push_back({static_cast<uint8_t>(pair / perHalf),
                                  static_cast<uint8_t>(pair % perHalf * bits),
                                  0, static_cast<uint8_t>(bits)});
  // Five fields of three bits, or three of five, fill fifteen bits of a half;
  // the sixteenth pair lies in the bits that the words have left.
  if (bits == 3 || bits == 5) {
    chunk.fields[15].clear();
    for (uint8_t word = 0; word < bits; ++word)
      chunk.fields[15].push_back({word, 15, word, 1});
  }
  // Two fields of six leave four bits of each word: three words hold two pairs.
  if (bits == 6)
    for (uint8_t word : {0, 3}) {
      uint8_t pair = 12 + word / 3 * 2, next = word + 1, last = word + 2;
      chunk.fields[pair] = {{word, 12, 0, 4}, {next, 12, 4, 2}};
      chunk.fields[pair + 1] = {{last, 12, 0, 4}, {next, 14, 4, 2}};
    }
  return chunk;
}

const FragmentChunk &FragmentChunk::get(unsigned bits) {
  static const FragmentChunk chunks[] = {makeChunk(2, 2), makeChunk(3, 4),
                                         makeChunk(4, 1), makeChunk(5, 4),
                                         makeChunk(6, 2), makeChunk(8, 1)};
  for (const FragmentChunk &chunk : chunks)
    if (chunk.bits == bits)
      return chunk;
  llvm_unreachable("no fragment of this bit width");
}

int64_t FragmentChunk::wordOffset(int64_t chunk, int64_t chunks, unsigned word,
                                  unsigned lane) const {
  int64_t whole = chunks / chunksPerBlock * chunksPerBlock;
  int64_t first =
      chunk < whole ? chunk / chunksPerBlock * chunksPerBlock : whole;
  int64_t at = (chunk - first) * bits + word;
  int64_t index =
      chunk < whole ? (at / 4 * lanes + lane) * 4 + at % 4 : at * lanes + lane;
  return 4 * (first * bits * lanes + index);
}

/// Calls body(row, column, pair, half) for the codes of a lane in the chunk
/// from `column` on that exist.
template <typename Body>
static void forLane(unsigned lane, int64_t first, int64_t k, int64_t rows,
                    Body body) {
  for (unsigned pair = 0; pair < FragmentChunk::pairs; ++pair) {
    int64_t row = lane / 4 + pair % 2 * 8;
    // Two steps for each half of the chunk, so that a group of 32 is whole
    // steps.
    int64_t column = first + pair / 8 * 32 + lane % 4 * 8 + pair % 8 / 4 * 4 +
                     pair % 4 / 2 * 2;
    if (row >= rows)
      continue;
    for (unsigned half = 0; half < 2 && column + half < k; ++half)
      body(row, column + half, pair, half);
  }
}

void detail::packFragmentTile(unsigned bits, const uint8_t *codes, int64_t k,
                              int64_t rows, uint8_t *packed) {
  const FragmentChunk &chunk = FragmentChunk::get(bits);
  int64_t chunks = ceilDiv(k, FragmentChunk::columns);
  for (int64_t c = 0; c < chunks; ++c)
    for (unsigned lane = 0; lane < FragmentChunk::lanes; ++lane) {
      uint32_t words[8] = {};
      forLane(lane, c * FragmentChunk::columns, k, rows,
              [&](int64_t row, int64_t column, unsigned pair, unsigned half) {
                uint32_t code = codes[row * k + column];
                for (const FragmentField &field : chunk.fields[pair])
                  words[field.word] |=
                      (code >> field.codeBit & ((1u << field.width) - 1))
                      << (field.bit + 16 * half);
              });
      for (unsigned word = 0; word < bits; ++word)
        llvm::support::endian::write32le(
            packed + chunk.wordOffset(c, chunks, word, lane), words[word]);
    }
}

void detail::unpackFragmentTile(unsigned bits, const uint8_t *packed, int64_t k,
                                int64_t rows, uint8_t *codes) {
  const FragmentChunk &chunk = FragmentChunk::get(bits);
  int64_t chunks = ceilDiv(k, FragmentChunk::columns);
  for (int64_t c = 0; c < chunks; ++c)
    for (unsigned lane = 0; lane < FragmentChunk::lanes; ++lane) {
      uint32_t words[8];
      for (unsigned word = 0; word < bits; ++word)
        words[word] = llvm::support::endian::read32le(
            packed + chunk.wordOffset(c, chunks, word, lane));
      forLane(lane, c * FragmentChunk::columns, k, rows,
              [&](int64_t row, int64_t column, unsigned pair, unsigned half) {
                uint32_t code = 0;
                for (const FragmentField &field : chunk.fields[pair])
                  code |= (words[field.word] >> (field.bit + 16 * half) &
                           ((1u << field.width) - 1))
                          << field.codeBit;
                codes[row * k + column] = static_cast<uint8_t>(code);
              });
    }
}
