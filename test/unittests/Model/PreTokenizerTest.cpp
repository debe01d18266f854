//===- PreTokenizerTest.cpp - Words of the four patterns ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Expected words by the regular expressions of Hugging Face's tokenizers (with
// which 20,000 random strings were compared by hand).
//
//===----------------------------------------------------------------------===//

#include "PreTokenizer.h"
#include "Unicode.h"
#include "gtest/gtest.h"

using namespace mlir::cq;
using Words = std::vector<std::string>;

static Words split(PreTokenizer kind, llvm::StringRef text) {
  Words words;
  splitWords(kind, text,
             [&](llvm::StringRef word) { words.push_back(word.str()); });
  return words;
}

TEST(PreTokenizer, GPT2) {
  auto kind = PreTokenizer::GPT2;
  EXPECT_EQ(split(kind, "I'm can't WE'LL"),
            (Words{"I", "'m", " can", "'t", " WE", "'", "LL"}));
  EXPECT_EQ(split(kind, "a  b \n c  "),
            (Words{"a", " ", " b", " \n", " c", "  "}));
  EXPECT_EQ(split(kind, "x1234 56!?"), (Words{"x", "1234", " 56", "!?"}));
  EXPECT_EQ(split(kind, "\tab\r\n"), (Words{"\t", "ab", "\r\n"}));
  EXPECT_EQ(split(kind, "' s"), (Words{"'", " s"}));
}

TEST(PreTokenizer, SmolLMSplitsDigitsFirst) {
  auto kind = PreTokenizer::SmolLM;
  EXPECT_EQ(split(kind, "a 12  3"), (Words{"a", " ", "1", "2", "  ", "3"}));
  EXPECT_EQ(split(kind, "v\xC2\xBD!"), (Words{"v", "\xC2\xBD", "!"}));
}

TEST(PreTokenizer, Llama3) {
  auto kind = PreTokenizer::Llama3;
  EXPECT_EQ(split(kind, "I'M we'Ll"), (Words{"I", "'M", " we", "'Ll"}));
  EXPECT_EQ(split(kind, "12345 6"), (Words{"123", "45", " ", "6"}));
  EXPECT_EQ(split(kind, "(abc) \"d"), (Words{"(abc", ")", " \"", "d"}));
  EXPECT_EQ(split(kind, "a!\n\n b"), (Words{"a", "!\n\n", " b"}));
  EXPECT_EQ(split(kind, "a \n  \n   b"), (Words{"a", " \n  \n", "  ", " b"}));
  EXPECT_EQ(split(kind, "\nab"), (Words{"\n", "ab"}));
  EXPECT_EQ(split(kind, "\tab"), (Words{"\tab"}));
}

TEST(PreTokenizer, Qwen2TakesSingleDigits) {
  EXPECT_EQ(split(PreTokenizer::Qwen2, "123 4ab"),
            (Words{"1", "2", "3", " ", "4", "ab"}));
}

TEST(PreTokenizer, WordsTogetherAreTheText) {
  uint32_t state = 7;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525u + 1013904223u;
      // Mostly ASCII, some bytes that are no UTF-8.
      uint8_t byte = state >> 24;
      text += char(state & 0x700000 ? byte & 0x7F : byte);
    }
    for (PreTokenizer kind : {PreTokenizer::GPT2, PreTokenizer::SmolLM,
                              PreTokenizer::Llama3, PreTokenizer::Qwen2}) {
      std::string joined;
      for (const std::string &word : split(kind, text)) {
        EXPECT_TRUE(!word.empty() || kind == PreTokenizer::SmolLM);
        joined += word;
      }
      EXPECT_EQ(joined, text);
    }
  }
}

TEST(PreTokenizer, NamesRoundTrip) {
  for (PreTokenizer kind : {PreTokenizer::GPT2, PreTokenizer::SmolLM,
                            PreTokenizer::Llama3, PreTokenizer::Qwen2})
    EXPECT_EQ(parsePreTokenizer(stringifyPreTokenizer(kind)), kind);
  EXPECT_EQ(parsePreTokenizer("default"), std::nullopt);
}

TEST(Unicode, Classes) {
  for (uint32_t letter : {0x41u, 0x7Au, 0xE9u, 0x3A9u, 0x6F22u, 0x20000u})
    EXPECT_EQ(classify(letter), CharClass::Letter) << letter;
  for (uint32_t number : {0x30u, 0xBDu, 0x663u, 0x2167u})
    EXPECT_EQ(classify(number), CharClass::Number) << number;
  for (uint32_t space : {0x20u, 0x0Au, 0x85u, 0xA0u, 0x2028u, 0x3000u})
    EXPECT_EQ(classify(space), CharClass::Space) << space;
  for (uint32_t other : {0x21u, 0x301u, 0x200Bu, 0x1F642u, 0x10FFFFu})
    EXPECT_EQ(classify(other), CharClass::Other) << other;
}

TEST(Unicode, CharAtTakesValidSequencesOnly) {
  for (uint32_t code : {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u,
                        0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    appendUTF8(text, code);
    Char c = charAt(text, 0);
    EXPECT_TRUE(c.valid);
    EXPECT_EQ(c.codePoint, code);
    EXPECT_EQ(c.length, text.size());
  }
  for (llvm::StringRef bad :
       {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(charAt(bad, 0).valid);
    EXPECT_EQ(charAt(bad, 0).length, 1);
  }
}

TEST(Unicode, ByteAlphabetIsABijection) {
  for (uint32_t byte = 0; byte < 256; ++byte)
    EXPECT_EQ(byteOfCharacter(characterOfByte(byte)), byte);
  EXPECT_EQ(characterOfByte(' '), 0x120u); // Ġ
  EXPECT_EQ(characterOfByte('\n'), 0x10Au);
  EXPECT_EQ(characterOfByte(0xAD), 0x143u);
}
