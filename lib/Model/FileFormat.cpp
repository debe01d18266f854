//===- FileFormat.cpp - Telling model files apart by content --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileFormat.h"
#include "cq/Model/GGUF.h"
#include "cq/Model/IRPA.h"
#include "cq/Model/Llama2C.h"
#include "cq/Model/PackedCheckpoint.h"
#include "cq/Model/Safetensors.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;
using llvm::StringRef;

static llvm::Expected<FileFormat> formatOf(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  StringRef bytes = (*buffer)->getBuffer();
  if (bytes.starts_with("GGUF"))
    return FileFormat::GGUF;
  if (bytes.starts_with("IRPA"))
    return FileFormat::IRPA;
  if (bytes.starts_with("24ka"))
    return FileFormat::Llama2C;
  // The length at the head of a safetensors file can look like white space and
  // a brace (123, 31520); below 2^56 it has a zero byte, which no JSON has.
  if (bytes.take_front(64).ltrim().starts_with("{") &&
      !bytes.take_front(8).contains('\0'))
    return FileFormat::SafetensorsIndex;

  // A safetensors header begins with '{' after its length. The same byte is the
  // low byte of the block count in a llama2.c header of version 0, which has no
  // magic: a fitting length decides, then a fitting size, then the brace.
  bool brace = bytes.size() > 8 && bytes[8] == '{';
  if (brace &&
      llvm::support::endian::read64le(bytes.data()) <= bytes.size() - 8)
    return FileFormat::Safetensors;
  auto header = Llama2CFile::parseHeader(bytes, path);
  bool llama = bool(header);
  bool fits = llama && header->fileBytes() == uint64_t(bytes.size());
  llvm::consumeError(header.takeError());
  if (fits || (llama && !brace))
    return FileFormat::Llama2C;
  if (brace)
    return FileFormat::Safetensors;
  return fail(quoted(path) +
              " is neither GGUF, safetensors, a safetensors index, IRPA nor "
              "a llama2.c checkpoint; give one of these");
}

llvm::Expected<LocatedFile> mlir::cq::locateModelFile(StringRef path) {
  namespace fs = llvm::sys::fs;
  if (!fs::is_directory(path)) {
    auto format = formatOf(path);
    if (!format)
      return format.takeError();
    return LocatedFile{*format, path.str()};
  }

  constexpr StringRef indexSuffix = ".safetensors.index.json";
  auto join = [&](StringRef name) {
    llvm::SmallString<256> full(path);
    llvm::sys::path::append(full, name);
    return full.str().str();
  };
  for (StringRef name : {"model.safetensors.index.json", "model.safetensors"})
    if (std::string full = join(name); fs::exists(full))
      return LocatedFile{name.ends_with(indexSuffix)
                             ? FileFormat::SafetensorsIndex
                             : FileFormat::Safetensors,
                         full};

  std::vector<LocatedFile> found;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; it != end && !error;
       it.increment(error)) {
    StringRef file = it->path();
    if (file.ends_with(indexSuffix))
      found.push_back({FileFormat::SafetensorsIndex, file.str()});
    else if (file.ends_with(".safetensors"))
      found.push_back({FileFormat::Safetensors, file.str()});
    else if (file.ends_with(".gguf"))
      found.push_back({FileFormat::GGUF, file.str()});
  }
  if (error)
    return fail("cannot list the folder " + quoted(path) + ": " +
                error.message());
  // Shards stand behind their index.
  auto isIndex = [](const LocatedFile &file) {
    return file.format == FileFormat::SafetensorsIndex;
  };
  if (llvm::count_if(found, isIndex) == 1)
    return *llvm::find_if(found, isIndex);
  if (found.size() == 1)
    return found.front();
  return fail("the folder " + quoted(path) + " holds " +
              (found.empty() ? "no" : "more than one") +
              " .safetensors or .gguf file; name the file itself");
}

/// A config.json beside safetensors may say that weights are packed. One that
/// cannot be read says nothing here: ModelSource reports it.
static llvm::Expected<std::unique_ptr<ParameterArchive>>
withPackedWeights(std::unique_ptr<ParameterArchive> archive, StringRef path) {
  llvm::SmallString<256> config(llvm::sys::path::parent_path(path));
  llvm::sys::path::append(config, "config.json");
  if (!llvm::sys::fs::exists(config))
    return std::move(archive);
  auto buffer = mapFile(config);
  if (!buffer) {
    llvm::consumeError(buffer.takeError());
    return std::move(archive);
  }
  auto json = parseBoundedJSON((*buffer)->getBuffer(), config);
  if (!json) {
    llvm::consumeError(json.takeError());
    return std::move(archive);
  }
  const llvm::json::Object *object = json->getAsObject();
  const llvm::json::Object *quantized =
      object ? object->getObject("quantization_config") : nullptr;
  if (!quantized || !isPackedCheckpoint(*quantized))
    return std::move(archive);
  return openPackedCheckpoint(std::move(archive), *quantized, config);
}

template <typename File>
static llvm::Expected<std::unique_ptr<ParameterArchive>>
openSafetensors(StringRef path) {
  auto file = File::open(path);
  if (!file)
    return file.takeError();
  return withPackedWeights(std::move(*file), path);
}

llvm::Expected<std::unique_ptr<ParameterArchive>>
ParameterArchive::open(StringRef path) {
  auto located = locateModelFile(path);
  if (!located)
    return located.takeError();
  switch (located->format) {
  case FileFormat::GGUF:
    return GGUFFile::open(located->path);
  case FileFormat::Safetensors:
    return openSafetensors<SafetensorsFile>(located->path);
  case FileFormat::SafetensorsIndex:
    return openSafetensors<ShardedSafetensors>(located->path);
  case FileFormat::IRPA:
    return IRPAFile::open(located->path);
  case FileFormat::Llama2C:
    return Llama2CFile::open(located->path);
  }
  llvm_unreachable("all formats are handled");
}
