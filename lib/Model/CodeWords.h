//===- CodeWords.h - Codes packed into 32-bit words -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// GPTQ and compressed-tensors write codes as a stream of bits, least
// significant first, cut into little-endian words of 32 bits: code i of b bits
// begins at bit i b. Codes of 3, 5 and 6 bits cross words.
//

#ifndef CQ_LIB_MODEL_CODEWORDS_H
#define CQ_LIB_MODEL_CODEWORDS_H

#include <cstddef>
#include <cstdint>

namespace mlir::cq {

/// Words of `count` codes.
inline int64_t wordsOf(int64_t count, unsigned bits) {
  return (count * bits + 31) / 32;
}

/// One stream; its words lie `stride` words apart. `words` begins as zeros.
inline void storeCode(uint8_t *words, int64_t stride, int64_t index,
                      unsigned bits, unsigned code) {
  for (unsigned done = 0; done < bits;) {
    int64_t bit = index * bits + done;
    unsigned inByte = bit % 8,
             take = bits - done < 8 - inByte ? bits - done : 8 - inByte;
    uint8_t &byte = words[bit / 32 * stride * 4 + bit % 32 / 8];
    byte |= uint8_t((code >> done & ((1u << take) - 1)) << inByte);
    done += take;
  }
}

inline unsigned loadCode(const uint8_t *words, int64_t stride, int64_t index,
                         unsigned bits) {
  unsigned code = 0;
  for (unsigned done = 0; done < bits;) {
    int64_t bit = index * bits + done;
    unsigned inByte = bit % 8,
             take = bits - done < 8 - inByte ? bits - done : 8 - inByte;
    uint8_t byte = words[bit / 32 * stride * 4 + bit % 32 / 8];
    code |= (byte >> inByte & ((1u << take) - 1)) << done;
    done += take;
  }
  return code;
}

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_CODEWORDS_H
