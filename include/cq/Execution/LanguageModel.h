//===- LanguageModel.h - A compiled model that takes tokens --* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Owns compiled code, bound parameters, key/value caches and tokenizer of one
// imported (or quantized) model, and hides chunk sizes from its users.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_LANGUAGEMODEL_H
#define CQ_EXECUTION_LANGUAGEMODEL_H

#include "cq/Model/Tokenizer.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>

namespace mlir::cq {

struct LanguageModelOptions {
  std::string targetCPU; ///< empty = this machine's
  /// Of packed products: "int8", "f32"; empty = as the plan wrote them.
  std::string activation;
  unsigned threads = 0; ///< 0 = all
  bool fuse = true;     ///< launches put together; results are the same
  bool useCache = true; ///< keep compiled code on disk
  /// "cuda": an NVIDIA GPU runs everything, packed products in f16 (docs/
  /// Kernels-nvidia.md). Empty: this CPU.
  std::string target;
  /// With a target: "interpreter" runs its kernels without the device.
  std::string device;
};

class LanguageModel {
public:
  /// `path`: an imported module, or a folder made by `cq quantize`.
  static llvm::Expected<std::unique_ptr<LanguageModel>>
  load(llvm::StringRef path, const LanguageModelOptions &options = {});
  ~LanguageModel();

  int64_t width() const;      ///< D, of a hidden state
  int64_t vocabulary() const; ///< V, of a row of logits
  int64_t context() const;    ///< positions the caches hold
  int64_t position() const;   ///< tokens taken so far
  /// Null where the checkpoint came without one.
  const Tokenizer *tokenizer() const;
  /// Says which model this is: module, parameters and what changes its numbers
  /// (not threads). Hexadecimal.
  llvm::StringRef fingerprint() const;
  /// Whether the code came from the disk cache, and what getting it took.
  bool compiledFromCache() const;
  double compileSeconds() const;

  /// Forgets all tokens.
  void reset();
  /// Takes `tokens` at the current position; writes the final hidden state of
  /// each to `hidden` [tokens, D]. Errors: an id outside the vocabulary, the
  /// context full.
  llvm::Error forward(llvm::ArrayRef<int32_t> tokens, float *hidden);
  /// Logits [rows, V] of hidden states [rows, D].
  llvm::Error logits(const float *hidden, int64_t rows, float *out);
  /// Whether step() keeps everything on a device.
  bool hasDevice() const;
  /// Takes one token and gives the likeliest next one; only with hasDevice().
  llvm::Expected<int32_t> step(int32_t token);

private:
  struct Implementation;
  explicit LanguageModel(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_LANGUAGEMODEL_H
