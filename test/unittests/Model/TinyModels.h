//===- TinyModels.h - Small model files made in memory ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Written from the formats' descriptions, not with the library's own writers.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_UNITTESTS_MODEL_TINYMODELS_H
#define CQ_TEST_UNITTESTS_MODEL_TINYMODELS_H

#include "TestFiles.h"

namespace mlir::cq::test {

/// GGUF pieces.
namespace gguf {
enum Type : uint32_t {
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  F32,
  Bool,
  String,
  Array,
  U64,
  I64,
  F64
};
std::string str(llvm::StringRef text);
std::string pair(llvm::StringRef key, uint32_t type, const std::string &value);
std::string u32(llvm::StringRef key, uint32_t value);
std::string f32(llvm::StringRef key, float value);
std::string text(llvm::StringRef key, llvm::StringRef value);
std::string texts(llvm::StringRef key, const std::vector<std::string> &values);
/// `dims` in the file's order, fastest first.
std::string tensor(llvm::StringRef name, const std::vector<uint64_t> &dims,
                   uint32_t type, uint64_t offset);
/// Header, metadata, descriptions, padding to 32, data.
std::string file(uint64_t tensors, uint64_t pairs, const std::string &metadata,
                 const std::string &descriptions, const std::string &data = "",
                 uint32_t version = 3);
} // namespace gguf

/// One block, width 4, hidden 6, 2 heads, 1 key/value head, vocabulary 12, with
/// a byte-level tokenizer; all f32. `architecture` is llama, qwen2 (with
/// biases) or qwen3 (with norms of heads).
std::string tinyGGUF(llvm::StringRef architecture = "llama",
                     bool ropeFactors = false);
/// Header JSON and data. The length is that of `header`.
std::string safetensors(const std::string &header, const std::string &data);
/// Tensors of f32 zeros, laid out one after the other.
std::string safetensorsOf(
    const std::vector<std::pair<std::string, std::vector<int64_t>>> &tensors);
/// The tensors of the tiny model under Hugging Face's names.
std::vector<std::pair<std::string, std::vector<int64_t>>>
tinyHuggingFaceTensors(bool biases, bool head);
/// config.json of the tiny model; `more` is appended to the object.
std::string tinyConfig(llvm::StringRef type, const std::string &more = "");
/// The tiny model in llama2.c's form.
std::string tinyLlama2C(int version, bool ownHead = false);
/// 259 + `more` tokens.
std::string tinyTokenizerBin();
/// A byte-level tokenizer.json.
std::string tinyTokenizerJSON();

} // namespace mlir::cq::test

#endif // CQ_TEST_UNITTESTS_MODEL_TINYMODELS_H
