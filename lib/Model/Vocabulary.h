//===- Vocabulary.h - What a tokenizer file says ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The readers (GGUF, tokenizer.json, tokenizer.bin) fill a Vocabulary; the two
// algorithms (byte-level BPE, SentencePiece) run on it; the writer saves it.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_VOCABULARY_H
#define CQ_LIB_MODEL_VOCABULARY_H

#include "PreTokenizer.h"
#include "cq/Model/GGUF.h"
#include "cq/Model/Tokenizer.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace mlir::cq {

enum class TokenizerKind : uint8_t {
  ByteLevel,     ///< merges with ranks, over words of bytes
  SentencePiece, ///< scores, spaces written as U+2581
  Llama2C        ///< scores, spaces written as spaces
};

/// Numbered as in GGUF's tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  Normal = 1,
  Unknown,
  Control,
  UserDefined,
  Unused,
  Byte
};

struct Vocabulary {
  std::string path; ///< for messages
  TokenizerKind kind = TokenizerKind::ByteLevel;
  std::vector<std::string> texts; ///< as the file spells them
  std::vector<TokenType> types;   ///< as many
  /// SentencePiece: as many; −infinity: no result of a merge.
  std::vector<float> scores;
  /// Byte-level: pairs of token ids, best first.
  std::vector<std::pair<int32_t, int32_t>> merges;
  PreTokenizer preTokenizer = PreTokenizer::GPT2;
  bool ignoreMerges =
      false;               ///< words that are tokens are taken whole (Llama 3)
  bool spacePrefix = true; ///< SentencePiece: a space before the text
  bool addBos = false;
  int32_t bos = -1, eos = -1, eot = -1, unknown = -1;
  ChatTemplate chat = ChatTemplate::None;

  int64_t size() const { return int64_t(texts.size()); }
  /// Ids in range, equal lengths, no NaN, or a sentence.
  llvm::Error check() const;
  /// First id of each text.
  llvm::StringMap<int32_t> idsOfTexts() const;
  /// Fills `merges` from spellings; refuses pairs whose parts or whole are no
  /// tokens. The callback gives the two spellings of merge i.
  llvm::Error setMerges(
      size_t count,
      llvm::function_ref<std::pair<llvm::StringRef, llvm::StringRef>(size_t)>
          spelling);
  /// The chat form that the special tokens suggest.
  ChatTemplate chatFromTokens() const;
};

/// The form that a model's own template describes; the template is searched for
/// marks, never evaluated.
ChatTemplate chatFromTemplate(llvm::StringRef text);

llvm::Expected<Vocabulary> readGGUFVocabulary(const GGUFFile &file);
/// The metadata that readGGUFVocabulary understands, and nothing else.
llvm::Error writeGGUFVocabulary(const Vocabulary &vocabulary,
                                llvm::StringRef path);
/// The same, into a file with other contents.
void addVocabulary(class GGUFWriter &writer, const Vocabulary &vocabulary);
llvm::Expected<Vocabulary> readHuggingFaceVocabulary(llvm::StringRef path);
/// tokenizer.json and tokenizer_config.json in `folder`; false where that form
/// has no words for the vocabulary (llama2.c's spaces, texts that are no
/// UTF-8).
llvm::Expected<bool> writeHuggingFaceVocabulary(const Vocabulary &vocabulary,
                                                llvm::StringRef folder);
llvm::Expected<Vocabulary> readLlama2CVocabulary(llvm::StringRef path);

/// What the two algorithms share: special tokens in the text, ends of
/// generation, saving.
class VocabularyTokenizer : public Tokenizer {
public:
  explicit VocabularyTokenizer(Vocabulary vocabulary);

  int64_t vocabularySize() const override { return vocabulary.size(); }
  int32_t bos() const override { return vocabulary.bos; }
  int32_t eos() const override { return vocabulary.eos; }
  bool isEndOfGeneration(int32_t id) const override {
    return id >= 0 && ends.contains(id);
  }
  ChatTemplate chatTemplate() const override { return vocabulary.chat; }
  std::vector<int32_t> encode(llvm::StringRef text, bool parseSpecial,
                              bool addBos) const override;
  llvm::Error save(llvm::StringRef path) const override {
    return writeGGUFVocabulary(vocabulary, path);
  }

protected:
  /// Appends the ids of text without special tokens; never called when empty.
  virtual void encodeText(llvm::StringRef text,
                          std::vector<int32_t> &ids) const = 0;
  Vocabulary vocabulary;

private:
  /// The longest special token at the front of `text`, or −1.
  int32_t specialAt(llvm::StringRef text, bool parseSpecial) const;

  llvm::DenseSet<int32_t> ends;
  llvm::DenseMap<llvm::StringRef, int32_t> specials;
  /// Lengths of the special tokens that begin with a byte, longest first.
  std::vector<size_t> lengths[256];
};

std::shared_ptr<Tokenizer> makeBytePairTokenizer(Vocabulary vocabulary);
std::shared_ptr<Tokenizer> makeSentencePieceTokenizer(Vocabulary vocabulary);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_VOCABULARY_H
