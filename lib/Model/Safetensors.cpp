//===- Safetensors.cpp - Reading safetensors ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Safetensors.h"
#include "ByteReader.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static std::optional<DType> parseDType(StringRef name) {
  for (unsigned i = 0; i <= unsigned(DType::Bool); ++i)
    if (stringifyDType(DType(i)) == name)
      return DType(i);
  return std::nullopt;
}

namespace {
struct TensorHeader {
  StringRef name;
  DType type;
  llvm::SmallVector<int64_t, 4> shape;
  int64_t begin, end;
};
} // namespace

static Error parseTensor(StringRef path, StringRef name,
                         const llvm::json::Value &value, TensorHeader &header) {
  std::string where = "tensor " + quoted(name) + " of " + quoted(path);
  const llvm::json::Object *object = value.getAsObject();
  if (!object)
    return fail(where + " is described by no JSON object; the file is damaged");
  header.name = name;
  std::optional<StringRef> type = object->getString("dtype");
  if (!type)
    return fail(where + " has no dtype; the file is damaged");
  std::optional<DType> dtype = parseDType(*type);
  if (!dtype)
    return fail(where + " has the dtype " + quoted(*type) +
                ", which is not read; convert it to F32, F16 or BF16");
  header.type = *dtype;
  const llvm::json::Array *shape = object->getArray("shape");
  if (!shape)
    return fail(where + " has no shape; the file is damaged");
  if (shape->size() > 8)
    return fail(where + " has " + llvm::Twine(shape->size()) +
                " dimensions, more than 8; the file is damaged");
  for (const llvm::json::Value &extent : *shape) {
    std::optional<int64_t> integer = extent.getAsInteger();
    if (!integer)
      return fail(where + " has a shape that holds no integers below 2^63; the "
                          "file is damaged");
    header.shape.push_back(*integer);
  }
  const llvm::json::Array *offsets = object->getArray("data_offsets");
  std::optional<int64_t> begin, end;
  if (offsets && offsets->size() == 2) {
    begin = (*offsets)[0].getAsInteger();
    end = (*offsets)[1].getAsInteger();
  }
  if (!begin || !end || *begin < 0 || *end < *begin)
    return fail(where + " has no data_offsets [begin, end] with begin <= end; "
                        "the file is damaged");
  header.begin = *begin;
  header.end = *end;
  return Error::success();
}

llvm::Expected<std::unique_ptr<SafetensorsFile>>
SafetensorsFile::open(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  std::unique_ptr<SafetensorsFile> file(
      new SafetensorsFile(path, std::move(*buffer)));
  if (Error error = file->parse())
    return std::move(error);
  return std::move(file);
}

Error SafetensorsFile::parse() {
  ByteReader reader(contents());
  uint64_t length;
  StringRef header;
  if (!reader.read(length))
    return fail(quoted(path()) +
                " is too short for a safetensors file; fetch it again");
  // The bound is the format's own: it keeps the parsed header small.
  if (length > 100'000'000)
    return fail("the header of " + quoted(path()) + " claims " +
                llvm::Twine(length) +
                " bytes, more than the format's 100 MB; the file is damaged");
  if (!reader.take(length, header))
    return fail(quoted(path()) + " ends inside its header of " +
                llvm::Twine(length) + " bytes; the file is truncated");
  auto json = parseBoundedJSON(header, path());
  if (!json)
    return json.takeError();
  const llvm::json::Object *object = json->getAsObject();
  if (!object)
    return fail("the header of " + quoted(path()) +
                " is no JSON object; the file is damaged");

  std::vector<TensorHeader> headers;
  for (const auto &[key, value] : *object) {
    if (key == "__metadata__") {
      const llvm::json::Object *pairs = value.getAsObject();
      if (!pairs)
        return fail("__metadata__ of " + quoted(path()) +
                    " is no JSON object; the file is damaged");
      for (const auto &[name, text] : *pairs) {
        if (!text.getAsString())
          return fail("__metadata__ of " + quoted(path()) + " holds under " +
                      quoted(name) + " no string; the file is damaged");
        strings.emplace(name.str(), text.getAsString()->str());
      }
      continue;
    }
    TensorHeader tensor;
    if (Error error = parseTensor(path(), key, value, tensor))
      return error;
    headers.push_back(std::move(tensor));
  }
  // The order of the file, whatever the order of the JSON.
  llvm::sort(headers, [](const TensorHeader &a, const TensorHeader &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });

  StringRef data = contents().drop_front(reader.position());
  int64_t position = 0;
  for (const TensorHeader &tensor : headers) {
    std::string where =
        "tensor " + quoted(tensor.name) + " of " + quoted(path());
    if (tensor.begin != position)
      return fail(where + " begins at " + llvm::Twine(tensor.begin) +
                  " where " + llvm::Twine(position) +
                  " was expected: tensors overlap or leave a gap; the file is "
                  "damaged");
    if (Error error = add(tensor.name, tensor.type, tensor.shape, data,
                          uint64_t(tensor.begin)))
      return error;
    int64_t size = int64_t(parameters().back().bytes.size());
    if (size != tensor.end - tensor.begin)
      return fail(where + " needs " + llvm::Twine(size) +
                  " bytes, but its data_offsets hold " +
                  llvm::Twine(tensor.end - tensor.begin) +
                  "; the file is damaged");
    position = tensor.end;
  }
  if (uint64_t(position) != data.size())
    return fail(quoted(path()) + " holds " + llvm::Twine(data.size()) +
                " bytes of data, but its tensors cover " +
                llvm::Twine(position) + "; the file is damaged");
  return Error::success();
}

llvm::Expected<std::unique_ptr<ShardedSafetensors>>
ShardedSafetensors::open(StringRef indexPath) {
  auto buffer = mapFile(indexPath);
  if (!buffer)
    return buffer.takeError();
  std::unique_ptr<ShardedSafetensors> archive(
      new ShardedSafetensors(indexPath, std::move(*buffer)));
  if (Error error = archive->parse())
    return std::move(error);
  return std::move(archive);
}

Error ShardedSafetensors::parse() {
  auto json = parseBoundedJSON(contents(), path());
  if (!json)
    return json.takeError();
  const llvm::json::Object *object = json->getAsObject();
  const llvm::json::Object *map =
      object ? object->getObject("weight_map") : nullptr;
  if (!map || map->empty())
    return fail(quoted(path()) + " has no weight_map; give a safetensors index "
                                 "or a model file");
  // Sorted: shards open, and tensors stand, in an order that is the file's and
  // not the hash table's.
  std::map<StringRef, std::vector<StringRef>> tensorsOfShard;
  for (const auto &[tensor, value] : *map) {
    std::optional<StringRef> shard = value.getAsString();
    if (!shard || shard->empty() || *shard == "." || *shard == ".." ||
        shard->contains('/') || shard->contains('\0'))
      return fail("weight_map of " + quoted(path()) + " gives for tensor " +
                  quoted(tensor) +
                  " no plain file name; shards must lie beside the index");
    tensorsOfShard[*shard].push_back(tensor);
  }
  for (auto &[shard, tensors] : tensorsOfShard) {
    llvm::SmallString<256> shardPath(llvm::sys::path::parent_path(path()));
    llvm::sys::path::append(shardPath, shard);
    auto file = SafetensorsFile::open(shardPath);
    if (!file)
      return file.takeError();
    for (StringRef tensor : tensors)
      if (!(*file)->find(tensor))
        return fail(quoted(path()) + " places tensor " + quoted(tensor) +
                    " in " + quoted(shard) +
                    ", which lacks it; fetch the shards again");
    llvm::StringMap<bool> wanted;
    for (StringRef tensor : tensors)
      wanted[tensor] = true;
    for (const ParameterInfo &info : (*file)->parameters())
      if (wanted.contains(info.name))
        if (Error error = add(info))
          return error;
    shards.push_back(std::move(*file));
  }
  return Error::success();
}
