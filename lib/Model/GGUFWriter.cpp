//===- GGUFWriter.cpp - Writing GGUF metadata -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GGUFWriter.h"
#include "cq/Support/AtomicFile.h"
#include "llvm/ADT/StringExtras.h"
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

void GGUFWriter::add(StringRef key, float value) {
  begin(key, GGUFType::F32);
  number(llvm::bit_cast<uint32_t>(value));
}

GGUFWriter::GGUFWriter() = default;
GGUFWriter::~GGUFWriter() = default;

llvm::Error GGUFWriter::write(StringRef path) {
  if (llvm::Error error = open(path, {}))
    return error;
  return commit();
}

static constexpr uint64_t alignment = 32; // the format's default
static constexpr uint64_t fixedBytes = 4 + 4 + 8 + 8;

llvm::Error
GGUFWriter::open(StringRef path,
                 llvm::ArrayRef<std::pair<std::string, unsigned>> list) {
  auto created = AtomicFile::create(path);
  if (!created)
    return created.takeError();
  file = std::make_unique<AtomicFile>(std::move(*created));
  uint64_t size = fixedBytes + bytes.size();
  for (const auto &[name, rank] : list) {
    Tensor tensor;
    tensor.name = name;
    tensor.rank = rank;
    tensors.push_back(std::move(tensor));
    size += 8 + name.size() + 4 + 8 * rank + 4 + 8;
  }
  dataBegin = list.empty() ? size : llvm::alignTo(size, alignment);
  return llvm::Error::success();
}

llvm::Error GGUFWriter::append(DType type, llvm::ArrayRef<int64_t> shape,
                               llvm::ArrayRef<uint8_t> data) {
  Tensor &tensor = tensors[written++];
  assert(shape.size() == tensor.rank && "announced with another rank");
  tensor.type = type;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.offset = dataSize;
  if (llvm::Error error =
          file->write(llvm::toStringRef(data), dataBegin + dataSize))
    return error;
  uint64_t padded = llvm::alignTo(dataSize + data.size(), alignment);
  std::string padding(padded - dataSize - data.size(), '\0');
  if (!padding.empty())
    if (llvm::Error error =
            file->write(padding, dataBegin + dataSize + data.size()))
      return error;
  dataSize = padded;
  return llvm::Error::success();
}

llvm::Error GGUFWriter::commit() {
  assert(written == tensors.size() && "announced but not appended");
  std::string metadata = std::move(bytes);
  bytes = "GGUF";
  number<uint32_t>(3);
  number<uint64_t>(tensors.size());
  number<uint64_t>(count);
  bytes += metadata;
  for (const Tensor &tensor : tensors) {
    string(tensor.name);
    number<uint32_t>(tensor.rank);
    for (int64_t extent : llvm::reverse(tensor.shape)) // fastest first
      number<uint64_t>(extent);
    number<uint32_t>(ggmlNumberOf(tensor.type));
    number<uint64_t>(tensor.offset);
  }
  bytes.resize(dataBegin, '\0');
  if (llvm::Error error = file->write(bytes, 0))
    return error;
  return file->commit();
}
