//===- Quantize.cpp - cq quantize: module to artefact folder --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A thin main over the passes: `--print-pipeline` prints what cq-opt would be
// given. The folder is filled under a temporary name and renamed when whole.
//
//===----------------------------------------------------------------------===//

#include "Budget.h"
#include "StatisticsArguments.h"
#include "Verbs.h"
#include "cq/Import/ModelFolder.h"
#include "cq/Model/Parameters.h"
#include "cq/Solver/Plan.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/OutputFolder.h"
#include "cq/Support/Progress.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("quantize",
            "Decides how every weight is stored, packs the weights, "
            "writes a self-contained folder");
static cl::OptionCategory options("quantize options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module made by cq import>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    output("o", cl::value_desc("folder"),
           cl::desc("Where model.mlir, model.safetensors, plan.json and "
                    "tokenizer.gguf go"),
           cl::sub(command), cl::cat(options));
static cl::opt<bool> force("force", cl::desc("Replace an existing folder"),
                           cl::sub(command), cl::cat(options));
static cl::opt<bool> dryRun("dry-run",
                            cl::desc("Print the plan's sizes, write nothing"),
                            cl::sub(command), cl::cat(options));
static cl::opt<bool>
    printPipeline("print-pipeline",
                  cl::desc("Print the pass pipeline for cq-opt and stop"),
                  cl::sub(command), cl::cat(options));

// Options that go to the cq-quantize pipeline as they are; its own defaults
// hold for those that are not given.
static cl::opt<std::string>
    bits("bits", cl::desc("Bits of a weight's code: 2, 3, 4, 5, 6 or 8"),
         cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    groupSize("group-size",
              cl::desc("Columns that share a scale: 32, 64, 128 or row"),
              cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    grid("grid", cl::desc("Levels: symmetric, affine or half-step"),
         cl::sub(command), cl::cat(options));
static cl::opt<std::string> scale("scale",
                                  cl::desc("Type of scales: f16, bf16 or f32"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    outer("outer",
          cl::desc("Scheme of embeddings and the head, e.g. "
                   "b8-g64-symmetric-f16 (the default, but for a --size: then "
                   "decided like the others where --stats allows)"),
          cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    activations("activations", cl::init("int8"),
                cl::desc("How products read activations: int8 (default), or "
                         "f32 for accuracy"),
                cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    quantizer("quantizer",
              cl::desc("rtn (round to nearest), mse (scale search) or gptq "
                       "(error feedback); with --stats the best they allow"),
              cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    cherryForm("cherry-form",
               cl::desc("Weights kept precise: none, slot, element or column"),
               cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    cherryRatio("cherry-ratio",
                cl::desc("Their share, e.g. 0.00390625 (1/256)"),
                cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    cherries("cherries",
             cl::desc("What makes a cherry: magnitude, quant-error, "
                      "activation or impact"),
             cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    rows("rows", cl::value_desc("share:bits"),
         cl::desc("Rows of the largest impact that get more bits, e.g. 1/8:4 "
                  "(whole panels of 16 rows)"),
         cl::sub(command), cl::cat(options));
static cl::opt<std::string> keep("keep",
                                 cl::desc("Leave weights of matching names as "
                                          "they are (REGEX,REGEX…)"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    overrides("override",
              cl::desc("REGEX:SCHEME,… e.g. attn_v:b4-g64-symmetric-f16"),
              cl::sub(command), cl::cat(options));
static tool::StatisticsArguments statistics(command, options);
static cl::opt<bool>
    reuse("reuse",
          cl::desc("Keep quantized weights in the cache folder and take from "
                   "there what was made before from the same numbers and "
                   "statistics (sweeps over budgets; the bytes are the same)"),
          cl::sub(command), cl::cat(options));
static cl::opt<std::string> plan("plan", cl::value_desc("file"),
                                 cl::desc("Apply this plan instead of solving"),
                                 cl::sub(command), cl::cat(options));

static tool::BudgetOptions budget(command, options);

/// "cq-quantize{bits=3 …}" with the options that were given.
static llvm::Expected<std::string>
quantizePipeline(llvm::StringRef planOut, llvm::StringRef parameters,
                 llvm::StringRef parametersOut, llvm::StringRef stats) {
  if (budget.given())
    for (auto *option : {&bits, &groupSize, &grid, &scale, &quantizer,
                         &cherryForm, &cherryRatio, &cherries, &rows, &plan})
      if (!option->empty())
        return llvm::createStringError(
            "--" + option->ArgStr +
            " and a budget exclude each other; a budget decides among "
            "--choices");
  auto text = budget.pipelineOptions(parameters, stats, overrides);
  if (!text)
    return text.takeError();
  for (auto [name, value] :
       {std::pair<llvm::StringRef, llvm::StringRef>("bits", bits),
        {"group-size", groupSize},
        {"grid", grid},
        {"scale", scale},
        {"quantizer", quantizer},
        {"cherry-form", cherryForm},
        {"cherry-ratio", cherryRatio},
        {"cherries", cherries},
        {"rows", rows},
        {"outer", outer},
        {"activations", activations},
        {"keep", keep},
        {"stats", stats},
        {"plan", plan},
        {"plan-out", planOut},
        {"parameters", parameters},
        {"parameters-out", parametersOut},
        {"reuse", reuse ? "true" : ""},
        {"progress", parametersOut.empty() ? "" : "true"}})
    text->add(name, value);
  return text->of("cq-quantize");
}

static void printSummary(const Plan &plan) {
  struct Class {
    int64_t count = 0, weights = 0, bytes = 0;
  };
  llvm::StringMap<unsigned> index;
  llvm::SmallVector<std::pair<std::string, Class>> lines;
  for (const PlanEntry &entry : plan.entries) {
    std::string what = entry.keep ? "kept" : entry.scheme.str();
    // The share rounds differently in each weight; the width is what they
    // share.
    if (!entry.keep && entry.wide)
      what += " + rows at " + std::to_string(entry.wide.bits) + " bits";
    if (!entry.keep && entry.cherries.form != CherryForm::None)
      what += " + " + std::to_string(entry.cherries.count) + " " +
              stringifyCherryForm(entry.cherries.form).str() + " cherries";
    auto [it, inserted] = index.try_emplace(what, lines.size());
    if (inserted)
      lines.push_back({what, {}});
    Class &c = lines[it->second].second;
    ++c.count;
    c.weights += entry.n * entry.k;
    c.bytes += entry.keep ? 4 * entry.n * entry.k : entry.bytes();
  }
  for (const auto &[what, c] : lines)
    llvm::outs() << llvm::formatv(
        "  {0,-46} {1,4} tensors {2,13} weights {3,9}  {4:f3} bpw\n", what,
        c.count, formatCount(c.weights), formatBytes(c.bytes),
        8.0 * c.bytes / c.weights);
  // What did not simply follow the options, and why.
  for (const PlanEntry &entry : plan.entries)
    if (!llvm::StringRef(entry.reason).starts_with("uniform") &&
        entry.candidates.empty())
      llvm::outs() << "  " << entry.weight << ": "
                   << (entry.keep ? "kept" : entry.scheme.str()) << ", "
                   << entry.reason << '\n';
  if (plan.decision)
    llvm::outs() << llvm::formatv(
        "  solved ({0}) for {1} bytes, {2} spent; the reasons are in "
        "plan.json\n",
        plan.decision->method, formatCount(plan.decision->budget),
        formatCount(plan.decision->bytes));
  PlanTotals totals = plan.totals();
  llvm::outs() << llvm::formatv("payload {0}, {1:f3} bpw over {2} quantized "
                                "weights\n",
                                formatBytes(totals.bytes),
                                totals.bitsPerWeight(),
                                formatCount(totals.weights));
}

static int64_t fileSize(llvm::StringRef path) {
  uint64_t size = 0;
  return llvm::sys::fs::file_size(path, size) ? 0 : static_cast<int64_t>(size);
}

static llvm::Error quantizeInto(tool::ImportedModule &module,
                                llvm::StringRef folder) {
  std::string source = module.archivePath();
  if (source.empty())
    return llvm::createStringError(
        input + " does not say where its weights are (attribute "
                "cq.parameters); was it made by `cq import`? For modules with "
                "inline weights use cq-opt --cq-quantize");
  auto stats = statistics.find(input, source);
  if (!stats)
    return stats.takeError();
  if (budget.given() && stats->empty())
    tool::BudgetOptions::adviseStatistics();
  std::string planPath = inFolder(folder, "plan.json");
  auto pipeline = quantizePipeline(
      planPath, source, dryRun ? "" : inFolder(folder, "model.safetensors"),
      *stats);
  if (!pipeline)
    return pipeline.takeError();
  if (llvm::Error error =
          module.run(*pipeline, input + " could not be quantized"))
    return error;
  auto solved = Plan::read(planPath);
  if (!solved)
    return solved.takeError();
  printSummary(*solved);
  if (dryRun)
    return llvm::Error::success();
  if (llvm::Error error = writeModelFolder(module.get(), input, source, folder))
    return error;

  auto archive = ParameterArchive::open(source);
  if (!archive)
    return archive.takeError();
  int64_t weights = 0, before = 0;
  for (const ParameterInfo &parameter : (*archive)->parameters()) {
    weights += parameter.numElements();
    before += static_cast<int64_t>(parameter.bytes.size());
  }
  int64_t after = fileSize(inFolder(folder, "model.safetensors"));
  llvm::outs() << llvm::formatv(
      "total   {0} -> {1}, {2:f3} -> {3:f3} bits per weight over all {4} "
      "weights\n",
      formatBytes(before), formatBytes(after), 8.0 * before / weights,
      8.0 * after / weights, formatCount(weights));
  return llvm::Error::success();
}

static llvm::Error run() {
  if (llvm::Error error = statistics.check())
    return error;
  if (printPipeline) {
    auto pipeline =
        quantizePipeline("plan.json", "IN", "OUT", statistics.name());
    if (!pipeline)
      return pipeline.takeError();
    llvm::outs() << "builtin.module(" << *pipeline << ")\n";
    return llvm::Error::success();
  }
  if (output.empty() && !dryRun)
    return llvm::createStringError("give the output folder with -o");
  auto folder = OutputFolder::create(dryRun ? "" : output.getValue(), force,
                                     /*resumable=*/true);
  if (!folder)
    return folder.takeError();

  auto module = tool::ImportedModule::open(input);
  if (!module)
    return module.takeError();
  llvm::Error error = quantizeInto(*module, folder->path());
  return error || dryRun ? std::move(error) : folder->commit();
}

tool::Verb tool::quantizeVerb() { return {&command, &options, &run}; }
