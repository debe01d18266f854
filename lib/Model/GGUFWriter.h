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

class AtomicFile;

/// Collects metadata values and tensors and writes a GGUF file (version 3).
/// Tensors are written as they come, behind room for the header, whose size
/// follows from names and ranks; types may be decided tensor by tensor.
class GGUFWriter {
public:
  void add(llvm::StringRef key, llvm::StringRef value);
  void add(llvm::StringRef key, bool value);
  void add(llvm::StringRef key, uint32_t value);
  void add(llvm::StringRef key, llvm::ArrayRef<std::string> values);
  void add(llvm::StringRef key, llvm::ArrayRef<int32_t> values);
  void add(llvm::StringRef key, llvm::ArrayRef<float> values);
  void add(llvm::StringRef key, float value);

  /// A file without tensors: temporary name, flush, rename.
  llvm::Error write(llvm::StringRef path);

  /// After all metadata: announces tensors, names and ranks.
  llvm::Error open(llvm::StringRef path,
                   llvm::ArrayRef<std::pair<std::string, unsigned>> tensors);
  /// The next tensor in the order of `open`.
  llvm::Error append(DType type, llvm::ArrayRef<int64_t> shape,
                     llvm::ArrayRef<uint8_t> bytes);
  /// Writes the header, flushes, renames.
  llvm::Error commit();

  GGUFWriter();
  ~GGUFWriter();

private:
  struct Tensor {
    std::string name;
    unsigned rank;
    DType type = DType::F32;
    llvm::SmallVector<int64_t, 4> shape;
    uint64_t offset = 0;
  };
  template <typename T> void number(T value);
  void string(llvm::StringRef text);
  void begin(llvm::StringRef key, GGUFType type);
  void beginArray(llvm::StringRef key, GGUFType element, size_t count);

  std::string bytes;
  uint64_t count = 0;
  std::unique_ptr<AtomicFile> file;
  std::vector<Tensor> tensors;
  size_t written = 0;
  uint64_t dataBegin = 0, dataSize = 0;
};

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_GGUFWRITER_H
