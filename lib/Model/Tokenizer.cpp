//===- Tokenizer.cpp - Opening tokenizers ---------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Tokenizer.h"
#include "Vocabulary.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;

Tokenizer::~Tokenizer() = default;

static llvm::Expected<Vocabulary> readVocabulary(llvm::StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  llvm::StringRef front = (*buffer)->getBuffer().take_front(64);
  if (front.starts_with("GGUF")) {
    auto file = GGUFFile::open(path);
    if (!file)
      return file.takeError();
    return readGGUFVocabulary(**file);
  }
  if (front.ltrim().starts_with("{"))
    return readHuggingFaceVocabulary(path);
  return readLlama2CVocabulary(path);
}

llvm::Expected<std::shared_ptr<Tokenizer>>
Tokenizer::open(llvm::StringRef path) {
  llvm::SmallString<256> file(path);
  if (llvm::sys::fs::is_directory(path))
    llvm::sys::path::append(file, "tokenizer.json");
  auto vocabulary = readVocabulary(file);
  if (!vocabulary)
    return vocabulary.takeError();
  if (vocabulary->kind == TokenizerKind::ByteLevel)
    return makeBytePairTokenizer(std::move(*vocabulary));
  return makeSentencePieceTokenizer(std::move(*vocabulary));
}
