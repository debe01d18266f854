//===- IRPA.cpp - Reading IREE parameter archives -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/IRPA.h"
#include "ByteReader.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

namespace {
struct Range {
  uint64_t offset = 0, length = 0;
};
} // namespace

static bool read(ByteReader &reader, Range &range) {
  return reader.read(range.offset) && reader.read(range.length);
}

static std::optional<StringRef> within(StringRef bytes, Range range) {
  if (range.offset > bytes.size() || range.length > bytes.size() - range.offset)
    return std::nullopt;
  return bytes.substr(range.offset, range.length);
}

llvm::Expected<std::unique_ptr<IRPAFile>> IRPAFile::open(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  std::unique_ptr<IRPAFile> file(new IRPAFile(path, std::move(*buffer)));
  if (Error error = file->parse())
    return std::move(error);
  return std::move(file);
}

Error IRPAFile::parse() {
  std::string file = quoted(path());
  ByteReader reader(contents());
  uint32_t magic = 0;
  uint16_t major = 0, minor = 0;
  uint64_t size = 0, next = 0, flags = 0, count = 0;
  Range ranges[3];
  if (!reader.read(magic) || !reader.read(major) || !reader.read(minor) ||
      !reader.read(size) || !reader.read(next) || !reader.read(flags) ||
      !reader.read(count) || !read(reader, ranges[0]) ||
      !read(reader, ranges[1]) || !read(reader, ranges[2]))
    return fail(file + " ends inside the header; the file is truncated");
  if (major != 0 || minor != 0)
    return fail(file + " has IRPA version " + llvm::Twine(major) + "." +
                llvm::Twine(minor) + "; version 0.0 is read");
  if (size != reader.position())
    return fail(file + " has a header of " + llvm::Twine(size) +
                " bytes instead of " + llvm::Twine(reader.position()) +
                "; the file is damaged");
  if (next != 0)
    return fail(file + " holds several archives one after the other, which is "
                       "not read; write one with iree-convert-parameters");
  std::optional<StringRef> segments[3];
  for (unsigned i = 0; i < 3; ++i)
    if (!(segments[i] = within(contents(), ranges[i])))
      return fail(file + " has a segment that reaches past the end of the "
                         "file; the file is truncated or damaged");
  StringRef table = *segments[0], names = *segments[1], storage = *segments[2];

  constexpr uint64_t header = 60;
  if (count > table.size() / header)
    return fail(file + " claims " + llvm::Twine(count) +
                " entries, more than its table can hold; the file is damaged");
  uint64_t position = 0, nameBytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::string which = "entry " + std::to_string(i) + " of " + file;
    if (position > table.size())
      return fail(which + " lies beyond the table; the file is damaged");
    ByteReader entry(table.substr(position));
    uint64_t entrySize = 0, entryFlags = 0, alignment = 0;
    uint32_t kind = 0;
    Range name, facts, data;
    if (!entry.read(entrySize) || !entry.read(kind) ||
        !entry.read(entryFlags) || !read(entry, name) || !read(entry, facts) ||
        !entry.read(alignment) || entrySize < header ||
        entrySize > table.size() - position)
      return fail(which + " reaches past the table; the file is damaged");
    position += llvm::alignTo(entrySize, 16);
    if (kind == 0)
      continue;
    std::optional<StringRef> nameText = within(names, name);
    std::optional<StringRef> factsText = within(names, facts);
    if (!nameText || !factsText)
      return fail(which + " has a name or metadata outside of their segment; "
                          "the file is damaged");
    // Names may overlap in the file: a copy of each must not outgrow it.
    nameBytes += nameText->size();
    if (nameBytes > contents().size())
      return fail(file + " has names of more bytes than the file; the file is "
                         "damaged");
    if (kind == 1)
      return fail("tensor " + quoted(*nameText) + " of " + file +
                  " is a splat, whose bytes are not in the file; write it as "
                  "data");
    if (kind != 2)
      return fail("tensor " + quoted(*nameText) + " of " + file +
                  " lies in another file, which is not opened; write it into "
                  "the archive with iree-convert-parameters");
    if (entrySize < header + 16 || !read(entry, data))
      return fail(which + " is too short for data; the file is damaged");
    if (Error error =
            addData(*nameText, *factsText, storage, data.offset, data.length))
      return error;
  }
  return Error::success();
}

/// What our writer says of a tensor; nothing where another program wrote.
static bool parseFacts(StringRef text, StringRef path, DType &type,
                       llvm::SmallVectorImpl<int64_t> &shape) {
  if (text.empty() || text.size() > 512)
    return false;
  auto json = parseBoundedJSON(text, path);
  if (!json) {
    llvm::consumeError(json.takeError());
    return false;
  }
  const llvm::json::Object *object = json->getAsObject();
  const llvm::json::Array *extents =
      object ? object->getArray("shape") : nullptr;
  std::optional<StringRef> name =
      object ? object->getString("dtype") : std::nullopt;
  if (!extents || !name || extents->size() > 8)
    return false;
  for (const llvm::json::Value &extent : *extents)
    shape.push_back(extent.getAsInteger().value_or(-1));
  for (unsigned i = 0; i <= unsigned(DType::Bool); ++i)
    if (stringifyDType(DType(i)) == *name) {
      type = DType(i);
      return true;
    }
  return false;
}

/// Whether `length` bytes are a tensor of this type and shape.
static bool fits(DType type, llvm::ArrayRef<int64_t> shape, uint64_t length) {
  std::optional<int64_t> elements = checkedElements(shape);
  uint64_t size = 0;
  return elements && blockElements(type) == 1 &&
         !__builtin_mul_overflow(uint64_t(*elements),
                                 uint64_t(blockBytes(type)), &size) &&
         size == length;
}

Error IRPAFile::addData(StringRef tensor, StringRef facts, StringRef storage,
                        uint64_t offset, uint64_t length) {
  DType type = DType::U8;
  llvm::SmallVector<int64_t, 4> shape;
  if (!parseFacts(facts, path(), type, shape)) {
    // An empty tensor has no bytes that anyone could miss.
    if (length == 0)
      return Error::success();
    if (length > uint64_t(INT64_MAX))
      return fail("tensor " + quoted(tensor) + " of " + quoted(path()) +
                  " reaches past the end of the file; the file is truncated "
                  "or damaged, fetch it again");
    type = DType::U8;
    shape.assign(1, int64_t(length));
    untyped.insert(tensor);
  } else if (!fits(type, shape, length)) {
    return fail("tensor " + quoted(tensor) + " of " + quoted(path()) + " has " +
                llvm::Twine(length) + " bytes, which its type " +
                stringifyDType(type) + " and shape " + printShape(shape) +
                " do not need; the file is damaged");
  }
  return add(tensor, type, shape, storage, offset);
}

void IRPAFile::declare(StringRef tensor, DType type,
                       llvm::ArrayRef<int64_t> shape) {
  const ParameterInfo *info = find(tensor);
  if (!info || !untyped.contains(tensor) ||
      !fits(type, shape, info->bytes.size()))
    return;
  retype(tensor, type, shape);
  untyped.erase(tensor);
}
