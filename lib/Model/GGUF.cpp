//===- GGUF.cpp - Reading GGUF files --------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/GGUF.h"
#include "ByteReader.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

/// Bytes of a scalar; 0 for strings, arrays and unknown types.
static unsigned scalarBytes(GGUFType type) {
  switch (type) {
  case GGUFType::U8:
  case GGUFType::I8:
  case GGUFType::Bool:
    return 1;
  case GGUFType::U16:
  case GGUFType::I16:
    return 2;
  case GGUFType::U32:
  case GGUFType::I32:
  case GGUFType::F32:
    return 4;
  case GGUFType::U64:
  case GGUFType::I64:
  case GGUFType::F64:
    return 8;
  case GGUFType::String:
  case GGUFType::Array:
    break;
  }
  return 0;
}

/// ggml's numbers of tensor types. Not read: those that ggml dropped (Q4_2,
/// Q4_3, the repacked Q4_0_4_4 ...), that it keeps to itself (Q8_1), and
/// numbers it has not given out.
static constexpr std::pair<uint8_t, DType> ggmlTypes[] = {
    {0, DType::F32},      {1, DType::F16},      {2, DType::Q4_0},
    {3, DType::Q4_1},     {6, DType::Q5_0},     {7, DType::Q5_1},
    {8, DType::Q8_0},     {10, DType::Q2_K},    {11, DType::Q3_K},
    {12, DType::Q4_K},    {13, DType::Q5_K},    {14, DType::Q6_K},
    {15, DType::Q8_K},    {16, DType::IQ2_XXS}, {17, DType::IQ2_XS},
    {18, DType::IQ3_XXS}, {19, DType::IQ1_S},   {20, DType::IQ4_NL},
    {21, DType::IQ3_S},   {22, DType::IQ2_S},   {23, DType::IQ4_XS},
    {24, DType::I8},      {25, DType::I16},     {26, DType::I32},
    {27, DType::I64},     {28, DType::F64},     {29, DType::IQ1_M},
    {30, DType::BF16},    {34, DType::TQ1_0},   {35, DType::TQ2_0},
    {39, DType::MXFP4},   {40, DType::NVFP4}};

static std::optional<DType> dtypeOf(uint32_t ggmlType) {
  for (auto [number, type] : ggmlTypes)
    if (number == ggmlType)
      return type;
  return std::nullopt;
}

uint32_t mlir::cq::ggmlNumberOf(DType wanted) {
  for (auto [number, type] : ggmlTypes)
    if (type == wanted)
      return number;
  llvm_unreachable("GGUF has no such type");
}

static bool readString(ByteReader &reader, StringRef &text) {
  uint64_t length;
  return reader.read(length) && reader.take(length, text);
}

llvm::Expected<std::unique_ptr<GGUFFile>> GGUFFile::open(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  std::unique_ptr<GGUFFile> file(new GGUFFile(path, std::move(*buffer)));
  if (Error error = file->parse())
    return std::move(error);
  return std::move(file);
}

Error GGUFFile::parse() {
  ByteReader reader(contents());
  std::string cut = quoted(path()) + " ends inside ";
  StringRef magic;
  uint32_t version;
  uint64_t tensors, pairs;
  if (!reader.take(4, magic) || magic != "GGUF")
    return fail(quoted(path()) + " is no GGUF file: it does not begin with "
                                 "'GGUF'");
  if (!reader.read(version))
    return fail(cut + "its header; fetch it again");
  if (version != 2 && version != 3)
    return fail(quoted(path()) + " has GGUF version " + llvm::Twine(version) +
                (version == 0x02000000 || version == 0x03000000
                     ? " in big-endian order"
                     : "") +
                "; versions 2 and 3, little-endian, are read");
  if (!reader.read(tensors) || !reader.read(pairs))
    return fail(cut + "its header; fetch it again");
  // The smallest entry of each table bounds the counts before any loop: a pair
  // is a length, a type and a byte; a tensor a length, a character, a number of
  // dimensions, one dimension, a type and an offset.
  if (pairs > reader.remaining() / 13)
    return fail(quoted(path()) + " claims " + llvm::Twine(pairs) +
                " metadata pairs, more than its bytes can hold; the file is "
                "damaged");
  if (tensors > reader.remaining() / 33)
    return fail(quoted(path()) + " claims " + llvm::Twine(tensors) +
                " tensors, more than its bytes can hold; the file is damaged");
  for (uint64_t i = 0; i < pairs; ++i)
    if (Error error = parseValue(reader))
      return error;
  return parseTensors(reader, tensors);
}

Error GGUFFile::parseValue(ByteReader &reader) {
  std::string cut = quoted(path()) + " ends inside ";
  StringRef key;
  uint32_t type;
  if (!readString(reader, key))
    return fail(cut + "the key of a metadata pair; the file is truncated or "
                      "damaged");
  if (key.empty())
    return fail("a metadata pair of " + quoted(path()) +
                " has an empty key; the file is damaged");
  cut += "the metadata value " + quoted(key) +
         "; the file is truncated or damaged";
  std::string where = "metadata value " + quoted(key) + " of " + quoted(path());
  GGUFValue value;
  if (!reader.read(type))
    return fail(cut);
  value.type = GGUFType(type);
  if (value.type == GGUFType::String) {
    if (!readString(reader, value.bytes))
      return fail(cut);
  } else if (value.type == GGUFType::Array) {
    uint32_t element;
    if (!reader.read(element) || !reader.read(value.count))
      return fail(cut);
    value.element = GGUFType(element);
    uint64_t begin = reader.position();
    if (unsigned bytes = scalarBytes(value.element)) {
      if (value.count > reader.remaining() / bytes ||
          !reader.take(value.count * bytes, value.bytes))
        return fail(cut);
    } else if (value.element == GGUFType::String) {
      if (value.count > reader.remaining() / 8)
        return fail(cut);
      StringRef ignored;
      for (uint64_t i = 0; i < value.count; ++i)
        if (!readString(reader, ignored))
          return fail(cut);
      value.bytes = contents().slice(begin, reader.position());
    } else {
      return fail(
          where + " is an array of " +
          (value.element == GGUFType::Array ? "arrays" : "an unknown type") +
          ", which no model file needs; the file is damaged");
    }
  } else if (unsigned bytes = scalarBytes(value.type)) {
    if (!reader.take(bytes, value.bytes))
      return fail(cut);
  } else {
    return fail(where + " has the unknown type " + llvm::Twine(type) +
                "; the file is damaged or newer than this reader");
  }
  if (!values.try_emplace(key, value).second)
    return fail(where + " appears twice; the file is damaged");
  if (value.type == GGUFType::String)
    strings.emplace(key.str(), value.bytes.str());
  return Error::success();
}

namespace {
struct TensorHeader {
  StringRef name;
  DType type;
  llvm::SmallVector<int64_t, 4> shape;
  uint64_t offset;
};
} // namespace

Error GGUFFile::parseTensors(ByteReader &reader, uint64_t count) {
  int64_t alignment = 32;
  if (Error error = read("general.alignment", alignment))
    return error;
  if (alignment <= 0 || alignment > (1 << 20) ||
      !llvm::isPowerOf2_64(alignment))
    return fail("general.alignment of " + quoted(path()) + " is " +
                llvm::Twine(alignment) +
                ", no power of two up to 2^20; the file is damaged");

  std::vector<TensorHeader> headers;
  for (uint64_t i = 0; i < count; ++i) {
    TensorHeader header;
    uint32_t rank, type;
    if (!readString(reader, header.name) || !reader.read(rank))
      return fail(quoted(path()) + " ends inside the description of tensor " +
                  llvm::Twine(i) + "; the file is truncated or damaged");
    std::string where =
        "tensor " + quoted(header.name) + " of " + quoted(path());
    if (rank < 1 || rank > 4)
      return fail(where + " has " + llvm::Twine(rank) +
                  " dimensions, not 1 to 4; the file is damaged");
    for (uint32_t d = 0; d < rank; ++d) {
      uint64_t extent;
      if (!reader.read(extent))
        return fail(quoted(path()) + " ends inside the description of tensor " +
                    llvm::Twine(i) + "; the file is truncated or damaged");
      if (extent > uint64_t(INT64_MAX))
        return fail(where + " has an extent of " + llvm::Twine(extent) +
                    "; the file is damaged");
      // The file lists the fastest dimension first.
      header.shape.insert(header.shape.begin(), int64_t(extent));
    }
    if (!reader.read(type) || !reader.read(header.offset))
      return fail(quoted(path()) + " ends inside the description of tensor " +
                  llvm::Twine(i) + "; the file is truncated or damaged");
    std::optional<DType> dtype = dtypeOf(type);
    if (!dtype)
      return fail(where + " has the ggml type " + llvm::Twine(type) +
                  ", which is not read; convert the model to a type that "
                  "PyPI's gguf package reads, such as F16, BF16 or Q8_0");
    header.type = *dtype;
    if (header.offset % alignment != 0)
      return fail(where + " lies at offset " + llvm::Twine(header.offset) +
                  ", no multiple of the alignment " + llvm::Twine(alignment) +
                  "; the file is damaged");
    headers.push_back(std::move(header));
  }

  uint64_t begin = llvm::alignTo(reader.position(), alignment);
  StringRef data =
      contents().drop_front(std::min<uint64_t>(begin, contents().size()));
  for (const TensorHeader &header : headers)
    if (Error error =
            add(header.name, header.type, header.shape, data, header.offset))
      return error;
  return checkOverlaps();
}
