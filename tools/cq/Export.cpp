//===- Export.cpp - cq export: other programs' files ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Export.h"
#include "ImportedModule.h"
#include "ModelFile.h"
#include "Verbs.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/OutputFolder.h"
#include "cq/Support/Progress.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

namespace {
enum class Target { Safetensors, CompressedTensors, GPTQ, GGUF, IREE };
} // namespace

static cl::SubCommand
    command("export",
            "Writes a folder made by cq quantize as a checkpoint of another "
            "form: codes and scales are kept, nothing is quantized again "
            "where the form can hold them");
static cl::OptionCategory options("export options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<folder made by cq quantize>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string> output("o", cl::Required, cl::value_desc("path"),
                                   cl::desc("A folder; with --to=gguf a file"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<Target> target(
    "to", cl::Required, cl::desc("The form:"),
    cl::values(
        clEnumValN(Target::Safetensors, "safetensors",
                   "our planes and quantization_config, cherries included "
                   "(docs/Export.md)"),
        clEnumValN(Target::CompressedTensors, "compressed-tensors",
                   "pack-quantized; no cherries"),
        clEnumValN(Target::GPTQ, "gptq", "2, 3, 4 and 8 bits; no cherries"),
        clEnumValN(Target::GGUF, "gguf",
                   "the smallest of ggml's types that is near enough, tensor "
                   "by tensor"),
        clEnumValN(Target::IREE, "iree",
                   "model.mlir and model.irpa for iree-compile and "
                   "iree-run-module (docs/Stacks.md)")),
    cl::sub(command), cl::cat(options));
static cl::opt<bool>
    dropCherries("drop-cherries",
                 cl::desc("Leave the precise weights out: they fall back to "
                          "their codes (the table shows the error)"),
                 cl::sub(command), cl::cat(options));
static cl::opt<double> tolerance(
    "tolerance", cl::init(0.03), cl::value_desc("error"),
    cl::desc("gguf: largest RMS error of a tensor, relative to its RMS, for "
             "which a smaller type is taken (default 0.03; 0: exact only)"),
    cl::sub(command), cl::cat(options));
static cl::list<std::string>
    functions("functions", cl::CommaSeparated, cl::value_desc("names"),
              cl::desc("iree: functions to keep (default forward_*,logits_*)"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool>
    kernels("kernels",
            cl::desc("iree: our own x86 kernels as object code, kernels.o; "
                     "give iree-compile the folder as "
                     "--iree-hal-executable-object-search-path"),
            cl::sub(command), cl::cat(options));
static cl::opt<std::string> targetCPU(
    "target-cpu", cl::value_desc("cpu"),
    cl::desc("iree: CPU of the kernels, in LLVM's names (default: this one)"),
    cl::sub(command), cl::cat(options));
static cl::opt<bool> all("all", cl::desc("A line for every tensor"),
                         cl::sub(command), cl::cat(options));
static cl::opt<bool> force("force", cl::desc("Replace what is there"),
                           cl::sub(command), cl::cat(options));

static llvm::Expected<ModelConfig> configOf(const llvm::json::Object &model) {
  ModelConfig config;
  config.architecture = model.getString("architecture").value_or("").str();
  config.name = model.getString("name").value_or("").str();
  for (auto [key, value] :
       {std::pair<llvm::StringRef, int64_t *>{"width", &config.width},
        {"hidden", &config.hidden},
        {"blocks", &config.blocks},
        {"heads", &config.heads},
        {"kv_heads", &config.kvHeads},
        {"head_dim", &config.headDim},
        {"vocabulary", &config.vocabulary},
        {"trained_context", &config.context}})
    *value = model.getInteger(key).value_or(0);
  config.tiedHead = model.getBoolean("tied_head").value_or(false);
  auto epsilon = model.getNumber("epsilon"),
       base = model.getNumber("rope_base");
  auto interleaved = model.getBoolean("interleaved_rope");
  if (!epsilon || !base || !interleaved)
    return fail(quoted(input) +
                " does not say all that a checkpoint needs (epsilon and "
                "rope_base in cq.model); it was made by an older cq: import "
                "and quantize the model again");
  config.epsilon = *epsilon;
  config.ropeBase = *base;
  config.interleavedRope = *interleaved;
  config.attentionBias = model.getBoolean("attention_bias").value_or(false);
  config.headNorms = model.getBoolean("head_norms").value_or(false);
  if (const llvm::json::Array *factors = model.getArray("rope_factors"))
    for (const llvm::json::Value &factor : *factors)
      config.ropeFactors.push_back(float(factor.getAsNumber().value_or(1)));
  if (llvm::Error error = config.check())
    return fail(quoted(input) + ": " + llvm::toString(std::move(error)));
  return config;
}

static void printTable(llvm::ArrayRef<ExportedTensor> tensors) {
  struct Line {
    int64_t count = 0, weights = 0, bytes = 0;
    double largest = 0;
  };
  llvm::MapVector<std::pair<llvm::StringRef, llvm::StringRef>, Line> lines;
  int64_t bytes = 0, weights = 0;
  for (const ExportedTensor &tensor : tensors) {
    if (all)
      llvm::outs() << llvm::formatv(
          "  {0,-44} {1,-34} -> {2,-22} error {3:e2}\n", tensor.name,
          tensor.from, tensor.to, tensor.error);
    Line &line = lines[{tensor.from, tensor.to}];
    ++line.count;
    line.weights += tensor.weights;
    line.bytes += tensor.bytes;
    line.largest = std::max(line.largest, tensor.error);
    bytes += tensor.bytes;
    weights += tensor.weights;
  }
  for (const auto &[types, line] : lines)
    llvm::outs() << llvm::formatv(
        "{0,-34} -> {1,-22} {2,4} tensors {3,10} {4,6:f3} bits each, error "
        "{5}\n",
        types.first, types.second, line.count, formatBytes(line.bytes),
        8.0 * line.bytes / line.weights,
        line.largest == 0
            ? std::string("none")
            : llvm::formatv("at most {0:f4}", line.largest).str());
  llvm::outs() << llvm::formatv("total {0}, {1:f3} bits per weight\n",
                                formatBytes(bytes), 8.0 * bytes / weights);
}

/// model.mlir in the generic form, which any LLVM reads, and its parameters.
static llvm::Error exportIREE() {
  auto module = tool::ImportedModule::open(inFolder(input, "model.mlir"));
  if (!module)
    return module.takeError();
  auto folder = OutputFolder::create(output, force);
  if (!folder)
    return folder.takeError();
  module->get().getContext()->allowUnregisteredDialects();
  std::string kept =
      functions.empty() ? "forward_*,logits_*" : llvm::join(functions, ",");
  tool::PipelineOptions text;
  text.add("parameters", module->archivePath());
  text.add("parameters-out", inFolder(folder->path(), "model.irpa"));
  if (kernels)
    text.add("kernels", inFolder(folder->path(), "kernels.o"));
  text.add("target-cpu", targetCPU);
  if (llvm::Error error = module->run("cq-keep-functions{functions=" + kept +
                                          "}," + text.of("cq-export-iree"),
                                      input + " could not be exported"))
    return error;
  std::string printed, names;
  llvm::raw_string_ostream os(printed);
  module->get().print(os, mlir::OpPrintingFlags().printGenericOpForm());
  if (llvm::Error error =
          writeFileAtomically(inFolder(folder->path(), "model.mlir"), printed))
    return error;
  int64_t count = 0;
  for (mlir::func::FuncOp function : module->get().getOps<mlir::func::FuncOp>())
    if (function.isPublic()) {
      names += (names.empty() ? "" : ", ") + function.getName().str();
      ++count;
    }
  if (count == 0)
    return fail("no public function of " + quoted(input) + " is named " + kept +
                "; choose others with --functions");
  auto archive = ParameterArchive::open(inFolder(folder->path(), "model.irpa"));
  if (!archive)
    return archive.takeError();
  int64_t bytes = 0;
  for (const ParameterInfo &info : (*archive)->parameters())
    bytes += static_cast<int64_t>(info.bytes.size());
  size_t tensors = (*archive)->parameters().size();
  archive->reset();
  if (llvm::Error error = folder->commit())
    return error;
  llvm::outs() << llvm::formatv(
      "functions {0}; {1} parameters, {2}\n"
      "iree-compile {3}{5} … -o model.vmfb; iree-run-module "
      "--parameters=model={4} …\n",
      names, tensors, formatBytes(bytes), inFolder(output, "model.mlir"),
      inFolder(output, "model.irpa"),
      kernels ? " --iree-hal-executable-object-search-path=" + output : "");
  return llvm::Error::success();
}

static llvm::Error run() {
  if (target == Target::IREE && !targetCPU.empty() && !kernels)
    return llvm::createStringError(
        "--target-cpu is the CPU of our own kernels; pass --kernels too, or "
        "give iree-compile --iree-llvmcpu-target-cpu");
  if (target == Target::IREE)
    return exportIREE();
  if (kernels || !targetCPU.empty() || !functions.empty())
    return llvm::createStringError(
        "--functions, --kernels and --target-cpu are for --to=iree");
  if (tolerance < 0)
    return llvm::createStringError("--tolerance is an error of at least 0");
  auto file = tool::ModelFile::open(input);
  if (!file)
    return file.takeError();
  auto plan = Plan::read(inFolder(input, "plan.json"));
  if (!plan)
    return plan.takeError();
  auto config = configOf(file->model);
  if (!config)
    return config.takeError();
  ExportInput model{*config, *file->archive, *plan, ""};
  if (std::string tokenizer = inFolder(input, "tokenizer.gguf");
      llvm::sys::fs::exists(tokenizer))
    model.tokenizer = tokenizer;
  ExportOptions choices;
  choices.dropCherries = dropCherries;
  choices.tolerance = tolerance;

  if (target == Target::GGUF) {
    if (llvm::sys::fs::exists(output) && !force)
      return llvm::createStringError(
          output + " exists already; choose another name or pass --force");
    auto tensors = exportGGUF(model, output, choices);
    if (!tensors)
      return tensors.takeError();
    printTable(*tensors);
    return llvm::Error::success();
  }
  auto folder = OutputFolder::create(output, force);
  if (!folder)
    return folder.takeError();
  CheckpointForm form = target == Target::GPTQ ? CheckpointForm::GPTQ
                        : target == Target::CompressedTensors
                            ? CheckpointForm::CompressedTensors
                            : CheckpointForm::CQ;
  auto tensors = exportCheckpoint(model, folder->path(), form, choices);
  if (!tensors)
    return tensors.takeError();
  if (llvm::Error error = folder->commit())
    return error;
  printTable(*tensors);
  if (!llvm::sys::fs::exists(inFolder(output, "tokenizer.json")))
    llvm::outs() << "tokenizer.json is not written: copy it from the model "
                    "this one was made from\n";
  return llvm::Error::success();
}

tool::Verb tool::exportVerb() { return {&command, &options, &run}; }
