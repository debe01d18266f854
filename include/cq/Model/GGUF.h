//===- GGUF.h - GGUF files: metadata and tensors ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// GGUF version 2 and 3, little-endian: a header, key/value metadata, tensor
// descriptions, and tensor data at an aligned offset (docs/Formats.md).
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_GGUF_H
#define CQ_MODEL_GGUF_H

#include "cq/Model/MappedArchive.h"

namespace mlir::cq {

/// Types of metadata values, numbered as in the file.
enum class GGUFType : uint32_t {
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  F32,
  Bool,
  String,
  Array,
  U64,
  I64,
  F64
};

/// ggml's number of a type that GGUF has (all but U8, U16 and Bool).
uint32_t ggmlNumberOf(DType type);

/// One metadata value; `bytes` points into the map and was checked at open.
struct GGUFValue {
  GGUFType type = GGUFType::U8;
  GGUFType element = GGUFType::U8; ///< of an array
  uint64_t count = 0;              ///< of an array
  /// A scalar's or string's bytes; the elements of an array as they lie
  /// (strings with their lengths).
  llvm::StringRef bytes;
};

class GGUFFile : public MappedArchive {
public:
  static llvm::Expected<std::unique_ptr<GGUFFile>> open(llvm::StringRef path);

  bool contains(llvm::StringRef key) const { return values.contains(key); }

  /// Typed lookups. An absent key leaves `value` as it is (and is an error when
  /// `required`); a value of another kind is an error. Integers of any width
  /// and sign are taken where they fit; floats where F32, F64 or an integer
  /// stand.
  llvm::Error read(llvm::StringRef key, int64_t &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, double &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, bool &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, llvm::StringRef &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, std::vector<llvm::StringRef> &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, std::vector<int64_t> &value,
                   bool required = false) const;
  llvm::Error read(llvm::StringRef key, std::vector<float> &value,
                   bool required = false) const;

private:
  using MappedArchive::MappedArchive;
  llvm::Error parse();
  llvm::Error parseValue(class ByteReader &reader);
  llvm::Error parseTensors(class ByteReader &reader, uint64_t count);
  /// Null when absent; an error when absent and required.
  llvm::Expected<const GGUFValue *> lookup(llvm::StringRef key,
                                           bool required) const;
  llvm::Error wrongType(llvm::StringRef key, llvm::StringRef wanted) const;

  llvm::StringMap<GGUFValue> values;
};

} // namespace mlir::cq

#endif // CQ_MODEL_GGUF_H
