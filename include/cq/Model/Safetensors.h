//===- Safetensors.h - safetensors files and shards -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_SAFETENSORS_H
#define CQ_MODEL_SAFETENSORS_H

#include "cq/Model/MappedArchive.h"

namespace mlir::cq {

/// One file: a header length, a JSON header, data without gaps.
class SafetensorsFile : public MappedArchive {
public:
  static llvm::Expected<std::unique_ptr<SafetensorsFile>>
  open(llvm::StringRef path);

private:
  using MappedArchive::MappedArchive;
  llvm::Error parse();
};

/// The shards behind a *.safetensors.index.json, which lie beside it.
class ShardedSafetensors : public MappedArchive {
public:
  static llvm::Expected<std::unique_ptr<ShardedSafetensors>>
  open(llvm::StringRef indexPath);

private:
  using MappedArchive::MappedArchive;
  llvm::Error parse();
  std::vector<std::unique_ptr<SafetensorsFile>> shards;
};

} // namespace mlir::cq

#endif // CQ_MODEL_SAFETENSORS_H
