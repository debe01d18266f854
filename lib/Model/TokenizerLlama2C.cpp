//===- TokenizerLlama2C.cpp - Reading tokenizer.bin -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// u32: length of the longest token; then, to the end of the file, one record a
// token: f32 score, i32 length, bytes. Ids 0, 1, 2 are <unk>, BOS, EOS, the
// next 256 the bytes; spaces are spaces.
//
//===----------------------------------------------------------------------===//

#include "ByteReader.h"
#include "Vocabulary.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
using llvm::StringRef;

llvm::Expected<Vocabulary> mlir::cq::readLlama2CVocabulary(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  ByteReader reader((*buffer)->getBuffer());
  Vocabulary vocabulary;
  vocabulary.path = path.str();
  vocabulary.kind = TokenizerKind::Llama2C;
  uint32_t longest;
  if (!reader.read(longest) || longest == 0 || longest > reader.remaining())
    return fail(quoted(path) + " is no llama2.c tokenizer: it does not begin "
                               "with the length of its longest token");
  while (reader.remaining() > 0) {
    float score;
    int32_t length;
    StringRef text;
    if (!reader.read(score) || !reader.read(length) || length < 0 ||
        uint32_t(length) > longest || !reader.take(length, text))
      return fail("token " + llvm::Twine(vocabulary.size()) + " of " +
                  quoted(path) +
                  " is cut short or longer than the longest token; the file is "
                  "truncated or no llama2.c tokenizer");
    int64_t id = vocabulary.size();
    vocabulary.texts.push_back(text.str());
    vocabulary.scores.push_back(score);
    vocabulary.types.push_back(id == 0               ? TokenType::Unknown
                               : id <= 2             ? TokenType::Control
                               : id >= 3 && id < 259 ? TokenType::Byte
                                                     : TokenType::Normal);
  }
  if (vocabulary.size() < 259)
    return fail(quoted(path) + " has " + llvm::Twine(vocabulary.size()) +
                " tokens, fewer than the 259 that every llama2.c tokenizer "
                "begins with; the file is truncated");
  vocabulary.unknown = 0;
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  vocabulary.addBos = true;
  if (llvm::Error error = vocabulary.check())
    return std::move(error);
  return vocabulary;
}
