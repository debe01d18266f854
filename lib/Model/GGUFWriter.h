//===- GGUFWriter.h - Writing GGUF metadata ---------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_GGUFWRITER_H
#define CQ_LIB_MODEL_GGUFWRITER_H

#include "cq/Model/GGUF.h"

namespace mlir::cq {

/// Collects metadata values and writes a GGUF file (version 3) without tensors.
class GGUFWriter {
public:
  void add(llvm::StringRef key, llvm::StringRef value);
  void add(llvm::StringRef key, bool value);
  void add(llvm::StringRef key, uint32_t value);
  void add(llvm::StringRef key, llvm::ArrayRef<std::string> values);
  void add(llvm::StringRef key, llvm::ArrayRef<int32_t> values);
  void add(llvm::StringRef key, llvm::ArrayRef<float> values);
  /// Temporary name, flush, rename.
  llvm::Error write(llvm::StringRef path) const;

private:
  template <typename T> void number(T value);
  void string(llvm::StringRef text);
  void begin(llvm::StringRef key, GGUFType type);
  void beginArray(llvm::StringRef key, GGUFType element, size_t count);

  std::string bytes;
  uint64_t count = 0;
};

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_GGUFWRITER_H
