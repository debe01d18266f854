//===- FileHeader.cpp - The description in a statistics file --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileHeader.h"
#include "Checks.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/xxhash.h"
#include <cmath>

using namespace mlir::cq;
using llvm::StringRef;
namespace json = llvm::json;

// Writing.

static json::Value textValue(StringRef text) { return json::fixUTF8(text); }

std::string FileHeader::print() const {
  const Provenance &from = facts.provenance;
  std::string text;
  llvm::raw_string_ostream os(text);
  json::OStream out(os);
  out.objectBegin();
  out.attribute("version", Statistics::version);
  out.attribute("model", textValue(from.model));
  out.attribute("tokenizer", textValue(from.tokenizer));
  out.attribute("options", textValue(from.options));
  out.attributeArray("data", [&] {
    for (const Provenance::Data &data : from.data)
      out.value(json::Object{{"name", textValue(data.name)},
                             {"hash", textValue(data.hash)},
                             {"first", data.first},
                             {"sequences", data.sequences}});
  });
  out.attribute("fisher", stringifyFisherKind(facts.fisherKind));
  if (share > 0)
    out.attribute("share", share);
  out.attributeArray("inputs", [&] {
    for (auto [input, part] : llvm::zip(facts.inputs, parts)) {
      json::Array weights;
      for (const std::string &weight : input.weights)
        weights.push_back(textValue(weight));
      out.value(json::Object{{"weights", std::move(weights)},
                             {"k", input.k},
                             {"tokens", input.tokens},
                             {"magnitudes", part.magnitudes},
                             {"gram", part.gram}});
    }
  });
  out.attributeArray("fishers", [&] {
    for (auto [i, fisher] : llvm::enumerate(facts.fishers)) {
      json::Object object{{"weight", textValue(fisher.weight)},
                          {"n", fisher.n},
                          {"k", fisher.k},
                          {"sequences", fisher.sequences}};
      if (share > 0)
        object["kept"] = kept[i];
      out.value(std::move(object));
    }
  });
  out.attributeArray("blocks", [&] {
    for (const BlockStatistics &block : facts.blocks)
      out.value(json::Object{{"block", block.block},
                             {"tokens", block.tokens},
                             {"zd", block.zScore},
                             {"zd_two_sided", block.zScoreTwoSided}});
  });
  if (facts.lossTokens > 0) {
    out.attribute("loss", facts.sumLoss);
    out.attribute("loss_tokens", facts.lossTokens);
  }
  out.attributeArray("weights", [&] {
    for (const Statistics::WeightHash &weight : facts.weightHashes)
      out.value(json::Object{{"weight", textValue(weight.weight)},
                             {"hash", textValue(weight.hash)},
                             {"n", weight.n},
                             {"k", weight.k}});
  });
  out.objectEnd();
  return text;
}

// Reading: one fromJSON a kind of entry, found by ObjectMapper.

namespace {
struct InputEntry {
  InputStatistics facts;
  FileHeader::Parts parts;
};
struct FisherEntry {
  FisherStatistics facts;
  int64_t kept = 0;
};
} // namespace

namespace mlir::cq {
static bool fromJSON(const json::Value &value, Provenance::Data &data,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("name", data.name) && map.map("hash", data.hash) &&
         map.map("first", data.first) && map.map("sequences", data.sequences);
}
static bool fromJSON(const json::Value &value, BlockStatistics &block,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("block", block.block) &&
         map.map("tokens", block.tokens) &&
         map.mapOptional("zd", block.zScore) &&
         map.mapOptional("zd_two_sided", block.zScoreTwoSided);
}
static bool fromJSON(const json::Value &value, Statistics::WeightHash &weight,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("weight", weight.weight) &&
         map.map("hash", weight.hash) && map.map("n", weight.n) &&
         map.map("k", weight.k);
}
} // namespace mlir::cq

namespace { // for lookup by argument
bool fromJSON(const json::Value &value, InputEntry &input, json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("weights", input.facts.weights) &&
         map.map("k", input.facts.k) && map.map("tokens", input.facts.tokens) &&
         map.map("magnitudes", input.parts.magnitudes) &&
         map.map("gram", input.parts.gram);
}

bool fromJSON(const json::Value &value, FisherEntry &fisher, json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("weight", fisher.facts.weight) &&
         map.map("n", fisher.facts.n) && map.map("k", fisher.facts.k) &&
         map.map("sequences", fisher.facts.sequences) &&
         map.mapOptional("kept", fisher.kept);
}
} // namespace

llvm::Expected<FileHeader> FileHeader::parse(StringRef text, StringRef origin) {
  auto value = parseBoundedJSON(text, origin);
  if (!value)
    return value.takeError();
  json::Path::Root root(headerKey);
  json::ObjectMapper map(*value, root);
  int64_t version = 0;
  if (!map || !map.map("version", version))
    return fail("the description in " + quoted(origin) + " is damaged: " +
                llvm::toString(root.getError()) + "; calibrate again");
  if (version != Statistics::version)
    return fail(quoted(origin) + " has version " + llvm::Twine(version) +
                " of the statistics format where this cq reads version " +
                llvm::Twine(Statistics::version) +
                "; use the cq that wrote it, or calibrate again");
  FileHeader header;
  Statistics &facts = header.facts;
  std::string kind;
  std::vector<InputEntry> inputs;
  std::vector<FisherEntry> fishers;
  if (!map.map("model", facts.provenance.model) ||
      !map.map("tokenizer", facts.provenance.tokenizer) ||
      !map.map("options", facts.provenance.options) ||
      !map.map("data", facts.provenance.data) || !map.map("fisher", kind) ||
      !map.mapOptional("share", header.share) || !map.map("inputs", inputs) ||
      !map.map("fishers", fishers) || !map.map("blocks", facts.blocks) ||
      !map.mapOptional("loss", facts.sumLoss) ||
      !map.mapOptional("loss_tokens", facts.lossTokens) ||
      !map.map("weights", facts.weightHashes))
    return fail("the description in " + quoted(origin) + " is damaged: " +
                llvm::toString(root.getError()) + "; calibrate again");
  std::optional<FisherKind> fisherKind = parseFisherKind(kind);
  if (!fisherKind)
    return fail(quoted(origin) + " has Fisher matrices of the unknown kind " +
                quoted(kind) + "; the kinds are none, sequence and token");
  facts.fisherKind = *fisherKind;
  if (!(header.share >= 0 && header.share <= 1))
    return fail("the share of kept values in " + quoted(origin) +
                " is not within 0 and 1; export it again");
  for (InputEntry &input : inputs) {
    facts.inputs.push_back(std::move(input.facts));
    header.parts.push_back(input.parts);
  }
  for (FisherEntry &fisher : fishers) {
    facts.fishers.push_back(std::move(fisher.facts));
    header.kept.push_back(fisher.kept);
  }
  if (llvm::Error error = checkCounts(facts, origin))
    return std::move(error);
  for (auto [fisher, kept] : llvm::zip(facts.fishers, header.kept))
    if (header.share > 0 && (kept <= 0 || kept > fisher.n * fisher.k))
      return fail("the compact Fisher matrix of weight " +
                  quoted(fisher.weight) + " in " + quoted(origin) + " keeps " +
                  llvm::Twine(kept) + " values; export it again");
  return header;
}

// Tensors.

std::vector<FileTensor> mlir::cq::layoutOf(const FileHeader &header) {
  std::vector<FileTensor> tensors;
  auto add = [&](FilePart part, size_t index, const llvm::Twine &name,
                 DType type, llvm::ArrayRef<int64_t> shape) {
    tensors.push_back(
        {part, index, {name.str(), type, {shape.begin(), shape.end()}}});
  };
  for (auto [i, input] : llvm::enumerate(header.facts.inputs)) {
    const std::string &name = input.weights.front();
    int64_t k = input.k;
    add(FilePart::SumSquares, i, name + ":sum_squares", DType::F64, k);
    if (header.parts[i].magnitudes) {
      add(FilePart::SumMagnitudes, i, name + ":sum_magnitudes", DType::F64, k);
      add(FilePart::MaxMagnitude, i, name + ":max_magnitude", DType::F32, k);
    }
    if (header.parts[i].gram)
      add(FilePart::Gram, i, name + ":gram", DType::F64, k * (k + 1) / 2);
  }
  for (auto [i, fisher] : llvm::enumerate(header.facts.fishers)) {
    const std::string &name = fisher.weight;
    if (header.share == 0) {
      add(FilePart::Fisher, i, name + ":fisher", DType::F64,
          {fisher.n, fisher.k});
      continue;
    }
    int64_t kept = header.kept[i];
    add(FilePart::FisherRows, i, name + ":fisher_rows", DType::F64, fisher.n);
    add(FilePart::FisherColumns, i, name + ":fisher_columns", DType::F64,
        fisher.k);
    add(FilePart::FisherPositions, i, name + ":fisher_positions", DType::I64,
        kept);
    add(FilePart::FisherValues, i, name + ":fisher_values", DType::F32, kept);
  }
  if (!header.facts.blocks.empty())
    add(FilePart::Blocks, 0, "blocks", DType::F64,
        {int64_t(header.facts.blocks.size()), 4});
  return tensors;
}

uint64_t mlir::cq::checksumOfPieces(llvm::ArrayRef<uint64_t> pieces) {
  std::vector<uint8_t> bytes(8 * pieces.size());
  for (auto [i, piece] : llvm::enumerate(pieces))
    llvm::support::endian::write64le(bytes.data() + 8 * i, piece);
  return llvm::xxh3_64bits(bytes);
}

uint64_t mlir::cq::checksum(llvm::ArrayRef<uint8_t> bytes) {
  std::vector<uint64_t> pieces;
  for (; !bytes.empty();
       bytes = bytes.drop_front(std::min(bytes.size(), checksumPiece)))
    pieces.push_back(llvm::xxh3_64bits(bytes.take_front(checksumPiece)));
  return checksumOfPieces(pieces);
}

bool mlir::cq::hasChecksum(llvm::ArrayRef<uint8_t> bytes, uint64_t expected) {
#ifdef CQ_FUZZING
  return true;
#else
  return checksum(bytes) == expected;
#endif
}
