//===- PreTokenizer.h - Splitting text into words ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Byte-level BPE merges within words only. The patterns, as scanners:
//
//   gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
//              |\s+(?!\S)|\s+
//   smollm     every \p{N} is a word of its own; gpt-2 on what lies between
//   llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//              | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   qwen2      llama-bpe with \p{N} in place of \p{N}{1,3}
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_PRETOKENIZER_H
#define CQ_LIB_MODEL_PRETOKENIZER_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <optional>

namespace mlir::cq {

enum class PreTokenizer : uint8_t { GPT2, SmolLM, Llama3, Qwen2 };

/// Names of GGUF's tokenizer.ggml.pre.
llvm::StringRef stringifyPreTokenizer(PreTokenizer kind);
std::optional<PreTokenizer> parsePreTokenizer(llvm::StringRef name);

/// Calls `word` for the words of `text`, in order; together they are the text.
void splitWords(PreTokenizer kind, llvm::StringRef text,
                llvm::function_ref<void(llvm::StringRef)> word);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_PRETOKENIZER_H
