//===- GGUFWriter.cpp - Writing GGUF metadata -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GGUFWriter.h"
#include "cq/Support/AtomicFile.h"
#include "llvm/Support/Endian.h"

using namespace mlir::cq;
using llvm::StringRef;

template <typename T> void GGUFWriter::number(T value) {
  char raw[sizeof(T)];
  llvm::support::endian::write<T, llvm::endianness::little>(raw, value);
  bytes.append(raw, sizeof(T));
}

void GGUFWriter::string(StringRef text) {
  number<uint64_t>(text.size());
  bytes += text;
}

void GGUFWriter::begin(StringRef key, GGUFType type) {
  string(key);
  number(uint32_t(type));
  ++count;
}

void GGUFWriter::beginArray(StringRef key, GGUFType element, size_t size) {
  begin(key, GGUFType::Array);
  number(uint32_t(element));
  number<uint64_t>(size);
}

void GGUFWriter::add(StringRef key, StringRef value) {
  begin(key, GGUFType::String);
  string(value);
}

void GGUFWriter::add(StringRef key, bool value) {
  begin(key, GGUFType::Bool);
  number(uint8_t(value));
}

void GGUFWriter::add(StringRef key, uint32_t value) {
  begin(key, GGUFType::U32);
  number(value);
}

void GGUFWriter::add(StringRef key, llvm::ArrayRef<std::string> values) {
  beginArray(key, GGUFType::String, values.size());
  for (const std::string &value : values)
    string(value);
}

void GGUFWriter::add(StringRef key, llvm::ArrayRef<int32_t> values) {
  beginArray(key, GGUFType::I32, values.size());
  for (int32_t value : values)
    number(value);
}

void GGUFWriter::add(StringRef key, llvm::ArrayRef<float> values) {
  beginArray(key, GGUFType::F32, values.size());
  for (float value : values)
    number(llvm::bit_cast<uint32_t>(value));
}

llvm::Error GGUFWriter::write(StringRef path) const {
  GGUFWriter header;
  header.bytes = "GGUF";
  header.number<uint32_t>(3);
  header.number<uint64_t>(0); // tensors
  header.number<uint64_t>(count);
  auto file = AtomicFile::create(path);
  if (!file)
    return file.takeError();
  if (llvm::Error error = file->write(header.bytes, 0))
    return error;
  if (llvm::Error error = file->write(bytes, header.bytes.size()))
    return error;
  return file->commit();
}
