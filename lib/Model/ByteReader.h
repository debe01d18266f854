//===- ByteReader.h - Bounds-checked cursor over bytes ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_BYTEREADER_H
#define CQ_LIB_MODEL_BYTEREADER_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Endian.h"
#include <cstdint>

namespace mlir::cq {

/// Reads little-endian numbers and byte runs from the front of a buffer. Every
/// read says whether the bytes were there; a failed read moves nothing.
class ByteReader {
public:
  explicit ByteReader(llvm::StringRef bytes) : bytes(bytes) {}

  uint64_t position() const { return offset; }
  uint64_t remaining() const { return bytes.size() - offset; }

  template <typename T> bool read(T &value) {
    if (remaining() < sizeof(T))
      return false;
    value = llvm::support::endian::read<T, llvm::endianness::little>(
        bytes.data() + offset);
    offset += sizeof(T);
    return true;
  }
  bool read(float &value) {
    uint32_t word;
    if (!read(word))
      return false;
    value = llvm::bit_cast<float>(word);
    return true;
  }
  bool take(uint64_t size, llvm::StringRef &run) {
    if (remaining() < size)
      return false;
    run = bytes.substr(offset, size);
    offset += size;
    return true;
  }

private:
  llvm::StringRef bytes;
  uint64_t offset = 0;
};

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_BYTEREADER_H
