//===- Measure.cpp - cq measure: losses of the whole model -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationTextArguments.h"
#include "Verbs.h"
#include "cq/Execution/DivergenceMeter.h"
#include "cq/Execution/InteractionMeter.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Measure/Interactions.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Solver/Measurements.h"
#include "cq/Stats/Scores.h"
#include "cq/Support/Memory.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand command(
    "measure",
    "Measures how far predictions move (KL divergence) when one weight "
    "alone is stored in fewer bits, or how a block's errors add up (--pairs); "
    "cq plan --losses=FILE solves with it");
static cl::OptionCategory options("measure options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module made by cq import>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("losses.jsonl"),
           cl::desc("Measurement file to write, or to go on with"),
           cl::sub(command), cl::cat(options));
static tool::CalibrationTextArguments
    textArguments(command, options, "Text to measure on", "the model", 1);
static cl::opt<std::string>
    stats("stats", cl::value_desc("file"),
          cl::desc("Statistics of `cq calibrate`, for quantizers and for the "
                   "ratios between choices"),
          cl::sub(command), cl::cat(options));
static cl::list<std::string>
    choiceTexts("choices", cl::CommaSeparated,
                cl::desc("Ways to store a weight (default: as cq plan)"),
                cl::sub(command), cl::cat(options));
static cl::list<std::string>
    rowRatios("row-ratios", cl::CommaSeparated,
              cl::desc("Shares of rows to store wider, SHARE[:BITS],… further "
                       "ways to store a weight of up to 4 bits"),
              cl::sub(command), cl::cat(options));
static cl::list<std::string>
    probeTexts("probe", cl::CommaSeparated,
               cl::desc("Ways for which the model is run, one run a weight "
                        "each; the losses of the others follow from the "
                        "nearest by the ratio of output errors (default: 3 "
                        "bits)"),
               cl::sub(command), cl::cat(options));
static cl::opt<unsigned> threads("threads", cl::init(0),
                                 cl::desc("CPU threads (default: all)"),
                                 cl::sub(command), cl::cat(options));

static cl::opt<std::string> pairs(
    "pairs", cl::init("none"), cl::value_desc("how"),
    cl::desc("How errors of several weights add up: none (default), gram (the "
             "changes of each block's output, one run of the block a choice), "
             "exact (differences of losses, one run of the block a pair of "
             "choices), model (the changes of the predictions, one run of the "
             "rest of the model a probe)"),
    cl::sub(command), cl::cat(options));
static cl::opt<std::string> blockLoss(
    "block-loss", cl::init("auto"), cl::value_desc("kind"),
    cl::desc("For --pairs=gram and exact: relative change of the block's "
             "output, fisher (by gradients, needs --stats), or auto (fisher "
             "where the statistics allow it)"),
    cl::sub(command), cl::cat(options));
static cl::opt<unsigned>
    samples("samples", cl::init(16),
            cl::desc("For --pairs=model: words a token that predictions are "
                     "compared at (default 16)"),
            cl::sub(command), cl::cat(options));

/// Of the model that is run: a DivergenceMeter or a BlockRunner.
template <typename Model>
static llvm::Expected<tool::CalibrationText> readText(Model &measured) {
  if (textArguments.given())
    return textArguments.read(measured.tokenizer(), measured.vocabulary(),
                              measured.tokens());
  LanguageModelOptions modelOptions;
  modelOptions.threads = threads;
  auto model = LanguageModel::load(input, modelOptions);
  if (!model)
    return model.takeError();
  return textArguments.write(**model, measured.tokens());
}

static llvm::Error measureWeight(llvm::StringRef name, DivergenceMeter &meter,
                                 WeightLossMeter &errors,
                                 const StatisticsReader *statistics,
                                 llvm::ArrayRef<StorageChoice> choices,
                                 llvm::ArrayRef<StorageChoice> probes,
                                 MeasurementWriter &writer) {
  const ParameterInfo *info = meter.archive().find(name);
  const float *w = meter.values(name);
  if (!info || info->shape.size() != 2 || !w)
    return llvm::createStringError("weight '" + name +
                                   "' is no f32 matrix of the archive");
  MeasuredWeight record;
  record.weight = name;
  record.n = info->shape[0];
  record.k = info->shape[1];
  if (statistics)
    if (llvm::Error error =
            statistics->checkWeight(name, w, record.n, record.k))
      return error;
  record.hash = hashWeight(w, record.n, record.k);
  const MeasuredWeight *held = writer.measurements().find(name);
  if (held && held->hash == record.hash &&
      llvm::all_of(choices, [&](const StorageChoice &choice) {
        return held->find(choice.str());
      }))
    return llvm::Error::success();

  // The probes: the model is run.
  std::vector<double> probed;
  std::vector<std::vector<float>> stored;
  auto probeErrors =
      errors.measure(name, w, record.n, record.k, probes, &stored);
  if (!probeErrors)
    return probeErrors.takeError();
  for (const std::vector<float> &numbers : stored) {
    auto divergence = meter.measure(name, numbers.data());
    if (!divergence)
      return divergence.takeError();
    probed.push_back(std::max(0.0, *divergence));
  }
  stored.clear();
  // The others: in proportion to the error, from the nearest probe.
  auto all = errors.measure(name, w, record.n, record.k, choices);
  if (!all)
    return all.takeError();
  std::vector<double> losses = lossesFromProbes(*probeErrors, probed, *all);
  for (auto [choice, loss] : llvm::zip_equal(choices, losses))
    record.losses.push_back({choice.str(), loss});
  llvm::ArrayRef<float> numbers(w, record.n * record.k);
  record.zd = zScoreShare(llvm::ArrayRef<llvm::ArrayRef<float>>(numbers));
  return writer.append(std::move(record));
}

namespace {
/// What all ways to measure begin with.
struct Setup {
  std::unique_ptr<StatisticsReader> reader;
  std::vector<StorageChoice> choices, probes;
  bool moments = false;

  llvm::Error open() {
    if (!stats.empty()) {
      auto opened = StatisticsReader::open(stats);
      if (!opened)
        return opened.takeError();
      reader = std::move(*opened);
    }
    // The shares are checked here and used when the choices are known.
    if (auto checked = withRowShares({}, shares()); !checked)
      return checked.takeError();
    for (auto [texts, list] :
         {std::pair(&choiceTexts, &choices), std::pair(&probeTexts, &probes)}) {
      auto parsed = parseChoices(*texts);
      if (!parsed)
        return parsed.takeError();
      *list = std::move(*parsed);
    }
    return llvm::Error::success();
  }

  /// Defaults: the best that the statistics allow for all weights.
  void complete(llvm::ArrayRef<std::string> weights) {
    bool gram = reader != nullptr;
    moments = reader != nullptr;
    for (const std::string &weight : weights) {
      gram = gram && reader->hasGram(weight);
      moments = moments && reader->hasInput(weight);
    }
    QuantizerKind quantizer = gram ? QuantizerKind::GPTQ : QuantizerKind::RTN;
    if (choices.empty())
      choices = defaultChoices(quantizer, CherryCriterion::Magnitude);
    choices = llvm::cantFail(withRowShares(std::move(choices), shares()));
    if (probes.empty()) {
      StorageChoice probe;
      probe.scheme = {3, 128, Grid::Symmetric, ScaleType::F16};
      probe.quantizer = quantizer;
      probes.push_back(probe);
    }
  }

  static std::vector<std::string> shares() {
    return {rowRatios.begin(), rowRatios.end()};
  }

  /// What another measurement would not share.
  std::string origin(const tool::CalibrationText &text, bool probed) const {
    std::string from = fingerprint(reader.get()) + text.hash();
    if (probed)
      for (const StorageChoice &probe : probes)
        from += " " + probe.str();
    return from;
  }

  llvm::Error finish(MeasurementWriter &writer, size_t weights, int64_t tokens,
                     const tool::CalibrationText &text) const {
    if (llvm::Error error = writer.finish())
      return error;
    llvm::outs() << llvm::formatv(
        "{0}: {1} weights, {2} choices, {3} tokens of {4}\n", output, weights,
        choices.size(), tokens, text.name);
    return llvm::Error::success();
  }
};
} // namespace

static llvm::Error measureDivergences(Setup &setup) {
  ObservedModelOptions modelOptions;
  modelOptions.threads = threads;
  auto meter = DivergenceMeter::create(input, modelOptions);
  if (!meter)
    return meter.takeError();
  llvm::ArrayRef<std::string> weights = (*meter)->weights();
  setup.complete(weights);
  auto text = readText(**meter);
  if (!text)
    return text.takeError();
  MeasurementHeader header;
  header.loss = "divergence";
  header.statistics = hashBytes(setup.origin(*text, true));
  auto writer = MeasurementWriter::open(output, header);
  if (!writer)
    return writer.takeError();
  if (llvm::Error error = (*meter)->setSequences(text->sequences))
    return error;
  WeightLossMeter errors(setup.moments ? LossKind::Output : LossKind::Weight,
                         setup.reader.get(), threads);
  Progress line(llvm::errs(), "measuring divergences", weights.size());
  for (const std::string &weight : weights) {
    if (llvm::Error error =
            measureWeight(weight, **meter, errors, setup.reader.get(),
                          setup.choices, setup.probes, **writer))
      return error;
    line.advance(weight);
  }
  line.finish();
  return setup.finish(**writer, weights.size(),
                      text->sequences.size() * (*meter)->tokens(), *text);
}

static llvm::Error measurePairs(Setup &setup, PairKind kind) {
  ObservedModelOptions modelOptions;
  modelOptions.threads = threads;
  auto runner = BlockRunner::create(input, modelOptions);
  if (!runner)
    return runner.takeError();
  std::vector<std::string> weights;
  for (const BlockRunner::Block &block : (*runner)->blocks())
    llvm::append_range(weights, block.weights);
  setup.complete(weights);
  bool fisher = canWeighByFisher(**runner, setup.reader.get());
  if (blockLoss == "fisher" && !fisher)
    return llvm::createStringError(
        "--block-loss=fisher needs --stats of `cq calibrate` with Fisher sums "
        "of every block's last matrix");
  if (blockLoss != "auto" && blockLoss != "fisher" && blockLoss != "relative")
    return llvm::createStringError(
        "'" + blockLoss + "' is no --block-loss: relative, fisher or auto");
  auto text = readText(**runner);
  if (!text)
    return text.takeError();
  InteractionOptions interactions;
  interactions.pairs = kind;
  interactions.choices = setup.choices;
  interactions.probes = setup.probes;
  interactions.statistics = setup.reader.get();
  interactions.fisher =
      kind != PairKind::Model && fisher && blockLoss != "relative";
  interactions.samples = std::max(1u, samples.getValue());
  interactions.threads = threads;
  interactions.changesPath = output + ".changes";
  MeasurementHeader header;
  header.loss = lossName(interactions);
  std::string from = setup.origin(*text, kind == PairKind::Model) + pairs;
  if (kind == PairKind::Model)
    from += std::to_string(interactions.samples);
  header.statistics = hashBytes(from);
  auto writer = MeasurementWriter::open(output, header);
  if (!writer)
    return writer.takeError();
  if (llvm::Error error = (*runner)->setSequences(text->sequences))
    return error;
  Progress line(llvm::errs(), "measuring interactions",
                kind == PairKind::Model ? weights.size()
                                        : (*runner)->blocks().size());
  if (llvm::Error error = measureInteractions(
          **runner, interactions, **writer,
          [&](llvm::StringRef what) { line.advance(what); }))
    return error;
  line.finish();
  return setup.finish(**writer, weights.size(),
                      text->sequences.size() * (*runner)->tokens(), *text);
}

static llvm::Error run() {
  if (llvm::Error error = textArguments.check())
    return error;
  keepMemory();
  Setup setup;
  if (llvm::Error error = setup.open())
    return error;
  if (pairs == "none")
    return measureDivergences(setup);
  for (auto [name, kind] :
       {std::pair("gram", PairKind::Gram), std::pair("exact", PairKind::Exact),
        std::pair("model", PairKind::Model)})
    if (pairs == name)
      return measurePairs(setup, kind);
  return llvm::createStringError("'" + pairs +
                                 "' is no --pairs: none, gram, exact or model");
}

tool::Verb tool::measureVerb() { return {&command, &options, &run}; }
