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
#include "cq/Execution/LanguageModel.h"
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
    "alone is stored in fewer bits; cq plan --losses=FILE solves with it");
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
    probeTexts("probe", cl::CommaSeparated,
               cl::desc("Ways for which the model is run, one run a weight "
                        "each; the losses of the others follow from the "
                        "nearest by the ratio of output errors (default: 3 "
                        "bits)"),
               cl::sub(command), cl::cat(options));
static cl::opt<unsigned> threads("threads", cl::init(0),
                                 cl::desc("CPU threads (default: all)"),
                                 cl::sub(command), cl::cat(options));

static llvm::Expected<tool::CalibrationText> readText(DivergenceMeter &meter) {
  if (textArguments.given())
    return textArguments.read(meter.tokenizer(), meter.vocabulary(),
                              meter.tokens());
  LanguageModelOptions modelOptions;
  modelOptions.threads = threads;
  auto model = LanguageModel::load(input, modelOptions);
  if (!model)
    return model.takeError();
  return textArguments.write(**model, meter.tokens());
}

static llvm::Error measureWeight(llvm::StringRef name, DivergenceMeter &meter,
                                 WeightLossMeter &errors,
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
  for (auto [choice, error] : llvm::zip_equal(choices, *all)) {
    double loss = 0, nearest = std::numeric_limits<double>::infinity();
    for (size_t p = 0; p < probes.size(); ++p) {
      if ((*probeErrors)[p] <= 0)
        continue;
      double ratio = error / (*probeErrors)[p];
      double distance = ratio > 0 ? std::fabs(std::log(ratio)) : 1e300;
      if (distance < nearest) {
        nearest = distance;
        loss = probed[p] * ratio;
      }
    }
    record.losses.push_back({choice.str(), loss});
  }
  llvm::ArrayRef<float> numbers(w, record.n * record.k);
  record.zd = zScoreShare(llvm::ArrayRef<llvm::ArrayRef<float>>(numbers));
  return writer.append(std::move(record));
}

static llvm::Error run() {
  if (llvm::Error error = textArguments.check())
    return error;
  keepMemory();
  std::unique_ptr<StatisticsReader> reader;
  if (!stats.empty()) {
    auto opened = StatisticsReader::open(stats);
    if (!opened)
      return opened.takeError();
    reader = std::move(*opened);
  }
  auto choices = parseChoices(choiceTexts);
  if (!choices)
    return choices.takeError();
  auto probes = parseChoices(probeTexts);
  if (!probes)
    return probes.takeError();
  ObservedModelOptions modelOptions;
  modelOptions.threads = threads;
  auto meter = DivergenceMeter::create(input, modelOptions);
  if (!meter)
    return meter.takeError();
  bool gram = reader != nullptr, moments = reader != nullptr;
  for (const std::string &weight : (*meter)->weights()) {
    gram = gram && reader->hasGram(weight);
    moments = moments && reader->hasInput(weight);
  }
  QuantizerKind quantizer = gram ? QuantizerKind::GPTQ : QuantizerKind::RTN;
  if (choices->empty())
    *choices = defaultChoices(quantizer, CherryCriterion::Magnitude);
  if (probes->empty()) {
    StorageChoice probe;
    probe.scheme = {3, 128, Grid::Symmetric, ScaleType::F16};
    probe.quantizer = quantizer;
    probes->push_back(probe);
  }
  auto text = readText(**meter);
  if (!text)
    return text.takeError();
  MeasurementHeader header;
  header.loss = "divergence";
  std::string from = fingerprint(reader.get()) + text->hash();
  for (const StorageChoice &probe : *probes)
    from += " " + probe.str();
  header.statistics = hashBytes(from);
  auto writer = MeasurementWriter::open(output, header);
  if (!writer)
    return writer.takeError();
  if (llvm::Error error = (*meter)->setSequences(text->sequences))
    return error;
  WeightLossMeter errors(moments ? LossKind::Output : LossKind::Weight,
                         reader.get(), threads);
  Progress line(llvm::errs(), "measuring divergences",
                (*meter)->weights().size());
  for (const std::string &weight : (*meter)->weights()) {
    if (llvm::Error error =
            measureWeight(weight, **meter, errors, *choices, *probes, **writer))
      return error;
    line.advance(weight);
  }
  line.finish();
  llvm::outs() << llvm::formatv(
      "{0}: {1} weights, {2} choices, {3} tokens of {4}\n", output,
      (*meter)->weights().size(), choices->size(),
      text->sequences.size() * (*meter)->tokens(), text->name);
  return llvm::Error::success();
}

tool::Verb tool::measureVerb() { return {&command, &options, &run}; }
