//===- Calibrate.cpp - cq calibrate: measure a model on text ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationTextArguments.h"
#include "SavePoints.h"
#include "Verbs.h"
#include "cq/Execution/Calibration.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/Memory.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cmath>

using namespace mlir::cq;
namespace cl = llvm::cl;
using llvm::Error;

static cl::SubCommand
    command("calibrate",
            "Runs a model on text and measures, once, what quantizers ask: "
            "inputs of layers, impact of weights, likeness of blocks");
static cl::OptionCategory options("calibrate options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module made by cq import>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("file.stats"),
                                   cl::desc("Where the statistics go"),
                                   cl::sub(command), cl::cat(options));
static tool::CalibrationTextArguments
    textArguments(command, options, "Text to calibrate on", "the model", 16);
static cl::opt<std::string> partText(
    "part", cl::value_desc("i/n"),
    cl::desc("Run only the i-th of n parts of the sequences; `cq stats "
             "merge` joins them"),
    cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    fisherText("fisher", cl::init("sequence"),
               cl::desc("Impact of weights, from squared gradients: sequence "
                        "(default; of a whole sequence), token, or none"),
               cl::sub(command), cl::cat(options));
static cl::list<std::string>
    only("only", cl::value_desc("regex"),
         cl::desc("Weights to measure the impact of (default: all that "
                  "products alone read)"),
         cl::sub(command), cl::cat(options));
static cl::opt<bool>
    noMoments("no-moments", cl::desc("Leave out the moments of layers' inputs"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool>
    gram("gram", cl::desc("Also XᵀX of layers' inputs, for the gptq quantizer"),
         cl::sub(command), cl::cat(options));
static cl::opt<bool>
    dryRun("dry-run", cl::desc("Say what would be measured and what it takes"),
           cl::sub(command), cl::cat(options));
static cl::opt<bool>
    fresh("fresh", cl::desc("Do not go on from an interrupted calibration"),
          cl::sub(command), cl::cat(options));
static cl::opt<double>
    saveEvery("save-every", cl::init(60), cl::value_desc("seconds"),
              cl::desc("How often sums are saved, to go on from (default 60)"),
              cl::sub(command), cl::cat(options));
static cl::opt<unsigned> threads("threads", cl::init(0),
                                 cl::desc("CPU threads (default: all)"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    targetCPU("target-cpu",
              cl::desc("Compile for this CPU (LLVM's name; default: the one at "
                       "hand)"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool> noCache("no-cache",
                             cl::desc("Compile anew, leave the cache alone"),
                             cl::sub(command), cl::cat(options));

/// [first, last) of the sequences.
static llvm::Expected<std::pair<int64_t, int64_t>> getPart(int64_t count) {
  if (partText.empty())
    return std::make_pair(int64_t(0), count);
  auto [index, of] = llvm::StringRef(partText).split('/');
  int64_t i, n;
  if (index.getAsInteger(10, i) || of.getAsInteger(10, n) || i < 1 || i > n ||
      n > count)
    return fail("--part=" + partText + " is not i/n with 1 ≤ i ≤ n ≤ " +
                llvm::Twine(count) + ", the number of sequences");
  return std::make_pair((i - 1) * count / n, i * count / n);
}

/// The model's own text, where none is given.
static llvm::Expected<tool::CalibrationText> writeText(int64_t length) {
  LanguageModelOptions modelOptions;
  modelOptions.threads = threads;
  modelOptions.targetCPU = targetCPU;
  modelOptions.useCache = !noCache;
  auto model = LanguageModel::load(input, modelOptions);
  if (!model)
    return model.takeError();
  return textArguments.write(**model, length);
}

static std::string hashTokenizer(const Tokenizer *tokenizer) {
  if (!tokenizer)
    return "";
  std::string all;
  for (int64_t id = 0; id < tokenizer->vocabularySize(); ++id)
    all += tokenizer->decode(static_cast<int32_t>(id), 0) + '\0';
  return hashBytes(all);
}

static llvm::Expected<Provenance>
describe(const ObservedModel &model, const tool::CalibrationText &text,
         int64_t first, std::vector<Statistics::WeightHash> &hashes) {
  auto fingerprint = fingerprintModel(model.archive(), threads);
  if (!fingerprint)
    return fingerprint.takeError();
  hashes = std::move(fingerprint->weights);
  Provenance result;
  result.model = fingerprint->model;
  result.tokenizer = hashTokenizer(model.tokenizer());
  result.options = llvm::formatv("tokens={0} moments={1} gram={2} fisher={3}",
                                 model.tokens(), !noMoments, gram, fisherText);
  if (!only.empty())
    result.options += " only=" + llvm::join(only, " ");
  result.data.push_back({text.name, text.hash(), first, 0});
  return result;
}

/// Sums of an interrupted run of the same calibration go on; the number of
/// sequences in them. Without such a file 0.
static llvm::Expected<int64_t> resume(Calibration &calibration,
                                      const Provenance &wanted,
                                      llvm::StringRef path, int64_t count) {
  if (!llvm::sys::fs::exists(path))
    return 0;
  auto refuse = [&](const llvm::Twine &why) {
    return fail(path + " " + why +
                "; finish that calibration, or start anew with --fresh");
  };
  auto saved = Statistics::read(path);
  if (!saved)
    return fail(llvm::toString(saved.takeError()) +
                " (it holds an interrupted calibration; --fresh starts anew)");
  const Provenance &from = saved->provenance;
  if (from.model != wanted.model || from.tokenizer != wanted.tokenizer)
    return refuse("was made with another model");
  if (from.options != wanted.options)
    return refuse("was made with other options (" + from.options + ", not " +
                  wanted.options + ")");
  if (from.data.size() != 1 || from.data[0].hash != wanted.data[0].hash ||
      from.data[0].first != wanted.data[0].first ||
      from.data[0].sequences > count)
    return refuse("was made with another text or other sequences of it");
  int64_t done = from.data[0].sequences;
  if (Error error = calibration.resume(std::move(*saved)))
    return refuse("does not fit: " + llvm::toString(std::move(error)));
  return done;
}

static void printSummary(const Calibration &calibration,
                         const tool::CalibrationText &text, int64_t sequences,
                         int64_t tokens) {
  const Statistics &sums = const_cast<Calibration &>(calibration).statistics();
  int64_t grams = gram ? int64_t(sums.inputs.size()) : 0;
  llvm::outs() << "text            " << text.name << ", " << sequences
               << " sequences of " << tokens << " tokens\n"
               << "measured        " << sums.inputs.size() << " inputs, "
               << grams << " Gram matrices, " << sums.fishers.size()
               << " Fisher matrices (" << fisherText << "), "
               << sums.blocks.size() << " blocks\n";
}

static Error run() {
  auto fisher = parseFisherKind(fisherText);
  if (!fisher)
    return fail("--fisher=" + fisherText +
                " is not known; use sequence, token or none");
  if (Error error = textArguments.check())
    return error;
  if (noMoments && gram)
    return fail("--gram needs the moments that --no-moments leaves out");
  if (output.empty() && !dryRun)
    return fail("say with -o where the statistics go");

  keepMemory();
  ObservedModelOptions modelOptions;
  modelOptions.moments = !noMoments;
  modelOptions.gram = gram;
  modelOptions.fisher = fisherText;
  modelOptions.only.assign(only.begin(), only.end());
  modelOptions.targetCPU = targetCPU;
  modelOptions.threads = threads;
  modelOptions.useCache = !noCache;
  auto model = ObservedModel::load(input, modelOptions);
  if (!model)
    return model.takeError();

  int64_t length = (*model)->tokens();
  auto text = textArguments.given()
                  ? textArguments.read((*model)->tokenizer(),
                                       (*model)->vocabulary(), length)
                  : writeText(length);
  if (!text)
    return text.takeError();
  auto part = getPart(static_cast<int64_t>(text->sequences.size()));
  if (!part)
    return part.takeError();
  auto [first, last] = *part;
  int64_t count = last - first;
  auto calibration = Calibration::create(**model, *fisher, threads);
  if (!calibration)
    return calibration.takeError();
  if (dryRun) {
    int64_t weights = 0;
    for (const ParameterSlot &slot : (*model)->parameters())
      weights += slot.type.numBytes();
    printSummary(*calibration, *text, count, length);
    llvm::outs() << "memory          " << formatBytes(weights)
                 << " of weights, " << formatBytes(calibration->bytes())
                 << " of sums (the size of the file), and what one sequence "
                    "takes\n";
    return Error::success();
  }

  Statistics &sums = calibration->statistics();
  std::vector<Statistics::WeightHash> hashes;
  auto provenance = describe(**model, *text, first, hashes);
  if (!provenance)
    return provenance.takeError();
  std::string partial = output + ".partial";
  int64_t done = 0;
  if (!fresh) {
    auto found = resume(*calibration, *provenance, partial, count);
    if (!found)
      return found.takeError();
    done = *found;
    if (done > 0)
      llvm::errs() << "going on after sequence " << done << " of " << count
                   << " (" << partial << ")\n";
  }
  sums.weightHashes = std::move(hashes);
  sums.provenance = std::move(*provenance);
  sums.provenance.data[0].sequences = done;

  auto start = std::chrono::steady_clock::now();
  {
    tool::SavePoints points(saveEvery, [&] { return sums.write(partial); });
    Progress progress(llvm::errs(), "calibrating", count - done);
    while (done < count) {
      if (Error error = calibration->add(text->sequences[first + done]))
        return error;
      sums.provenance.data[0].sequences = ++done;
      progress.advance(
          "sequence " + std::to_string(done) + " of " + std::to_string(count),
          llvm::formatv("loss {0:f3}", sums.sumLoss / double(sums.lossTokens))
              .str());
      if (done == count)
        break;
      auto stop = points.shouldStop();
      if (!stop)
        return stop.takeError();
      if (*stop)
        return fail("interrupted after " + llvm::Twine(done) + " of " +
                    llvm::Twine(count) +
                    " sequences; the same command goes on from " + partial);
    }
  }
  double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  calibration->measureZScores();
  if (Error error = sums.write(output))
    return error;
  (void)llvm::sys::fs::remove(partial);

  uint64_t size = 0;
  (void)llvm::sys::fs::file_size(output, size);
  double loss = sums.sumLoss / double(sums.lossTokens);
  printSummary(*calibration, *text, count, length);
  llvm::outs() << llvm::formatv("loss            {0:f4}, perplexity {1:f3} "
                                "({2} tokens)\n",
                                loss, std::exp(loss), sums.lossTokens)
               << "took            " << formatSeconds(elapsed) << ", at most "
               << formatBytes(peakMemory()) << " of memory\n"
               << output << ": " << formatBytes(int64_t(size)) << '\n';
  return Error::success();
}

tool::Verb tool::calibrateVerb() { return {&command, &options, &run}; }
