//===- Measurements.cpp - C API: statistics and losses --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Guard.h"
#include "Handles.h"
#include "cq-c/Plan.h"
#include <cmath>
#include <limits>

using namespace mlir::cq;
using namespace mlir::cq::capi;

//===----------------------------------------------------------------------===//
// Statistics
//===----------------------------------------------------------------------===//

CqStatistics cqStatisticsOpen(const char *path) {
  return guard<CqStatistics>(nullptr, [&]() -> llvm::Expected<CqStatistics> {
    if (llvm::Error error = needs(path, "path"))
      return std::move(error);
    auto reader = StatisticsReader::open(path);
    if (!reader)
      return reader.takeError();
    return new CqStatistics_{std::move(*reader)};
  });
}

static llvm::Expected<bool> has(const StatisticsReader &reader,
                                const char *weight, int kind) {
  switch (kind) {
  case CQ_STATISTICS_MEAN_SQUARES:
    return reader.hasInput(weight);
  case CQ_STATISTICS_FISHER:
    return reader.hasFisher(weight);
  case CQ_STATISTICS_SECOND_MOMENTS:
    return reader.hasGram(weight);
  default:
    return fail("there is no kind of statistics " + llvm::Twine(kind));
  }
}

int cqStatisticsHas(CqStatistics statistics, const char *weight, int kind) {
  return guard<int>(-1, [&]() -> llvm::Expected<int> {
    if (llvm::Error error = needs(statistics, "statistics"))
      return std::move(error);
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    auto found = has(*statistics->reader, weight, kind);
    if (!found)
      return found.takeError();
    return int(*found);
  });
}

template <typename T>
static llvm::Error copyTo(llvm::Expected<std::vector<T>> values, void *out,
                          size_t count) {
  if (!values)
    return values.takeError();
  if (values->size() != count)
    return fail("there are " + llvm::Twine(values->size()) +
                " values, and room for " + llvm::Twine(count));
  std::copy(values->begin(), values->end(), static_cast<T *>(out));
  return llvm::Error::success();
}

int cqStatisticsRead(CqStatistics statistics, const char *weight, int kind,
                     int64_t n, int64_t k, void *out, size_t count) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(statistics, "statistics"))
      return error;
    if (llvm::Error error = needs(weight, "weight"))
      return error;
    if (llvm::Error error = needs(out, "out"))
      return error;
    auto size = countOf(n, k);
    if (!size)
      return size.takeError();
    const StatisticsReader &reader = *statistics->reader;
    switch (kind) {
    case CQ_STATISTICS_MEAN_SQUARES:
      return copyTo(reader.meanSquares(weight, n, k), out, count);
    case CQ_STATISTICS_FISHER:
      return copyTo(reader.fisher(weight, n, k), out, count);
    case CQ_STATISTICS_SECOND_MOMENTS:
      return copyTo(reader.gram(weight, n, k), out, count);
    default:
      return fail("there is no kind of statistics " + llvm::Twine(kind));
    }
  });
}

void cqStatisticsFree(CqStatistics statistics) { delete statistics; }

//===----------------------------------------------------------------------===//
// Measurements
//===----------------------------------------------------------------------===//

/// The best that statistics of unknown weights allow.
static LossKind bestLoss(const StatisticsReader *reader) {
  std::vector<std::string> names;
  if (reader)
    for (const InputStatistics &input : reader->facts().inputs)
      names.insert(names.end(), input.weights.begin(), input.weights.end());
  return names.empty() ? LossKind::Weight : defaultLoss(reader, names);
}

CqMeasurements cqMeasurementsCreate(const char *loss, CqStatistics statistics) {
  return guard<CqMeasurements>(
      nullptr, [&]() -> llvm::Expected<CqMeasurements> {
        auto result = std::make_unique<CqMeasurements_>();
        if (statistics)
          result->statistics = statistics->reader;
        const StatisticsReader *reader = result->statistics.get();
        LossKind kind = bestLoss(reader);
        if (loss) {
          auto parsed = parseLossKind(loss);
          if (!parsed)
            return fail(quoted(loss) + " is no loss: weight, output or fisher");
          if (*parsed != LossKind::Weight && !reader)
            return fail("the loss " + textOf(loss) +
                        " needs statistics; loss weight does not");
          kind = *parsed;
        }
        result->held.header.loss = stringifyLossKind(kind);
        result->held.header.statistics = fingerprint(reader);
        result->meter = std::make_unique<WeightLossMeter>(kind, reader);
        return result.release();
      });
}

static llvm::Expected<CqMeasurements>
take(llvm::Expected<Measurements> measurements) {
  if (!measurements)
    return measurements.takeError();
  auto result = std::make_unique<CqMeasurements_>();
  result->held = std::move(*measurements);
  return result.release();
}

CqMeasurements cqMeasurementsParse(const char *text, size_t length) {
  return guard<CqMeasurements>(
      nullptr, [&]() -> llvm::Expected<CqMeasurements> {
        if (llvm::Error error = needs(text, "text"))
          return std::move(error);
        return take(Measurements::parse(llvm::StringRef(text, length),
                                        "the measurements"));
      });
}

CqMeasurements cqMeasurementsRead(const char *path) {
  return guard<CqMeasurements>(nullptr,
                               [&]() -> llvm::Expected<CqMeasurements> {
                                 if (llvm::Error error = needs(path, "path"))
                                   return std::move(error);
                                 return take(Measurements::read(path));
                               });
}

int cqMeasurementsAdd(CqMeasurements measurements, const char *weight,
                      const float *w, int64_t n, int64_t k,
                      const char *choices) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(measurements, "measurements"))
      return error;
    if (llvm::Error error = needs(weight, "weight"))
      return error;
    if (llvm::Error error = needs(w, "w"))
      return error;
    if (!measurements->meter)
      return fail("these measurements were read; only those of "
                  "cqMeasurementsCreate can be added to");
    auto count = countOf(n, k);
    if (!count)
      return count.takeError();
    for (size_t i = 0; i < *count; ++i)
      if (!std::isfinite(w[i]))
        return fail("weight " + quoted(weight) +
                    " has NaN or infinity at row " + llvm::Twine(i / k) +
                    ", column " + llvm::Twine(i % k));
    const StatisticsReader *reader = measurements->statistics.get();
    std::vector<StorageChoice> list;
    if (choices) {
      auto parsed = parseChoices(splitList(choices));
      if (!parsed)
        return parsed.takeError();
      list = std::move(*parsed);
    } else {
      bool gram = reader && reader->hasGram(weight);
      list = defaultChoices(gram ? QuantizerKind::GPTQ : QuantizerKind::RTN,
                            CherryCriterion::Magnitude);
    }
    if (list.empty())
      return fail("there is no choice to measure");
    if (reader)
      if (llvm::Error error = reader->checkWeight(weight, w, n, k))
        return error;
    WeightFacts facts;
    facts.n = n;
    facts.k = k;
    for (const StorageChoice &choice : list)
      if (!choice.keep)
        if (llvm::Error error = choice.entryFor(facts).cherries.check(n, k))
          return error;
    auto losses = measurements->meter->measure(weight, w, n, k, list);
    if (!losses)
      return losses.takeError();
    MeasuredWeight record;
    record.weight = weight;
    record.n = n;
    record.k = k;
    record.hash = hashWeight(w, n, k);
    for (size_t i = 0; i < list.size(); ++i)
      record.losses.push_back({list[i].str(), (*losses)[i]});
    measurements->held.add(std::move(record));
    return llvm::Error::success();
  });
}

double cqMeasurementsLoss(CqMeasurements measurements, const char *weight,
                          const char *choice) {
  return guard<double>(
      std::numeric_limits<double>::quiet_NaN(),
      [&]() -> llvm::Expected<double> {
        if (llvm::Error error = needs(measurements, "measurements"))
          return std::move(error);
        if (llvm::Error error = needs(weight, "weight"))
          return std::move(error);
        if (llvm::Error error = needs(choice, "choice"))
          return std::move(error);
        auto parsed = StorageChoice::parse(choice);
        if (!parsed)
          return parsed.takeError();
        const MeasuredWeight *found = measurements->held.find(weight);
        const double *loss = found ? found->find(parsed->str()) : nullptr;
        if (!loss)
          return fail(quoted(weight) + " as " + parsed->str() +
                      " was not measured");
        return *loss;
      });
}

char *cqMeasurementsPrint(CqMeasurements measurements) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(measurements, "measurements"))
      return std::move(error);
    return copyText(measurements->held.str());
  });
}

void cqMeasurementsFree(CqMeasurements measurements) { delete measurements; }
