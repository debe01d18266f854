//===- CalibrationRun.cpp - Measuring a model on text ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationRun.h"
#include "SavePoints.h"
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
using llvm::Error;
using tool::CalibrationRun;
using tool::CalibrationTextArguments;

/// [first, last) of the sequences.
static llvm::Expected<std::pair<int64_t, int64_t>> getPart(llvm::StringRef part,
                                                           int64_t count) {
  if (part.empty())
    return std::make_pair(int64_t(0), count);
  auto [index, of] = part.split('/');
  int64_t i, n;
  if (index.getAsInteger(10, i) || of.getAsInteger(10, n) || i < 1 || i > n ||
      n > count)
    return fail("--part=" + part + " is not i/n with 1 ≤ i ≤ n ≤ " +
                llvm::Twine(count) + ", the number of sequences");
  return std::make_pair((i - 1) * count / n, i * count / n);
}

/// The model's own text, where none is given.
static llvm::Expected<tool::CalibrationText>
writeText(const CalibrationRun &run,
          const CalibrationTextArguments &textArguments, int64_t length) {
  LanguageModelOptions modelOptions;
  modelOptions.threads = run.threads;
  modelOptions.targetCPU = run.targetCPU;
  modelOptions.useCache = run.useCache;
  auto model = LanguageModel::load(run.model, modelOptions);
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
describe(const CalibrationRun &run, const ObservedModel &model,
         const tool::CalibrationText &text, int64_t first,
         std::vector<Statistics::WeightHash> &hashes) {
  auto fingerprint = fingerprintModel(model.archive(), run.threads);
  if (!fingerprint)
    return fingerprint.takeError();
  hashes = std::move(fingerprint->weights);
  Provenance result;
  result.model = fingerprint->model;
  result.tokenizer = hashTokenizer(model.tokenizer());
  result.options =
      llvm::formatv("tokens={0} moments={1} gram={2} fisher={3}",
                    model.tokens(), run.moments, run.gram, run.fisher);
  if (!run.only.empty())
    result.options += " only=" + llvm::join(run.only, " ");
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

static void printSummary(const CalibrationRun &run,
                         const Calibration &calibration,
                         const tool::CalibrationText &text, int64_t sequences,
                         int64_t tokens) {
  const Statistics &sums = const_cast<Calibration &>(calibration).statistics();
  int64_t grams = run.gram ? int64_t(sums.inputs.size()) : 0;
  llvm::outs() << "text            " << text.name << ", " << sequences
               << " sequences of " << tokens << " tokens\n"
               << "measured        " << sums.inputs.size() << " inputs, "
               << grams << " Gram matrices, " << sums.fishers.size()
               << " Fisher matrices (" << run.fisher << "), "
               << sums.blocks.size() << " blocks\n";
}

Error tool::calibrate(const CalibrationRun &run,
                      const CalibrationTextArguments &textArguments) {
  auto fisher = parseFisherKind(run.fisher);
  if (!fisher)
    return fail("--fisher=" + run.fisher +
                " is not known; use sequence, token or none");
  if (Error error = textArguments.check())
    return error;
  if (!run.moments && run.gram)
    return fail("--gram needs the moments that --no-moments leaves out");
  keepMemory();
  ObservedModelOptions modelOptions;
  modelOptions.moments = run.moments;
  modelOptions.gram = run.gram;
  modelOptions.fisher = run.fisher;
  modelOptions.only = run.only;
  modelOptions.targetCPU = run.targetCPU;
  modelOptions.threads = run.threads;
  modelOptions.useCache = run.useCache;
  auto model = ObservedModel::load(run.model, modelOptions);
  if (!model)
    return model.takeError();

  int64_t length = (*model)->tokens();
  auto text = textArguments.given()
                  ? textArguments.read((*model)->tokenizer(),
                                       (*model)->vocabulary(), length)
                  : writeText(run, textArguments, length);
  if (!text)
    return text.takeError();
  auto part = getPart(run.part, static_cast<int64_t>(text->sequences.size()));
  if (!part)
    return part.takeError();
  auto [first, last] = *part;
  int64_t count = last - first;
  auto calibration = Calibration::create(**model, *fisher, run.threads);
  if (!calibration)
    return calibration.takeError();
  if (run.dryRun) {
    int64_t weights = 0;
    for (const ParameterSlot &slot : (*model)->parameters())
      weights += slot.type.numBytes();
    printSummary(run, *calibration, *text, count, length);
    llvm::outs() << "memory          " << formatBytes(weights)
                 << " of weights, " << formatBytes(calibration->bytes())
                 << " of sums (the size of the file), and what one sequence "
                    "takes\n";
    return Error::success();
  }

  Statistics &sums = calibration->statistics();
  std::vector<Statistics::WeightHash> hashes;
  auto provenance = describe(run, **model, *text, first, hashes);
  if (!provenance)
    return provenance.takeError();
  std::string partial = run.output + ".partial";
  int64_t done = 0;
  if (!run.fresh) {
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
    tool::SavePoints points(run.saveEvery, [&] { return sums.write(partial); });
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
  if (Error error = sums.write(run.output))
    return error;
  (void)llvm::sys::fs::remove(partial);

  uint64_t size = 0;
  (void)llvm::sys::fs::file_size(run.output, size);
  double loss = sums.sumLoss / double(sums.lossTokens);
  printSummary(run, *calibration, *text, count, length);
  llvm::outs() << llvm::formatv("loss            {0:f4}, perplexity {1:f3} "
                                "({2} tokens)\n",
                                loss, std::exp(loss), sums.lossTokens)
               << "took            " << formatSeconds(elapsed) << ", at most "
               << formatBytes(peakMemory()) << " of memory\n"
               << run.output << ": " << formatBytes(int64_t(size)) << '\n';
  return Error::success();
}
