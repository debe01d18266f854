//===- Inspect.cpp - cq inspect: what is in a file -----------* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"
#include "cq/Model/ModelSource.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("inspect",
            "Shows what is in a checkpoint, an archive or a quantized folder: "
            "hyperparameters, tensors, types, exact bytes and bits per weight");
static cl::OptionCategory options("inspect options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<file or folder>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<bool> tensors("tensors", cl::desc("One line a tensor"),
                             cl::sub(command), cl::cat(options));
static cl::opt<bool>
    digests("digests",
            cl::desc("One line a tensor: SHA-256 of its values as "
                     "little-endian f32, name (compares tensors of two files, "
                     "whatever their types)"),
            cl::sub(command), cl::cat(options));

/// A weight and its planes: `w:codes`, `w:scales` … belong to `w`.
struct Weight {
  llvm::StringRef type;
  std::string shape;
  int64_t elements =
      0; ///< 0 for a packed weight, whose shape planes don't show
  int64_t bytes = 0;
};

static std::string shapeText(llvm::ArrayRef<int64_t> shape) {
  std::string text;
  for (int64_t extent : shape)
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text.empty() ? "scalar" : text;
}

static llvm::MapVector<llvm::StringRef, Weight>
collectWeights(const ParameterArchive &archive) {
  llvm::MapVector<llvm::StringRef, Weight> weights;
  for (const ParameterInfo &info : archive.parameters()) {
    auto [name, plane] = llvm::StringRef(info.name).split(':');
    Weight &weight = weights[name];
    weight.bytes += static_cast<int64_t>(info.bytes.size());
    if (!plane.empty()) {
      weight.type = "packed";
      continue;
    }
    weight.type = stringifyDType(info.type);
    weight.shape = shapeText(info.shape);
    weight.elements = info.numElements();
  }
  return weights;
}

static void printConfig(const ModelConfig &config) {
  llvm::outs() << "architecture  " << config.architecture << '\n'
               << "blocks        " << config.blocks << '\n'
               << "width         " << config.width << ", feed-forward "
               << config.hidden << '\n'
               << "heads         " << config.heads << " (" << config.kvHeads
               << " key/value), " << config.headDim << " wide\n"
               << "vocabulary    " << formatCount(config.vocabulary)
               << (config.tiedHead ? ", head tied to the embedding\n" : "\n")
               << "context       " << formatCount(config.context) << '\n'
               << "rope          base "
               << llvm::formatv("{0:f0}", config.ropeBase)
               << (config.interleavedRope ? ", interleaved" : ", half-split")
               << (config.ropeScaling ? ", Llama 3 scaling\n" : "\n");
}

static void printArchive(const ParameterArchive &archive) {
  llvm::MapVector<llvm::StringRef, Weight> weights = collectWeights(archive);
  struct Total {
    int64_t count = 0, elements = 0, bytes = 0;
  };
  llvm::MapVector<llvm::StringRef, Total> byType;
  Total all;
  for (const auto &[name, weight] : weights) {
    Total &total = byType[weight.type];
    for (Total *t : {&total, &all}) {
      ++t->count;
      t->elements += weight.elements;
      t->bytes += weight.bytes;
    }
    if (tensors)
      llvm::outs() << llvm::formatv("{0,-40} {1,8} {2,14} {3,12}\n", name,
                                    weight.type, weight.shape,
                                    formatBytes(weight.bytes));
  }
  auto line = [](llvm::StringRef type, const Total &total) {
    llvm::outs() << llvm::formatv("{0,-8} {1,5} tensors {2,12}", type,
                                  total.count, formatBytes(total.bytes));
    if (total.elements > 0)
      llvm::outs() << llvm::formatv("  {0,13} elements  {1:f3} bits each",
                                    formatCount(total.elements),
                                    8.0 * total.bytes / total.elements);
    llvm::outs() << '\n';
  };
  for (const auto &[type, total] : byType)
    line(type, total);
  if (byType.size() > 1) {
    // Shapes of packed weights are not in the archive, so no average over them.
    if (byType.count("packed"))
      all.elements = 0;
    line("all", all);
  }
}

static llvm::Error printDigests(const ParameterArchive &archive) {
  std::vector<float> values;
  for (const ParameterInfo &info : archive.parameters()) {
    values.resize(info.numElements());
    if (llvm::Error error = ParameterArchive::readAsF32(info, values.data()))
      return error;
    llvm::ArrayRef<uint8_t> bytes(
        reinterpret_cast<const uint8_t *>(values.data()),
        values.size() * sizeof(float));
    llvm::outs() << llvm::toHex(llvm::SHA256::hash(bytes), /*LowerCase=*/true)
                 << "  " << info.name << '\n';
  }
  return llvm::Error::success();
}

static llvm::Error run() {
  llvm::SmallString<128> path(input);
  if (llvm::sys::fs::is_directory(path)) {
    llvm::SmallString<128> parameters(path);
    llvm::sys::path::append(parameters, "model.safetensors");
    llvm::SmallString<128> plan(path);
    llvm::sys::path::append(plan, "plan.json");
    if (llvm::sys::fs::exists(plan)) {
      llvm::outs() << "folder made by cq quantize; the decisions are in "
                   << plan << '\n';
      path = parameters;
    }
  }
  if (digests) {
    auto archive = ParameterArchive::open(path);
    return archive ? printDigests(**archive) : archive.takeError();
  }
  // A checkpoint with a config says more; a bare archive is shown as it is.
  llvm::Expected<ModelSource> source = ModelSource::open(path);
  if (source) {
    printConfig(source->config);
    if (source->tokenizer)
      llvm::outs() << "tokenizer     "
                   << formatCount(source->tokenizer->vocabularySize())
                   << " tokens\n";
    printArchive(*source->archive);
    return llvm::Error::success();
  }
  llvm::Error whyNoModel = source.takeError();
  auto archive = ParameterArchive::open(path);
  if (!archive) {
    llvm::consumeError(std::move(whyNoModel));
    return archive.takeError();
  }
  llvm::consumeError(std::move(whyNoModel));
  printArchive(**archive);
  return llvm::Error::success();
}

tool::Verb tool::inspectVerb() { return {&command, &options, &run}; }
