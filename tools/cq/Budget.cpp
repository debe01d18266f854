//===- Budget.cpp - Options of verbs that spend a budget -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Budget.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Solver/Measurements.h"
#include "cq/Support/CacheFile.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

tool::BudgetOptions::BudgetOptions(cl::SubCommand &command,
                                   cl::OptionCategory &category)
    : bpw("bpw",
          cl::desc("Budget in bits per weight of the linear layers, scales, "
                   "cherries and padding included, e.g. 3.25: measures what "
                   "each way to store each weight costs and solves for the "
                   "best"),
          cl::sub(command), cl::cat(category)),
      size("size",
           cl::desc(
               "Budget in bytes of the whole archive, e.g. 60MB; decides on "
               "the head too where --stats has its Fisher sums"),
           cl::sub(command), cl::cat(category)),
      losses("losses", cl::value_desc("file"),
             cl::desc("Measurement file to use and to go on with (default: one "
                      "in the cache folder)"),
             cl::sub(command), cl::cat(category)),
      loss(
          "loss",
          cl::desc("What is measured: weight (no data needed), output, fisher; "
                   "default: fisher where --stats has Gram matrices and Fisher "
                   "sums, else weight"),
          cl::sub(command), cl::cat(category)),
      choices("choices",
              cl::desc("Ways to store a weight, "
                       "SCHEME[/QUANTIZER][/FORM COUNT-CRITERION],… e.g. "
                       "b3-g128/gptq,b4-g64/gptq/slot1-impact"),
              cl::sub(command), cl::cat(category)),
      rowRatios("row-ratios",
                cl::desc("Shares of rows to store wider, SHARE[:BITS],… e.g. "
                         "1/8,1/4,1/2 (one width up): further ways to store a "
                         "weight of up to 4 bits (default: 1/2; none)"),
                cl::sub(command), cl::cat(category)),
      method(
          "method",
          cl::desc("exact (default), bound, greedy, uniform, lim, zd, index, "
                   "reverse or random"),
          cl::sub(command), cl::cat(category)),
      seed("seed", cl::desc("For --method=random"), cl::sub(command),
           cl::cat(category)),
      low("low",
          cl::desc("Choice of less important blocks (two-level methods)"),
          cl::sub(command), cl::cat(category)),
      high("high", cl::desc("Choice of more important blocks"),
           cl::sub(command), cl::cat(category)),
      tie("tie",
          cl::desc("fused: weights that multiply one input (q, k, v; gate, up) "
                   "share a choice; default none"),
          cl::sub(command), cl::cat(category)),
      floors("floor", cl::desc("REGEX:BITS,… at least"), cl::sub(command),
             cl::cat(category)),
      ceilings("ceiling", cl::desc("REGEX:BITS,… at most"), cl::sub(command),
               cl::cat(category)),
      overrideFile("override-file", cl::value_desc("file"),
                   cl::desc("More overrides, one a line; # starts a comment"),
                   cl::sub(command), cl::cat(category)),
      noInteractions("no-interactions",
                     cl::desc("Leave interactions of a block's layers out"),
                     cl::sub(command), cl::cat(category)) {}

void tool::BudgetOptions::adviseStatistics() {
  llvm::errs() << "note: without data all that is known of a weight is its "
                  "numbers; --calibrate (or --text=FILE) measures the model "
                  "first, and the same bytes are spent far better\n";
}

std::string tool::BudgetOptions::lossesPath(llvm::StringRef archive,
                                            llvm::StringRef stats) const {
  if (!losses.empty())
    return losses;
  llvm::SmallString<128> path(cacheFolder());
  llvm::sys::path::append(path, "losses");
  (void)llvm::sys::fs::create_directories(path);
  llvm::sys::path::append(
      path,
      hashKey({fileIdentity(archive), fileIdentity(stats), loss}) + ".jsonl");
  return path.str().str();
}

static llvm::Expected<std::string> readOverrides(llvm::StringRef path,
                                                 llvm::StringRef others) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError("cannot read the overrides " + path + ": " +
                                   file.getError().message());
  llvm::SmallVector<llvm::StringRef> lines, list;
  (*file)->getBuffer().split(lines, '\n');
  if (!others.empty())
    list.push_back(others); // the command line is matched first
  for (llvm::StringRef line : lines)
    if (llvm::StringRef text = line.split('#').first.trim(); !text.empty())
      list.push_back(text);
  return llvm::join(list, ",");
}

llvm::Expected<tool::PipelineOptions>
tool::BudgetOptions::pipelineOptions(llvm::StringRef archive,
                                     llvm::StringRef stats,
                                     llvm::StringRef overrides) const {
  std::string joined = overrides.str();
  if (!overrideFile.empty()) {
    auto read = readOverrides(overrideFile, overrides);
    if (!read)
      return read.takeError();
    joined = *read;
  }
  PipelineOptions options;
  options.add("override", joined);
  if (!given())
    return options;
  options.add("bpw", bpw);
  options.add("size", size);
  options.add("losses", lossesPath(archive, stats));
  options.add("loss", loss);
  options.add("choices", choices);
  options.add("row-ratios", rowRatios);
  options.add("method", method);
  options.add("seed", seed);
  options.add("low", low);
  options.add("high", high);
  options.add("tie", tie);
  options.add("floor", floors);
  options.add("ceiling", ceilings);
  options.add("interactions", noInteractions ? "false" : "");
  // Measurements of another origin (cq measure) are taken as they are: only
  // losses of single weights can be measured here.
  if (!losses.empty() && loss.empty()) {
    auto held = Measurements::read(losses);
    if (!held)
      llvm::consumeError(held.takeError());
    else if (!parseLossKind(held->header.loss))
      options.add("measure", "false");
  }
  return options;
}
