//===- Archive.cpp - C API: checkpoints -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Guard.h"
#include "cq-c/Model.h"
#include "cq/Model/Parameters.h"

using namespace mlir::cq;
using namespace mlir::cq::capi;

struct CqArchive_ {
  std::unique_ptr<ParameterArchive> archive;
};

CqArchive cqArchiveOpen(const char *path) {
  return guard<CqArchive>(nullptr, [&]() -> llvm::Expected<CqArchive> {
    if (llvm::Error error = needs(path, "path"))
      return std::move(error);
    auto archive = ParameterArchive::open(path);
    if (!archive)
      return archive.takeError();
    return new CqArchive_{std::move(*archive)};
  });
}

int64_t cqArchiveSize(CqArchive archive) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(archive, "archive"))
      return std::move(error);
    return static_cast<int64_t>(archive->archive->parameters().size());
  });
}

static llvm::Expected<const ParameterInfo *> at(CqArchive archive,
                                                int64_t index) {
  if (llvm::Error error = needs(archive, "archive"))
    return std::move(error);
  auto parameters = archive->archive->parameters();
  if (index < 0 || index >= static_cast<int64_t>(parameters.size()))
    return fail(archive->archive->path() + " has " +
                llvm::Twine(parameters.size()) +
                " tensors, there is no tensor " + llvm::Twine(index));
  return &parameters[index];
}

const char *cqArchiveName(CqArchive archive, int64_t index) {
  return guard<const char *>(nullptr, [&]() -> llvm::Expected<const char *> {
    auto info = at(archive, index);
    if (!info)
      return info.takeError();
    return (*info)->name.c_str();
  });
}

const char *cqArchiveType(CqArchive archive, int64_t index) {
  return guard<const char *>(nullptr, [&]() -> llvm::Expected<const char *> {
    auto info = at(archive, index);
    if (!info)
      return info.takeError();
    return stringifyDType((*info)->type).data(); // of a literal
  });
}

int64_t cqArchiveShape(CqArchive archive, int64_t index, int64_t *shape,
                       size_t capacity) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    auto info = at(archive, index);
    if (!info)
      return info.takeError();
    if (capacity)
      if (llvm::Error error = needs(shape, "shape"))
        return std::move(error);
    const auto &dims = (*info)->shape;
    std::copy_n(dims.begin(), std::min(capacity, dims.size()), shape);
    return static_cast<int64_t>(dims.size());
  });
}

int cqArchiveRead(CqArchive archive, int64_t index, float *out, size_t count) {
  return guardStatus([&]() -> llvm::Error {
    auto info = at(archive, index);
    if (!info)
      return info.takeError();
    if (llvm::Error error = needs(out, "out"))
      return error;
    if (count != static_cast<size_t>((*info)->numElements()))
      return fail((*info)->name + " has " +
                  llvm::Twine((*info)->numElements()) +
                  " elements, there is room for " + llvm::Twine(count));
    return ParameterArchive::readAsF32(**info, out);
  });
}

void cqArchiveFree(CqArchive archive) { delete archive; }
