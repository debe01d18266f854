//===- Import.cpp - cq import: checkpoint to MLIR -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AsStored.h"
#include "Verbs.h"
#include "cq/Import/ModelFolder.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/OutputFolder.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand command(
    "import",
    "Reads a checkpoint (GGUF, safetensors + config.json, llama2.c) and "
    "writes MLIR that refers to its weights; of one that is quantized already "
    "(GPTQ, AWQ, compressed-tensors, cq) also a folder with its own codes");
static cl::OptionCategory options("import options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<checkpoint file or folder>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("file.mlir or folder"),
           cl::desc("Where the module goes; a quantized "
                    "checkpoint becomes a folder, "
                    "packed, where the name does not "
                    "end in .mlir"),
           cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    tokenizer("tokenizer", cl::value_desc("file"),
              cl::desc("Tokenizer, where the checkpoint holds none (llama2.c "
                       "tokenizer.bin, tokenizer.json, GGUF)"),
              cl::sub(command), cl::cat(options));
static cl::opt<int64_t> context(
    "context", cl::init(0), cl::value_desc("positions"),
    cl::desc("Room in the key/value caches (default: the trained context, "
             "at most 2048)"),
    cl::sub(command), cl::cat(options));

static cl::list<int64_t> chunks(
    "chunks", cl::CommaSeparated, cl::value_desc("M,..."),
    cl::desc("Tokens a call takes, one set of functions for each (default: "
             "1,8,64)"),
    cl::sub(command), cl::cat(options));
static cl::opt<int64_t>
    lossTokens("loss-tokens", cl::init(-1), cl::value_desc("T"),
               cl::desc("Tokens of @loss, which `cq calibrate` runs (default: "
                        "512, or the context where that is smaller; 0: none)"),
               cl::sub(command), cl::cat(options));
static cl::opt<bool> force("force", cl::desc("Replace an existing folder"),
                           cl::sub(command), cl::cat(options));

static llvm::Error run() {
  ImportFileOptions fileOptions;
  fileOptions.tokenizer = tokenizer;
  fileOptions.lossTokens = lossTokens;
  fileOptions.import.context = context;
  if (!chunks.empty())
    fileOptions.import.chunks.assign(chunks.begin(), chunks.end());
  bool isPacked = tool::isQuantizedCheckpoint(input);
  bool asFolder = isPacked && llvm::sys::path::extension(output) != ".mlir";
  auto folder = OutputFolder::create(asFolder ? output.getValue() : "", force);
  if (!folder)
    return folder.takeError();
  std::string modulePath =
      asFolder ? inFolder(folder->path(), "imported.mlir") : output.getValue();
  llvm::Expected<ModelSource> source =
      importToFile(input, modulePath, fileOptions);
  if (!source)
    return source.takeError();

  int64_t weights = 0, bytes = 0;
  for (const ParameterInfo &parameter : source->archive->parameters()) {
    weights += parameter.numElements();
    bytes += static_cast<int64_t>(parameter.bytes.size());
  }
  const ModelConfig &config = source->config;
  llvm::outs() << output << ": " << config.architecture << ", " << config.blocks
               << " blocks, width " << config.width << ", "
               << formatCount(weights) << " weights (" << formatBytes(bytes)
               << " in " << input << ")\n";
  if (asFolder) {
    if (llvm::Error error =
            tool::packAsStored(folder->path(), modulePath, input))
      return error;
    return folder->commit();
  }
  if (isPacked)
    llvm::outs() << "its weights are quantized and are decoded when they are "
                    "read; give a folder with -o to keep their codes\n";
  return llvm::Error::success();
}

tool::Verb tool::importVerb() { return {&command, &options, &run}; }
