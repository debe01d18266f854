//===- ModelSource.cpp - Opening a checkpoint for import ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/ModelSource.h"
#include "FileFormat.h"
#include "ModelConfigReaders.h"
#include "TensorNames.h"
#include "cq/Model/Safetensors.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static bool isFloat(DType type) {
  switch (type) {
  case DType::F64:
  case DType::I8:
  case DType::U8:
  case DType::I16:
  case DType::U16:
  case DType::I32:
  case DType::I64:
  case DType::Bool:
    return type == DType::F64;
  default:
    return true;
  }
}

/// The tensor `name` must exist with this shape and hold floats.
static Error expect(const ParameterArchive &archive, StringRef name,
                    llvm::ArrayRef<int64_t> shape, llvm::StringSet<> &used) {
  const ParameterInfo *info = archive.find(name);
  std::string where = "tensor " + quoted(name);
  if (!info)
    return fail(where + " is missing in " + quoted(archive.path()) +
                "; the file is incomplete or no Llama-family model");
  if (llvm::ArrayRef<int64_t>(info->shape) != shape)
    return fail(where + " of " + quoted(archive.path()) + " has the shape " +
                printShape(info->shape) + ", but the configuration asks for " +
                printShape(shape));
  if (!isFloat(info->type))
    return fail(where + " of " + quoted(archive.path()) + " has the type " +
                stringifyDType(info->type) + ", which holds no weights");
  used.insert(name);
  return Error::success();
}

/// Tensors that say nothing beyond the configuration.
static bool isIgnorable(StringRef name) {
  return name == "rope_freqs.weight" || name.ends_with("rotary_emb.inv_freq") ||
         name.ends_with("attn_rot_embd.weight");
}

static Error assignRoles(ModelSource &source, const TensorNames &names) {
  const ModelConfig &c = source.config;
  const ParameterArchive &archive = *source.archive;
  llvm::StringSet<> used;
  source.embedding = names.embedding;
  source.finalNorm = names.finalNorm;
  source.head = c.tiedHead ? names.embedding : names.head;
  if (Error error =
          expect(archive, source.embedding, {c.vocabulary, c.width}, used))
    return error;
  if (Error error = expect(archive, source.finalNorm, {c.width}, used))
    return error;
  if (Error error = expect(archive, source.head, {c.vocabulary, c.width}, used))
    return error;
  used.insert(names.head); // a tied model may carry a second copy

  int64_t q = c.heads * c.headDim, kv = c.kvHeads * c.headDim;
  for (int64_t i = 0; i < c.blocks; ++i) {
    std::string prefix = (names.blockPrefix + llvm::Twine(i) + ".").str();
    BlockTensors block;
    struct Role {
      std::string *name;
      const char *suffix;
      llvm::SmallVector<int64_t, 2> shape;
    };
    llvm::SmallVector<Role, 12> roles = {
        {&block.attentionNorm, names.attentionNorm, {c.width}},
        {&block.q, names.q, {q, c.width}},
        {&block.k, names.k, {kv, c.width}},
        {&block.v, names.v, {kv, c.width}},
        {&block.o, names.o, {c.width, q}},
        {&block.mlpNorm, names.mlpNorm, {c.width}},
        {&block.gate, names.gate, {c.hidden, c.width}},
        {&block.up, names.up, {c.hidden, c.width}},
        {&block.down, names.down, {c.width, c.hidden}}};
    if (c.attentionBias) {
      roles.push_back({&block.qBias, names.qBias, {q}});
      roles.push_back({&block.kBias, names.kBias, {kv}});
      roles.push_back({&block.vBias, names.vBias, {kv}});
    }
    if (c.headNorms) {
      roles.push_back({&block.qNorm, names.qNorm, {c.headDim}});
      roles.push_back({&block.kNorm, names.kNorm, {c.headDim}});
    }
    for (const Role &role : roles) {
      *role.name = prefix + role.suffix;
      if (Error error = expect(archive, *role.name, role.shape, used))
        return error;
    }
    source.blocks.push_back(std::move(block));
  }
  // A tensor without a role means a model that computes something else.
  for (const ParameterInfo &info : archive.parameters())
    if (!used.contains(info.name) && !isIgnorable(info.name))
      return fail("tensor " + quoted(info.name) + " of " +
                  quoted(archive.path()) + " has no place in a " +
                  c.architecture + " model of " + llvm::Twine(c.blocks) +
                  " blocks; this variant is not known");
  return Error::success();
}

/// Opens the tokenizer that lies beside or in the model file. One that cannot
/// be read does not stop an import that needs no text; the note says why.
static Error findTokenizer(ModelSource &source, const LocatedFile &file,
                           StringRef tokenizerPath) {
  llvm::SmallVector<std::string, 2> candidates;
  auto beside = [&](const llvm::Twine &name) {
    llvm::SmallString<256> path(llvm::sys::path::parent_path(file.path));
    llvm::sys::path::append(path, name);
    if (llvm::sys::fs::exists(path))
      candidates.push_back(path.str().str());
  };
  if (!tokenizerPath.empty()) {
    candidates.push_back(tokenizerPath.str());
  } else if (file.format == FileFormat::GGUF) {
    candidates.push_back(file.path);
  } else if (file.format == FileFormat::Llama2C) {
    beside(llvm::sys::path::stem(file.path) + ".tokenizer.bin");
    beside("tokenizer.bin");
  } else {
    beside("tokenizer.gguf"); // cq export writes both: this one is exact
    beside("tokenizer.json");
  }
  source.tokenizerNote = "no tokenizer lies beside " + quoted(file.path) +
                         "; name one with --tokenizer";
  if (candidates.empty())
    return Error::success();
  auto tokenizer = Tokenizer::open(candidates.front());
  Error error = tokenizer.takeError();
  if (!error && (*tokenizer)->vocabularySize() > source.config.vocabulary)
    error = fail("the tokenizer " + quoted(candidates.front()) + " has " +
                 llvm::Twine((*tokenizer)->vocabularySize()) +
                 " tokens, more than the vocabulary " +
                 llvm::Twine(source.config.vocabulary) + " of " +
                 quoted(file.path));
  if (!error) {
    source.tokenizer = std::move(*tokenizer);
    source.tokenizerNote.clear();
    return Error::success();
  }
  if (!tokenizerPath.empty())
    return error;
  source.tokenizerNote = llvm::toString(std::move(error));
  return Error::success();
}

/// Sets config and archive.
static Error openWeights(ModelSource &source, const LocatedFile &file) {
  switch (file.format) {
  case FileFormat::GGUF: {
    auto gguf = GGUFFile::open(file.path);
    if (!gguf)
      return gguf.takeError();
    auto config = readGGUFConfig(**gguf);
    if (!config)
      return config.takeError();
    source.config = std::move(*config);
    source.archive = std::move(*gguf);
    return Error::success();
  }
  case FileFormat::Llama2C: {
    auto checkpoint = Llama2CFile::open(file.path);
    if (!checkpoint)
      return checkpoint.takeError();
    source.config = readLlama2CConfig(**checkpoint);
    source.config.name = llvm::sys::path::stem(file.path).str();
    source.archive = std::move(*checkpoint);
    return Error::success();
  }
  case FileFormat::Safetensors:
  case FileFormat::SafetensorsIndex: {
    auto archive = ParameterArchive::open(file.path);
    if (!archive)
      return archive.takeError();
    llvm::SmallString<256> path(llvm::sys::path::parent_path(file.path));
    llvm::sys::path::append(path, "config.json");
    auto config = readHuggingFaceConfig(path, **archive);
    if (!config)
      return config.takeError();
    source.config = std::move(*config);
    source.archive = std::move(*archive);
    return Error::success();
  }
  case FileFormat::IRPA:
    return fail(quoted(file.path) +
                " holds parameters without a model's configuration; give the "
                "module that names them (cq-opt, parameters=FILE)");
  }
  llvm_unreachable("all formats are handled");
}

llvm::Expected<ModelSource> ModelSource::open(StringRef path,
                                              StringRef tokenizerPath) {
  auto file = locateModelFile(path);
  if (!file)
    return file.takeError();
  ModelSource source;
  if (Error error = openWeights(source, *file))
    return std::move(error);
  if (Error error = source.config.check())
    return fail(quoted(path) + ": " + llvm::toString(std::move(error)));
  bool huggingFace = file->format == FileFormat::Safetensors ||
                     file->format == FileFormat::SafetensorsIndex;
  if (Error error =
          assignRoles(source, huggingFace ? huggingFaceNames : ggufNames))
    return std::move(error);
  if (Error error = findTokenizer(source, *file, tokenizerPath))
    return std::move(error);
  return std::move(source);
}
