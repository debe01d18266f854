//===- Report.cpp - cq report: one page of what is known -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Report/Report.h"
#include "ModelFile.h"
#include "Verbs.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;
namespace cl = llvm::cl;
using llvm::Error;

static cl::SubCommand
    command("report", R"(Writes one HTML page of what was measured and decided

  cq report small/ --stats=model.stats --model=model.mlir -o report.html
  cq report --stats=a.stats --stats=b.stats --model=model.mlir -o compare.html

  The page needs no network and no other file. What an input is missing for is
  left out: the folder shows bits and decisions, --stats impact and block
  scores, --model magnitudes and errors, a second --stats the overlap of cherries)");
static cl::OptionCategory options("report options");
static cl::opt<std::string> folder(cl::Positional, cl::Optional,
                                   cl::desc("<folder made by cq quantize>"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("file"),
                                   cl::desc("The page to write"),
                                   cl::sub(command), cl::cat(options));
static cl::list<std::string>
    statistics("stats", cl::value_desc("file"),
               cl::desc("Statistics of cq calibrate; a second file is compared "
                        "with the first"),
               cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    model("model", cl::value_desc("file"),
          cl::desc("The unquantized model: a module or a checkpoint"),
          cl::sub(command), cl::cat(options));
static cl::list<std::string>
    measured("measured", cl::CommaSeparated, cl::value_desc("BPW:KLD,..."),
             cl::desc("KL divergences that cq eval measured for plans of this "
                      "model, e.g. 2.85:0.71,3.25:0.40"),
             cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    weight("weight", cl::value_desc("regex"),
           cl::desc("The matrix whose weights are plotted (default: the one "
                    "of the highest heterogeneity)"),
           cl::sub(command), cl::cat(options));

/// Lines for the page's head.
static void describeModel(const llvm::json::Object &facts,
                          ReportInputs &inputs) {
  auto number = [&](llvm::StringRef key) {
    return facts.getInteger(key).value_or(0);
  };
  if (auto name = facts.getString("name"); name && !name->empty())
    inputs.title = name->str();
  if (number("blocks") == 0)
    return;
  inputs.facts.emplace_back(
      "Architecture",
      llvm::formatv("{0}, {1} blocks, width {2}, feed-forward {3}",
                    facts.getString("architecture").value_or("unknown"),
                    number("blocks"), number("width"), number("hidden")));
  inputs.facts.emplace_back(
      "Attention",
      llvm::formatv("{0} heads of {1}, {2} for keys and values",
                    number("heads"), number("head_dim"), number("kv_heads")));
  inputs.facts.emplace_back("Vocabulary", formatCount(number("vocabulary")));
}

static void describeArchive(llvm::StringRef name,
                            const ParameterArchive &archive,
                            ReportInputs &inputs) {
  int64_t bytes = 0;
  for (const ParameterInfo &info : archive.parameters())
    bytes += int64_t(info.bytes.size());
  inputs.facts.emplace_back(name,
                            llvm::sys::path::filename(archive.path()).str() +
                                ", " + formatBytes(bytes));
}

static Error readPlan(ReportInputs &inputs) {
  std::string path = inFolder(folder, "plan.json");
  auto text = llvm::MemoryBuffer::getFile(path);
  if (!text)
    return fail("cannot read " + quoted(path) + " (" +
                text.getError().message() +
                "); give a folder made by `cq quantize`");
  inputs.planPath = path;
  inputs.planText = (*text)->getBuffer().str();
  return Error::success();
}

static Error run() {
  if (output.empty())
    return fail("give the page to write with -o");
  if (folder.empty() && statistics.empty())
    return fail("there is nothing to report; give a folder made by `cq "
                "quantize`, or --stats=FILE");
  ReportInputs inputs;
  tool::ModelFile original, quantized;
  for (auto [path, file] :
       {std::pair(model.getValue(), &original), {folder, &quantized}}) {
    if (path.empty())
      continue;
    auto opened = tool::ModelFile::open(path);
    if (!opened)
      return opened.takeError();
    *file = std::move(*opened);
  }
  inputs.title = llvm::sys::path::stem(!model.empty()    ? model
                                       : !folder.empty() ? folder
                                                         : statistics.front())
                     .str();
  describeModel(original.archive ? original.model : quantized.model, inputs);
  if (original.archive) {
    inputs.model = original.archive.get();
    describeArchive("Checkpoint", *inputs.model, inputs);
  }
  if (quantized.archive) {
    inputs.quantized = quantized.archive.get();
    describeArchive("Quantized", *inputs.quantized, inputs);
    if (Error error = readPlan(inputs))
      return error;
  }
  std::vector<std::unique_ptr<StatisticsReader>> readers;
  for (const std::string &path : statistics) {
    auto reader = StatisticsReader::open(path);
    if (!reader)
      return reader.takeError();
    inputs.statistics.push_back(reader->get());
    readers.push_back(std::move(*reader));
  }
  inputs.scatterWeight = weight;
  for (llvm::StringRef text : measured) {
    auto [bits, divergence] = text.split(':');
    std::pair<double, double> point;
    if (bits.getAsDouble(point.first) || divergence.getAsDouble(point.second) ||
        !std::isfinite(point.first) || !std::isfinite(point.second))
      return fail("'" + text + "' is not of the form BPW:KLD, e.g. 3.25:0.4");
    inputs.measured.push_back(point);
  }
  auto report = collectReport(inputs);
  if (!report)
    return report.takeError();
  return writeFileAtomically(output, renderReport(*report));
}

tool::Verb tool::reportVerb() { return {&command, &options, &run}; }
