//===- MappedArchive.cpp - Common part of the archive readers -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/MappedArchive.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/HugePages.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

using namespace mlir::cq;

llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
mlir::cq::mapFile(llvm::StringRef path) {
  llvm::sys::fs::file_status status;
  if (std::error_code error = llvm::sys::fs::status(path, status))
    return fail("cannot open " + quoted(path) + ": " + error.message());
  if (status.type() != llvm::sys::fs::file_type::regular_file)
    return fail(quoted(path) + " is no regular file; give a model file");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail("cannot read " + quoted(path) + ": " +
                buffer.getError().message());
  if ((*buffer)->getBufferKind() == llvm::MemoryBuffer::MemoryBuffer_MMap)
    readInHugePages(const_cast<char *>((*buffer)->getBufferStart()),
                    (*buffer)->getBufferSize());
  return std::move(*buffer);
}

void mlir::cq::uncacheFile(llvm::StringRef path) {
#ifdef __linux__
  int descriptor = ::open(path.str().c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return;
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  ::close(descriptor);
#endif
}

MappedArchive::MappedArchive(llvm::StringRef path,
                             std::unique_ptr<llvm::MemoryBuffer> buffer)
    : name(path) {
  buffers.push_back(std::move(buffer));
}

const ParameterInfo *MappedArchive::find(llvm::StringRef tensor) const {
  auto it = index.find(tensor);
  return it == index.end() ? nullptr : &infos[it->second];
}

std::optional<llvm::StringRef>
MappedArchive::metadata(llvm::StringRef key) const {
  auto it = strings.find(key.str());
  if (it == strings.end())
    return std::nullopt;
  return llvm::StringRef(it->second);
}

void MappedArchive::releasePages() const {
#ifdef __linux__
  // LLVM's dontNeedIfMmap is posix_madvise, which glibc does not act on. Only
  // of file maps: the same call empties heap memory.
  for (const std::unique_ptr<llvm::MemoryBuffer> &buffer : buffers)
    if (buffer->getBufferKind() == llvm::MemoryBuffer::MemoryBuffer_MMap)
      madvise(const_cast<char *>(buffer->getBufferStart()),
              buffer->getBufferSize(), MADV_DONTNEED);
#endif
}

llvm::Error MappedArchive::add(llvm::StringRef tensor, DType type,
                               llvm::ArrayRef<int64_t> shape,
                               llvm::StringRef data, uint64_t offset) {
  std::string where = "tensor " + quoted(tensor) + " of " + quoted(name);
  std::optional<int64_t> elements = checkedElements(shape);
  if (!elements)
    return fail(where + " has the shape " + printShape(shape) +
                ", whose extents are not all positive or whose product is too "
                "large; the file is damaged");
  int64_t row = shape.empty() ? 1 : shape.back();
  if (row % blockElements(type) != 0)
    return fail(where + " has rows of " + llvm::Twine(row) +
                " elements, no whole number of " + stringifyDType(type) +
                " blocks; the file is damaged");
  uint64_t size;
  if (__builtin_mul_overflow(uint64_t(*elements / blockElements(type)),
                             uint64_t(blockBytes(type)), &size) ||
      offset > data.size() || size > data.size() - offset)
    return fail(where + " reaches past the end of the file; the file is "
                        "truncated or damaged, fetch it again");
  ParameterInfo info;
  info.name = tensor.str();
  info.type = type;
  info.shape.assign(shape.begin(), shape.end());
  info.bytes = llvm::arrayRefFromStringRef(data.substr(offset, size));
  return add(info);
}

llvm::Error MappedArchive::add(const ParameterInfo &info) {
  if (info.name.empty())
    return fail("a tensor of " + quoted(name) +
                " has no name; the file is damaged");
  if (!index.try_emplace(info.name, infos.size()).second)
    return fail("tensor " + quoted(info.name) + " appears twice in " +
                quoted(name) + "; the file is damaged");
  infos.push_back(info);
  return llvm::Error::success();
}

void MappedArchive::retype(llvm::StringRef tensor, DType type,
                           llvm::ArrayRef<int64_t> shape) {
  ParameterInfo &info = infos[index.lookup(tensor)];
  info.type = type;
  info.shape.assign(shape.begin(), shape.end());
}

llvm::Error MappedArchive::checkOverlaps() const {
  std::vector<const ParameterInfo *> order;
  order.reserve(infos.size());
  for (const ParameterInfo &info : infos)
    order.push_back(&info);
  llvm::sort(order, [](const ParameterInfo *a, const ParameterInfo *b) {
    return a->bytes.data() < b->bytes.data();
  });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->bytes.end() > order[i]->bytes.begin())
      return fail("tensors " + quoted(order[i - 1]->name) + " and " +
                  quoted(order[i]->name) + " of " + quoted(name) +
                  " share bytes; the file is damaged");
  return llvm::Error::success();
}
