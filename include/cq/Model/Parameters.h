//===- Parameters.h - Archives of named tensors -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A parameter archive maps names to tensors that lie in memory-mapped files:
// GGUF, safetensors (one file, or shards behind an index), IRPA, llama2.c
// checkpoints. Files are hostile: every count, product and offset is checked
// before use.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_PARAMETERS_H
#define CQ_MODEL_PARAMETERS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace mlir::cq {

/// Element (or block) types a stored tensor can have.
enum class DType : uint8_t {
  F32,
  F16,
  BF16,
  F64,
  I8,
  U8,
  I16,
  U16,
  I32,
  I64,
  Bool,
  // ggml block types
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  Q8_K,
  IQ1_S,
  IQ1_M,
  IQ2_XXS,
  IQ2_XS,
  IQ2_S,
  IQ3_XXS,
  IQ3_S,
  IQ4_NL,
  IQ4_XS,
  TQ1_0,
  TQ2_0,
  MXFP4,
  NVFP4
};
llvm::StringRef stringifyDType(DType type);
/// Elements in a block (1 for plain types) and bytes of a block.
int64_t blockElements(DType type);
int64_t blockBytes(DType type);

struct ParameterInfo;
struct CheckpointWeight;

/// How a checkpoint holds quantized weights (cq/Model/PackedCheckpoint.h).
class PackedReader {
public:
  virtual ~PackedReader();
  /// The weight in our terms, as it is stored.
  virtual llvm::Expected<CheckpointWeight>
  readStored(const ParameterInfo &info) const = 0;
  /// Its values.
  virtual llvm::Error decode(const ParameterInfo &info, float *out,
                             unsigned threads) const = 0;
};

/// One stored tensor. `shape` is outermost first ([out_features, in_features]
/// for a linear layer), whatever order the file uses.
struct ParameterInfo {
  std::string name;
  DType type = DType::F32;
  llvm::SmallVector<int64_t, 4> shape;
  llvm::ArrayRef<uint8_t> bytes; ///< points into the memory map
  /// Null for plain tensors and GGUF's blocks. Else the weight is held in
  /// several tensors, `bytes` are those of its codes, and `type` means nothing.
  const PackedReader *packed = nullptr;
  int64_t numElements() const; ///< never overflows: checked at open
};

class ParameterArchive {
public:
  virtual ~ParameterArchive();
  /// Path the archive was opened from, for messages.
  virtual llvm::StringRef path() const = 0;
  /// In the order of the file.
  virtual llvm::ArrayRef<ParameterInfo> parameters() const = 0;
  /// Null when absent.
  virtual const ParameterInfo *find(llvm::StringRef name) const = 0;
  /// Text stored under `key`: safetensors `__metadata__`, string values of
  /// GGUF.
  virtual std::optional<llvm::StringRef> metadata(llvm::StringRef key) const;

  /// What a module says of a tensor. Archives of bytes without types (IRPA)
  /// take it over where the number of bytes fits; the others know better.
  virtual void declare(llvm::StringRef name, DType type,
                       llvm::ArrayRef<int64_t> shape);

  /// Decodes the tensor to f32 into `out` (numElements long), threaded.
  static llvm::Error readAsF32(const ParameterInfo &info, float *out,
                               unsigned threads = 0);

  /// Opens by content, not by name: a GGUF file, a .safetensors file, a
  /// *.safetensors.index.json, a folder holding one of these, an .irpa file, a
  /// llama2.c .bin.
  static llvm::Expected<std::unique_ptr<ParameterArchive>>
  open(llvm::StringRef path);
};

/// A tensor to be written.
struct ParameterView {
  std::string name;
  DType type;
  llvm::SmallVector<int64_t, 4> shape;
  llvm::ArrayRef<uint8_t> bytes;
};

/// A file of tensors whose bytes are handed over one tensor after the other.
class ParameterWriter {
public:
  struct Entry {
    std::string name;
    DType type;
    llvm::SmallVector<int64_t, 4> shape;
  };
  virtual ~ParameterWriter();
  /// Bytes in the order of the entries, a tensor in one or several calls.
  virtual llvm::Error append(llvm::ArrayRef<uint8_t> bytes) = 0;
  /// Refuses missing bytes and renames; a writer destroyed before that leaves
  /// nothing.
  virtual llvm::Error commit() = 0;
};

/// Writes a safetensors file: temporary name, flush, rename. Data start at a
/// multiple of 64 (the header is padded with spaces) and, because the format
/// allows no gaps, tensors whose size is a multiple of 64 come first in the
/// file: all of those start on 64-byte boundaries, the others (and only they)
/// may not. `metadata` goes to `__metadata__`. Tensors are handed over one at a
/// time, in the order of `entries`, so nothing is held twice.
class SafetensorsWriter : public ParameterWriter {
public:
  /// Declares all tensors (name, type, shape). Block types (Q8_0 …) have no
  /// name in the format and are refused.
  static llvm::Expected<std::unique_ptr<SafetensorsWriter>>
  create(llvm::StringRef path, llvm::ArrayRef<Entry> entries,
         llvm::ArrayRef<std::pair<std::string, std::string>> metadata = {});
  /// Size of the file that `create` would begin, header included.
  static llvm::Expected<int64_t>
  fileBytes(llvm::StringRef path, llvm::ArrayRef<Entry> entries,
            llvm::ArrayRef<std::pair<std::string, std::string>> metadata = {});
  ~SafetensorsWriter() override;
};

} // namespace mlir::cq

#endif // CQ_MODEL_PARAMETERS_H
