//===- SafetensorsWriter.cpp - Writing safetensors ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/MappedArchive.h"
#include "cq/Model/ResumableSafetensors.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ResumableFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

SafetensorsWriter::~SafetensorsWriter() = default;

namespace {
/// Where one tensor lies: bytes of the data part.
struct Place {
  uint64_t begin, size;
};

class Writer : public ResumableSafetensorsWriter {
public:
  Writer(StringRef path, uint64_t dataBegin, std::vector<std::string> names,
         std::vector<Place> places)
      : path(path), dataBegin(dataBegin), names(std::move(names)),
        places(std::move(places)) {}

  /// Exactly one of the two.
  std::optional<AtomicFile> atomic;
  std::unique_ptr<ResumableFile> resumable;

  Error write(StringRef bytes, uint64_t offset) {
    return atomic ? atomic->write(bytes, offset)
                  : resumable->write(bytes, offset);
  }
  Error append(llvm::ArrayRef<uint8_t> bytes) override;
  Error commit() override;
  size_t completed() const override {
    return resumable ? resumable->completed() : 0;
  }
  Error skipTo(size_t entry) override {
    current = entry;
    return resumable ? resumable->rewind(entry) : Error::success();
  }

private:
  std::string path;
  uint64_t dataBegin;
  std::vector<std::string> names;
  std::vector<Place> places;
  size_t current = 0;  ///< tensor that the next byte belongs to
  uint64_t filled = 0; ///< bytes of it that are written
  uint32_t crc = 0;    ///< of those
  bool broken = false; ///< a write failed: commit must not rename
};
} // namespace

Error Writer::append(llvm::ArrayRef<uint8_t> bytes) {
  if (current == places.size() ||
      bytes.size() > places[current].size - filled) {
    broken = true;
    return fail("more bytes were appended to " + quoted(path) + " than " +
                (current == places.size()
                     ? std::string("its tensors hold")
                     : "tensor " + quoted(names[current]) + " holds"));
  }
  if (Error error = write(llvm::toStringRef(bytes),
                          dataBegin + places[current].begin + filled)) {
    broken = true;
    return error;
  }
  filled += bytes.size();
  if (resumable)
    crc = llvm::crc32(crc, bytes);
  if (filled == places[current].size) {
    ++current;
    filled = 0;
    if (resumable)
      if (Error error = resumable->finish(std::exchange(crc, 0))) {
        broken = true;
        return error;
      }
  }
  return Error::success();
}

Error Writer::commit() {
  if (broken)
    return fail("an earlier write to " + quoted(path) +
                " failed; nothing was written");
  if (current != places.size())
    return fail("tensor " + quoted(names[current]) + " of " + quoted(path) +
                " was declared but not appended; nothing was written");
  if (Error error = atomic ? atomic->commit() : resumable->commit())
    return error;
  uncacheFile(path);
  return Error::success();
}

static llvm::Expected<std::vector<Place>>
placeTensors(StringRef path, llvm::ArrayRef<SafetensorsWriter::Entry> entries) {
  std::vector<Place> places;
  llvm::StringSet<> seen;
  for (const SafetensorsWriter::Entry &entry : entries) {
    std::string where = "tensor " + quoted(entry.name) + " for " + quoted(path);
    if (entry.name.empty() || entry.name == "__metadata__" ||
        !llvm::json::isUTF8(entry.name))
      return fail(where + " has a name that safetensors cannot hold");
    if (!seen.insert(entry.name).second)
      return fail(where + " was declared twice");
    if (blockElements(entry.type) != 1)
      return fail(where + " has the type " + stringifyDType(entry.type) +
                  ", which safetensors cannot hold; decode it first");
    std::optional<int64_t> count = checkedElements(entry.shape);
    if (!count || *count > (int64_t(1) << 58))
      return fail(where + " has the shape " + printShape(entry.shape) +
                  ", whose extents are not all positive or whose product is "
                  "too large");
    places.push_back({0, uint64_t(*count * blockBytes(entry.type))});
  }
  // Multiples of 64 first: only then do no gaps and aligned tensors go
  // together.
  uint64_t position = 0;
  for (bool aligned : {true, false})
    for (Place &place : places)
      if ((place.size % 64 == 0) == aligned) {
        place.begin = position;
        if (__builtin_add_overflow(position, place.size, &position))
          return fail("the tensors for " + quoted(path) +
                      " hold more than 2^64 bytes");
      }
  return places;
}

using Metadata = llvm::ArrayRef<std::pair<std::string, std::string>>;

/// The header, padded so that the data begins at a multiple of 64.
static llvm::Expected<std::string>
writeHeader(StringRef path, llvm::ArrayRef<SafetensorsWriter::Entry> entries,
            llvm::ArrayRef<Place> places, Metadata metadata) {
  std::vector<size_t> order(entries.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  llvm::sort(order, [&](size_t a, size_t b) {
    return places[a].begin < places[b].begin;
  });
  std::string header;
  llvm::raw_string_ostream os(header);
  llvm::json::OStream json(os);
  json.objectBegin();
  if (!metadata.empty())
    json.attributeObject("__metadata__", [&] {
      for (const auto &[key, value] : metadata)
        json.attribute(llvm::json::fixUTF8(key), llvm::json::fixUTF8(value));
    });
  for (size_t i : order)
    json.attributeObject(entries[i].name, [&] {
      json.attribute("dtype", stringifyDType(entries[i].type));
      json.attributeArray("shape", [&] {
        for (int64_t extent : entries[i].shape)
          json.value(extent);
      });
      json.attributeArray("data_offsets", [&] {
        json.value(int64_t(places[i].begin));
        json.value(int64_t(places[i].begin + places[i].size));
      });
    });
  json.objectEnd();
  header.resize(llvm::alignTo(header.size() + 8, 64) - 8, ' ');
  if (header.size() > 100'000'000)
    return fail("the tensors for " + quoted(path) +
                " need a header above the format's 100 MB");
  return header;
}

/// Size of the whole file.
static uint64_t fileSize(uint64_t dataBegin, llvm::ArrayRef<Place> places) {
  uint64_t size = dataBegin;
  for (const Place &place : places)
    size = std::max(size, dataBegin + place.begin + place.size);
  return size;
}

llvm::Expected<int64_t>
SafetensorsWriter::fileBytes(StringRef path, llvm::ArrayRef<Entry> entries,
                             Metadata metadata) {
  auto places = placeTensors(path, entries);
  if (!places)
    return places.takeError();
  auto header = writeHeader(path, entries, *places, metadata);
  if (!header)
    return header.takeError();
  return static_cast<int64_t>(fileSize(header->size() + 8, *places));
}

/// A fingerprint makes it resumable.
static llvm::Expected<std::unique_ptr<Writer>>
createWriter(StringRef path, llvm::ArrayRef<SafetensorsWriter::Entry> entries,
             Metadata metadata, std::optional<StringRef> fingerprint) {
  auto places = placeTensors(path, entries);
  if (!places)
    return places.takeError();
  auto text = writeHeader(path, entries, *places, metadata);
  if (!text)
    return text.takeError();
  const std::string &header = *text;

  uint64_t dataBegin = header.size() + 8;
  if (Error error = checkFreeSpace(path, fileSize(dataBegin, *places)))
    return std::move(error);

  std::vector<std::string> names;
  for (const SafetensorsWriter::Entry &entry : entries)
    names.push_back(entry.name);
  auto writer =
      std::make_unique<Writer>(path, dataBegin, std::move(names), *places);
  if (fingerprint) {
    std::vector<ResumableFile::Piece> pieces;
    for (const Place &place : *places)
      pieces.push_back({dataBegin + place.begin, place.size});
    // The header says what the pieces are.
    llvm::SHA256 hash;
    hash.update(header);
    hash.update(*fingerprint);
    std::string identity = "cq journal 1 " + llvm::toHex(hash.final(), true);
    auto file = ResumableFile::open(path, identity, std::move(pieces));
    if (!file)
      return file.takeError();
    writer->resumable = std::move(*file);
  } else {
    auto file = AtomicFile::create(path);
    if (!file)
      return file.takeError();
    writer->atomic.emplace(std::move(*file));
  }
  char length[8];
  llvm::support::endian::write64le(length, header.size());
  if (Error error = writer->write(StringRef(length, 8), 0))
    return std::move(error);
  if (Error error = writer->write(header, 8))
    return std::move(error);
  return std::move(writer);
}

llvm::Expected<std::unique_ptr<SafetensorsWriter>>
SafetensorsWriter::create(StringRef path, llvm::ArrayRef<Entry> entries,
                          Metadata metadata) {
  return createWriter(path, entries, metadata, std::nullopt);
}

llvm::Expected<std::unique_ptr<ResumableSafetensorsWriter>>
ResumableSafetensorsWriter::create(StringRef path,
                                   llvm::ArrayRef<Entry> entries,
                                   Metadata metadata, StringRef fingerprint) {
  return createWriter(path, entries, metadata, fingerprint);
}
