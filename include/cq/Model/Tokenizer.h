//===- Tokenizer.h - Text to token ids and back -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_TOKENIZER_H
#define CQ_MODEL_TOKENIZER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mlir::cq {

/// A chat prompt's fixed form (a model's own template is never evaluated).
enum class ChatTemplate : uint8_t { None, ChatML, Llama2, Llama3 };

class Tokenizer {
public:
  virtual ~Tokenizer();
  virtual int64_t vocabularySize() const = 0;
  /// Ids of UTF-8 `text` (any bytes are accepted). `parseSpecial`: special
  /// tokens written in the text become their ids. `addBos`: prepend BOS if the
  /// model has and wants one.
  virtual std::vector<int32_t> encode(llvm::StringRef text,
                                      bool parseSpecial = true,
                                      bool addBos = true) const = 0;
  /// Bytes of one token; may be part of a UTF-8 sequence. `previous` is the
  /// token before (−1 at the start): SentencePiece drops a leading space after
  /// BOS.
  virtual std::string decode(int32_t id, int32_t previous = -1) const = 0;
  /// −1 when absent.
  virtual int32_t bos() const = 0;
  virtual int32_t eos() const = 0;
  /// Tokens that end generation (EOS, <|im_end|>, <|eot_id|> …).
  virtual bool isEndOfGeneration(int32_t id) const = 0;
  virtual ChatTemplate chatTemplate() const = 0;

  /// Writes a GGUF file that holds only this tokenizer's metadata, so that an
  /// artefact folder is self-contained; `open` reads it back.
  virtual llvm::Error save(llvm::StringRef path) const = 0;
  /// GGUF metadata, tokenizer.json (byte-level BPE), llama2.c tokenizer.bin.
  static llvm::Expected<std::shared_ptr<Tokenizer>> open(llvm::StringRef path);
};

/// One user turn (and optional system text) in the template's form, ready for
/// `encode(…, parseSpecial = true)`.
std::string formatChat(ChatTemplate form, llvm::StringRef user,
                       llvm::StringRef system = "");

} // namespace mlir::cq

#endif // CQ_MODEL_TOKENIZER_H
