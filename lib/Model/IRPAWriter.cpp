//===- IRPAWriter.cpp - Writing IREE parameter archives -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/IRPA.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ResumableFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/EndianStream.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

namespace {
struct Place {
  std::string name;
  uint64_t begin, size; ///< of the file
};

class Writer : public ParameterWriter {
public:
  Writer(StringRef path, AtomicFile file, std::vector<Place> places)
      : path(path), file(std::move(file)), places(std::move(places)) {}
  Error append(llvm::ArrayRef<uint8_t> bytes) override;
  Error commit() override;

private:
  std::string path;
  AtomicFile file;
  std::vector<Place> places;
  size_t current = 0;
  uint64_t filled = 0;
  bool broken = false;
};
} // namespace

Error Writer::append(llvm::ArrayRef<uint8_t> bytes) {
  if (current == places.size() ||
      bytes.size() > places[current].size - filled) {
    broken = true;
    return fail("more bytes were appended to " + quoted(path) +
                " than its tensors hold");
  }
  if (Error error = file.write(llvm::toStringRef(bytes),
                               places[current].begin + filled)) {
    broken = true;
    return error;
  }
  filled += bytes.size();
  if (filled == places[current].size) {
    ++current;
    filled = 0;
  }
  return Error::success();
}

Error Writer::commit() {
  if (broken)
    return fail("an earlier write to " + quoted(path) +
                " failed; nothing was written");
  if (current != places.size())
    return fail("tensor " + quoted(places[current].name) + " of " +
                quoted(path) +
                " was declared but not appended; nothing was written");
  return file.commit();
}

static std::string factsOf(const ParameterWriter::Entry &entry) {
  return llvm::formatv(
             "{{\"dtype\":\"{0}\",\"shape\":[{1}]}", stringifyDType(entry.type),
             llvm::join(llvm::map_range(entry.shape,
                                        [](int64_t extent) {
                                          return std::to_string(extent);
                                        }),
                        ","))
      .str();
}

llvm::Expected<std::unique_ptr<ParameterWriter>>
mlir::cq::createIRPAWriter(StringRef path,
                           llvm::ArrayRef<ParameterWriter::Entry> entries) {
  constexpr uint64_t headerSize = 88, tableBegin = 96, entrySize = 76,
                     entryStep = 80, alignment = 64;
  std::vector<Place> places;
  llvm::StringSet<> seen;
  std::string names;
  uint64_t position = 0;
  for (const ParameterWriter::Entry &entry : entries) {
    std::string where = "tensor " + quoted(entry.name) + " for " + quoted(path);
    if (entry.name.empty() || !seen.insert(entry.name).second)
      return fail(where + (entry.name.empty() ? " has no name"
                                              : " was declared twice"));
    std::optional<int64_t> count = checkedElements(entry.shape);
    if (!count || *count > (int64_t(1) << 50) || blockElements(entry.type) != 1)
      return fail(where + " has a type or shape that an archive cannot hold");
    uint64_t size = uint64_t(*count) * blockBytes(entry.type);
    places.push_back({entry.name, position, size});
    position = llvm::alignTo(position + size, alignment);
    names += entry.name + factsOf(entry);
  }
  uint64_t tableSize = entries.size() * entryStep;
  uint64_t namesBegin = tableBegin + tableSize;
  uint64_t storageBegin = llvm::alignTo(namesBegin + names.size(), alignment);
  if (Error error = checkFreeSpace(path, storageBegin + position))
    return std::move(error);

  std::string head;
  llvm::raw_string_ostream os(head);
  llvm::support::endian::Writer out(os, llvm::endianness::little);
  os << "IRPA";
  out.write<uint32_t>(0); // version 0.0
  for (uint64_t word :
       {headerSize, uint64_t(0), uint64_t(0), uint64_t(entries.size()),
        tableBegin, tableSize, namesBegin, uint64_t(names.size()), storageBegin,
        position})
    out.write<uint64_t>(word);
  os << std::string(tableBegin - headerSize, '\0');
  uint64_t at = 0;
  for (auto [entry, place] : llvm::zip_equal(entries, places)) {
    uint64_t facts = factsOf(entry).size();
    out.write<uint64_t>(entrySize);
    out.write<uint32_t>(2);
    for (uint64_t word :
         {uint64_t(0), at, uint64_t(entry.name.size()), at + entry.name.size(),
          facts, alignment, place.begin, place.size})
      out.write<uint64_t>(word);
    os << std::string(entryStep - entrySize, '\0');
    at += entry.name.size() + facts;
    place.begin += storageBegin;
  }
  os << names;
  // The last tensor's padding too: readers map whole segments.
  auto file = AtomicFile::create(path);
  if (!file)
    return file.takeError();
  if (Error error = file->write(head, 0))
    return std::move(error);
  if (uint64_t end = storageBegin + position; end > head.size())
    if (Error error = file->write(StringRef("\0", 1), end - 1))
      return std::move(error);
  return std::make_unique<Writer>(path, std::move(*file), std::move(places));
}
