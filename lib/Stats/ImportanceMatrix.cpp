//===- ImportanceMatrix.cpp - llama.cpp's importance matrices -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Stats/ImportanceMatrix.h"
#include "cq/Model/GGUF.h"
#include "cq/Model/ModelSource.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

namespace {
/// One entry of either form.
struct Entry {
  std::string weight;
  std::vector<float> values;
  double calls = 0; ///< tokens (GGUF) or chunks (legacy)
};
struct Matrix {
  std::vector<Entry> entries;
  std::vector<std::string> datasets;
  int64_t chunks = 0;
};

/// The next little-endian numbers of a file's bytes.
class Cursor {
public:
  explicit Cursor(StringRef bytes) : bytes(bytes) {}
  bool read(int32_t &value) {
    StringRef word;
    if (!take(4, word))
      return false;
    value = int32_t(llvm::support::endian::read32le(word.data()));
    return true;
  }
  bool take(uint64_t size, StringRef &run) {
    if (size > bytes.size())
      return false;
    run = bytes.take_front(size);
    bytes = bytes.drop_front(size);
    return true;
  }
  bool empty() const { return bytes.empty(); }

private:
  StringRef bytes;
};
} // namespace

static std::vector<float> floatsOf(StringRef bytes) {
  std::vector<float> values(bytes.size() / 4);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = llvm::bit_cast<float>(
        llvm::support::endian::read32le(bytes.data() + 4 * i));
  return values;
}

static llvm::Expected<Matrix> readLegacy(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  Cursor cursor((*buffer)->getBuffer());
  Matrix matrix;
  int32_t count;
  // The shortest entry: three numbers, a character and a value.
  if (!cursor.read(count) || count < 1 ||
      uint64_t(count) > (*buffer)->getBufferSize() / 17)
    return fail(quoted(path) + " is no importance matrix, neither GGUF nor " +
                "legacy; llama-imatrix writes one");
  for (int32_t i = 0; i < count; ++i) {
    int32_t length, calls, values;
    StringRef name, data;
    if (!cursor.read(length) || length < 1 || length > 4096 ||
        !cursor.take(length, name) || !cursor.read(calls) || calls < 1 ||
        !cursor.read(values) || values < 1 ||
        !cursor.take(4 * uint64_t(values), data))
      return fail(quoted(path) + " ends inside entry " + llvm::Twine(i) +
                  " of " + llvm::Twine(count) +
                  ", or is no importance matrix; make it again");
    matrix.entries.push_back({name.str(), floatsOf(data), double(calls)});
  }
  int32_t chunks = 0, length = 0;
  StringRef name;
  if (cursor.read(chunks)) {
    matrix.chunks = chunks;
    if (cursor.read(length) && length > 0 && cursor.take(length, name))
      matrix.datasets.push_back(name.str());
  }
  if (!cursor.empty())
    return fail(quoted(path) + " goes on after its last entry; it is damaged "
                               "or no importance matrix");
  return matrix;
}

static llvm::Expected<Matrix> readGGUF(StringRef path) {
  auto file = GGUFFile::open(path);
  if (!file)
    return file.takeError();
  Matrix matrix;
  StringRef type;
  std::vector<StringRef> datasets;
  if (Error error = (*file)->read("general.type", type))
    return std::move(error);
  if (Error error = (*file)->read("imatrix.datasets", datasets))
    return std::move(error);
  if (Error error = (*file)->read("imatrix.chunk_count", matrix.chunks))
    return std::move(error);
  matrix.datasets.assign(datasets.begin(), datasets.end());
  for (const ParameterInfo &info : (*file)->parameters()) {
    StringRef name = info.name;
    if (!name.consume_back(".in_sum2"))
      continue;
    std::string where = "entry " + quoted(name) + " of " + quoted(path);
    const ParameterInfo *counts = (*file)->find((name + ".counts").str());
    if (!counts || counts->type != DType::F32 || info.type != DType::F32)
      return fail(where + " has no F32 sums and counts; make it again with "
                          "llama-imatrix");
    if (counts->numElements() != 1)
      return fail(where + " has " + llvm::Twine(counts->numElements()) +
                  " matrices; mixtures of experts are not supported");
    matrix.entries.push_back(
        {name.str(), floatsOf(llvm::toStringRef(info.bytes)),
         double(floatsOf(llvm::toStringRef(counts->bytes)).front())});
  }
  if (matrix.entries.empty())
    return fail(quoted(path) + " holds no tensors named <weight>.in_sum2" +
                (type.empty() ? "" : ("; its type is " + quoted(type))) +
                ": it is no importance matrix");
  return matrix;
}

llvm::StringMap<std::string>
mlir::cq::weightNamesOf(const ModelSource &source) {
  llvm::StringMap<std::string> names;
  for (auto [i, block] : llvm::enumerate(source.blocks))
    for (auto [name, key] : {std::pair<StringRef, StringRef>("attn_q", block.q),
                             {"attn_k", block.k},
                             {"attn_v", block.v},
                             {"attn_output", block.o},
                             {"ffn_gate", block.gate},
                             {"ffn_up", block.up},
                             {"ffn_down", block.down}})
      names[("blk." + llvm::Twine(i) + "." + name + ".weight").str()] =
          key.str();
  names["token_embd.weight"] = source.embedding;
  names["output.weight"] = source.head;
  return names;
}

llvm::Expected<Statistics> mlir::cq::importImportanceMatrix(
    StringRef path, const ParameterArchive &model, int64_t chunkTokens,
    const llvm::StringMap<std::string> &names, unsigned threads) {
  if (chunkTokens <= 0)
    return fail("a chunk cannot have " + llvm::Twine(chunkTokens) +
                " tokens; llama-imatrix takes 512");
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  bool gguf = (*buffer)->getBuffer().starts_with("GGUF");
  std::string hash = hashBytes((*buffer)->getBuffer());
  buffer->reset();
  auto matrix = gguf ? readGGUF(path) : readLegacy(path);
  if (!matrix)
    return matrix.takeError();
  auto fingerprint = fingerprintModel(model, threads);
  if (!fingerprint)
    return fingerprint.takeError();

  Statistics result;
  result.provenance.model = fingerprint->model;
  result.provenance.options = "llama.cpp importance matrix";
  std::string text = llvm::join(matrix->datasets, ", ");
  // Its sequences cannot be told, so one file counts as one; the hash keeps it
  // from being added twice.
  result.provenance.data.push_back(
      {text.empty() ? llvm::sys::path::filename(path).str() : text, hash, 0,
       1});
  llvm::StringSet<> measured;
  for (Entry &entry : matrix->entries) {
    std::string where = "entry " + quoted(entry.weight) + " of " + quoted(path);
    auto name = names.find(entry.weight);
    if (name != names.end())
      entry.weight = name->second;
    const ParameterInfo *weight = model.find(entry.weight);
    if (!weight || weight->shape.size() != 2)
      return fail(where + " is no matrix of " + quoted(model.path()) +
                  "; it was made for another model");
    if (weight->shape[1] != int64_t(entry.values.size()))
      return fail(where + " has " + llvm::Twine(entry.values.size()) +
                  " values, the weight in " + quoted(model.path()) + " has " +
                  llvm::Twine(weight->shape[1]) +
                  " columns; it was made for another model");
    double tokens = entry.calls * (gguf ? 1 : double(chunkTokens));
    if (!(tokens >= 1 && tokens < 1e15))
      return fail(where + " counts " + llvm::formatv("{0}", tokens).str() +
                  " tokens; make it again with llama-imatrix");
    measured.insert(entry.weight);
    InputStatistics &input = result.inputs.emplace_back();
    input.weights = {entry.weight};
    input.k = int64_t(entry.values.size());
    input.tokens = std::llround(tokens);
    for (float value : entry.values)
      input.sumSquares.push_back(gguf ? double(value)
                                      : double(value) * double(chunkTokens));
  }
  for (Statistics::WeightHash &weight : fingerprint->weights)
    if (measured.contains(weight.weight))
      result.weightHashes.push_back(std::move(weight));
  if (Error error = result.check(path))
    return std::move(error);
  return result;
}
