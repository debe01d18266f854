//===- Llama2C.h - llama2.c checkpoints -------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_LLAMA2C_H
#define CQ_MODEL_LLAMA2C_H

#include "cq/Model/MappedArchive.h"

namespace mlir::cq {

/// Header of a llama2.c checkpoint.
struct Llama2CHeader {
  int64_t width, hidden, blocks, heads, kvHeads, vocabulary, context;
  bool sharedHead;
  int version;       ///< 0 or 1
  int64_t dataBegin; ///< 28 or 256

  /// Bytes the whole file must have; none when a product overflows.
  std::optional<uint64_t> fileBytes() const;
};

/// A `.bin` of version 0 (no magic) or 1 ("ak42"), all f32. Tensors have no
/// names in the file; they get those of GGUF (`blk.0.attn_q.weight` …).
class Llama2CFile : public MappedArchive {
public:
  static llvm::Expected<std::unique_ptr<Llama2CFile>>
  open(llvm::StringRef path);
  const Llama2CHeader &header() const { return head; }

  /// The header at the front of `bytes`: an error unless all its numbers are
  /// those of a model. Does not look at the size of the file.
  static llvm::Expected<Llama2CHeader> parseHeader(llvm::StringRef bytes,
                                                   llvm::StringRef path);

private:
  using MappedArchive::MappedArchive;
  llvm::Error parse();
  Llama2CHeader head{};
};

} // namespace mlir::cq

#endif // CQ_MODEL_LLAMA2C_H
