//===- GGUFMetadata.cpp - Typed lookups in GGUF metadata ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ByteReader.h"
#include "cq/Model/GGUF.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

template <typename T> static T take(ByteReader &reader) {
  T value{};
  reader.read(value); // lengths were checked when the file was opened
  return value;
}

/// The next scalar as an integer; false for floats, bools and values ≥ 2^63.
static bool takeInteger(ByteReader &reader, GGUFType type, int64_t &value) {
  switch (type) {
  case GGUFType::U8:
    value = take<uint8_t>(reader);
    return true;
  case GGUFType::I8:
    value = take<int8_t>(reader);
    return true;
  case GGUFType::U16:
    value = take<uint16_t>(reader);
    return true;
  case GGUFType::I16:
    value = take<int16_t>(reader);
    return true;
  case GGUFType::U32:
    value = take<uint32_t>(reader);
    return true;
  case GGUFType::I32:
    value = take<int32_t>(reader);
    return true;
  case GGUFType::I64:
    value = take<int64_t>(reader);
    return true;
  case GGUFType::U64: {
    uint64_t wide = take<uint64_t>(reader);
    value = int64_t(wide);
    return wide <= uint64_t(INT64_MAX);
  }
  default:
    return false;
  }
}

static bool takeFloat(ByteReader &reader, GGUFType type, double &value) {
  if (type == GGUFType::F32) {
    value = take<float>(reader);
    return true;
  }
  if (type == GGUFType::F64) {
    value = llvm::bit_cast<double>(take<uint64_t>(reader));
    return true;
  }
  int64_t integer;
  if (!takeInteger(reader, type, integer))
    return false;
  value = double(integer);
  return true;
}

llvm::Expected<const GGUFValue *> GGUFFile::lookup(StringRef key,
                                                   bool required) const {
  auto it = values.find(key);
  if (it != values.end())
    return &it->second;
  if (required)
    return fail(quoted(path()) + " has no metadata value " + quoted(key) +
                ", which its model or tokenizer needs; convert it again");
  return nullptr;
}

Error GGUFFile::wrongType(StringRef key, StringRef wanted) const {
  return fail("metadata value " + quoted(key) + " of " + quoted(path()) +
              " is not " + wanted + "; the file is damaged");
}

Error GGUFFile::read(StringRef key, int64_t &value, bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  ByteReader reader((*found)->bytes);
  if (!takeInteger(reader, (*found)->type, value))
    return wrongType(key, "an integer below 2^63");
  return Error::success();
}

Error GGUFFile::read(StringRef key, double &value, bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  ByteReader reader((*found)->bytes);
  if (!takeFloat(reader, (*found)->type, value))
    return wrongType(key, "a number");
  return Error::success();
}

Error GGUFFile::read(StringRef key, bool &value, bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  if ((*found)->type != GGUFType::Bool)
    return wrongType(key, "a bool");
  value = (*found)->bytes[0] != 0;
  return Error::success();
}

Error GGUFFile::read(StringRef key, StringRef &value, bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  if ((*found)->type != GGUFType::String)
    return wrongType(key, "a string");
  value = (*found)->bytes;
  return Error::success();
}

Error GGUFFile::read(StringRef key, std::vector<StringRef> &value,
                     bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  if ((*found)->type != GGUFType::Array ||
      (*found)->element != GGUFType::String)
    return wrongType(key, "an array of strings");
  ByteReader reader((*found)->bytes);
  value.resize((*found)->count);
  for (StringRef &text : value)
    reader.take(take<uint64_t>(reader), text);
  return Error::success();
}

Error GGUFFile::read(StringRef key, std::vector<int64_t> &value,
                     bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  ByteReader reader((*found)->bytes);
  bool right = (*found)->type == GGUFType::Array;
  // Empty arrays say little about their element type; take them as they are.
  value.resize(right ? (*found)->count : 0);
  for (int64_t &element : value)
    right = right && takeInteger(reader, (*found)->element, element);
  return right ? Error::success() : wrongType(key, "an array of integers");
}

Error GGUFFile::read(StringRef key, std::vector<float> &value,
                     bool required) const {
  auto found = lookup(key, required);
  if (!found || !*found)
    return found.takeError();
  ByteReader reader((*found)->bytes);
  bool right = (*found)->type == GGUFType::Array;
  value.resize(right ? (*found)->count : 0);
  for (float &element : value) {
    double wide = 0;
    right = right && takeFloat(reader, (*found)->element, wide);
    element = float(wide);
  }
  return right ? Error::success() : wrongType(key, "an array of numbers");
}
