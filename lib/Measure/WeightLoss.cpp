//===- WeightLoss.cpp - What storing a weight one way costs -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Measure/WeightLoss.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/ThreadPool.h"
#include <cmath>

using namespace mlir::cq;

llvm::StringRef mlir::cq::stringifyLossKind(LossKind kind) {
  switch (kind) {
  case LossKind::Weight:
    return "weight";
  case LossKind::Output:
    return "output";
  case LossKind::Fisher:
    return "fisher";
  }
  return "";
}

std::optional<LossKind> mlir::cq::parseLossKind(llvm::StringRef text) {
  for (LossKind kind : {LossKind::Weight, LossKind::Output, LossKind::Fisher})
    if (stringifyLossKind(kind) == text)
      return kind;
  return std::nullopt;
}

LossKind mlir::cq::defaultLoss(const StatisticsReader *statistics,
                               llvm::ArrayRef<std::string> weights) {
  // Without Gram matrices `fisher` sees no rows of errors, only single ones;
  // `output` takes every layer for equally important. Plans by either were
  // measured worse than uniform bits (docs/Results.md).
  bool fisher =
      statistics && llvm::all_of(weights, [&](llvm::StringRef weight) {
        return statistics->hasInput(weight) && statistics->hasFisher(weight) &&
               statistics->hasGram(weight);
      });
  return fisher ? LossKind::Fisher : LossKind::Weight;
}

std::string mlir::cq::fingerprint(const StatisticsReader *statistics) {
  if (!statistics)
    return "";
  const Provenance &from = statistics->provenance();
  std::string text = from.model + "\n" + from.tokenizer + "\n" + from.options;
  for (const Provenance::Data &data : from.data)
    text +=
        llvm::formatv("\n{0} {1} {2}", data.hash, data.first, data.sequences);
  // Imported files have no provenance: their numbers speak for them.
  for (const InputStatistics &input : statistics->facts().inputs)
    for (const std::string &weight : input.weights) {
      double sum = 0;
      for (double square : input.sumSquares)
        sum += square;
      text += llvm::formatv("\n{0} {1} {2}", weight, input.tokens,
                            llvm::format("%.17g", sum));
    }
  return hashBytes(text);
}

/// What is known of the current weight.
struct WeightLossMeter::Inputs {
  const InputStatistics *shared = nullptr; ///< whose matrices these are
  std::vector<float> meanSquares;
  std::vector<float> gram; ///< [k, k], or empty
  std::optional<SecondMoments> moments;
  std::vector<float> fisher; ///< of this weight only
};

WeightLossMeter::WeightLossMeter(LossKind kind,
                                 const StatisticsReader *statistics,
                                 unsigned threads)
    : kind(kind), statistics(statistics), threads(threads),
      inputs(std::make_unique<Inputs>()) {}
WeightLossMeter::~WeightLossMeter() = default;

llvm::Error WeightLossMeter::load(llvm::StringRef weight, int64_t n, int64_t k,
                                  bool wantsFactor) {
  inputs->fisher.clear();
  if (!statistics)
    return llvm::Error::success();
  if (!statistics->hasInput(weight)) {
    *inputs = Inputs();
  } else if (const InputStatistics *shared =
                 statistics->facts().findInput(weight);
             !shared || shared != inputs->shared) {
    *inputs = Inputs();
    inputs->shared = shared;
    auto squares = statistics->meanSquares(weight, n, k);
    if (!squares)
      return squares.takeError();
    inputs->meanSquares = std::move(*squares);
  }
  if (inputs->gram.empty() && statistics->hasGram(weight)) {
    auto packed = statistics->gram(weight, n, k);
    if (!packed)
      return packed.takeError();
    inputs->gram.resize(static_cast<size_t>(k) * k);
    const double *next = packed->data();
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = i; j < k; ++j)
        inputs->gram[i * k + j] = inputs->gram[j * k + i] =
            static_cast<float>(*next++);
  }
  if (wantsFactor && !inputs->moments && statistics->hasGram(weight)) {
    auto packed = statistics->gram(weight, n, k);
    if (!packed)
      return packed.takeError();
    // Without it gptq becomes weighted mse, as when weights are materialized.
    auto moments = SecondMoments::factorise(*packed, k, {}, threads);
    if (moments)
      inputs->moments = std::move(*moments);
    else
      llvm::consumeError(moments.takeError());
  }
  if (statistics->hasFisher(weight)) {
    auto fisher = statistics->fisher(weight, n, k);
    if (!fisher)
      return fisher.takeError();
    inputs->fisher = std::move(*fisher);
  }
  return llvm::Error::success();
}

/// d H dᵀ of up to 8 rows of D [rows, k]: sums in one order, whatever the
/// vector width (columns are separate sums, added in order at the end).
#if defined(__x86_64__) && defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static void quadraticForms(const float *d, int64_t rows, const float *gram,
                           int64_t k, float *products, double *out) {
  std::fill(products, products + rows * k, 0.0f);
  for (int64_t j = 0; j < k; ++j) {
    const float *row = gram + j * k;
    for (int64_t r = 0; r < rows; ++r) {
      float x = d[r * k + j];
      if (x == 0)
        continue;
      float *sum = products + r * k;
      for (int64_t c = j + 1; c < k; ++c)
        sum[c] += x * row[c];
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) {
      double x = static_cast<double>(d[r * k + j]);
      sum += x * (2 * static_cast<double>(products[r * k + j]) +
                  x * static_cast<double>(gram[j * k + j]));
    }
    out[r] = sum;
  }
}

WeightLossMeter::RowLosses
WeightLossMeter::rowLosses(const float *w, const std::vector<float> &stored,
                           int64_t n, int64_t k) const {
  // The error of every row, and the size of the row, in the kind's measure.
  RowLosses losses;
  std::vector<double> &errors = losses.errors, &sizes = losses.sizes;
  errors.resize(n);
  sizes.resize(n);
  bool relative = kind != LossKind::Fisher;
  bool useGram = kind != LossKind::Weight && !inputs->gram.empty();
  double squares = 0;
  for (float m : inputs->meanSquares)
    squares += static_cast<double>(m);
  auto run = [&](int64_t begin, int64_t end) {
    constexpr int64_t block = 8;
    std::vector<float> d(block * k), products(block * k);
    for (int64_t i = begin; i < end; i += block) {
      int64_t rows = std::min(block, end - i);
      if (useGram) {
        for (int64_t x = 0; x < rows * k; ++x)
          d[x] = w[i * k + x] - stored[i * k + x];
        quadraticForms(d.data(), rows, inputs->gram.data(), k, products.data(),
                       &errors[i]);
        if (relative)
          quadraticForms(w + i * k, rows, inputs->gram.data(), k,
                         products.data(), &sizes[i]);
      }
      for (int64_t r = i; r < i + rows; ++r) {
        double error = 0, size = 0, fisher = 0;
        for (int64_t j = 0; j < k; ++j) {
          double value = static_cast<double>(w[r * k + j]);
          double delta = value - static_cast<double>(stored[r * k + j]);
          double weight = 1;
          if (kind == LossKind::Output)
            weight = static_cast<double>(inputs->meanSquares[j]);
          if (kind == LossKind::Fisher) {
            weight = static_cast<double>(inputs->fisher[r * k + j]);
            fisher += weight;
          }
          error += weight * delta * delta;
          size += weight * value * value;
        }
        if (!useGram)
          errors[r] = error, sizes[r] = size;
        else if (kind == LossKind::Fisher)
          errors[r] *= squares > 0 ? fisher / squares : 0;
      }
    }
  };
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
    for (int64_t i = 0; i < n; i += 64)
      pool.async([&, i] { run(i, std::min(n, i + 64)); });
    pool.wait();
  }
  return losses;
}

double WeightLossMeter::sum(const RowLosses &losses, int64_t k) const {
  double error = 0, size = 0;
  auto n = static_cast<int64_t>(losses.errors.size());
  for (int64_t i = 0; i < n; ++i) {
    error += losses.errors[i];
    size += losses.sizes[i];
  }
  if (kind == LossKind::Fisher)
    return 0.5 * error;
  // A layer of more weights does more of the model's work.
  return size > 0 ? static_cast<double>(n * k) * error / size : 0;
}

llvm::Expected<std::vector<double>>
WeightLossMeter::measure(llvm::StringRef weight, const float *w, int64_t n,
                         int64_t k, llvm::ArrayRef<StorageChoice> choices,
                         std::vector<std::vector<float>> *decoded) {
  bool wantsFactor = llvm::any_of(choices, [](const StorageChoice &choice) {
    return choice.quantizer == QuantizerKind::GPTQ;
  });
  if (llvm::Error error = load(weight, n, k, wantsFactor))
    return std::move(error);
  if ((kind == LossKind::Output && inputs->meanSquares.empty()) ||
      (kind == LossKind::Fisher && inputs->fisher.empty()))
    return llvm::createStringError(
        "the loss '" + stringifyLossKind(kind) +
        "' needs statistics of weight '" + weight +
        "'; give a statistics file that has it (cq calibrate), or loss=weight");
  // Rows know nothing of each other, so a weight with rows of two widths loses
  // in each row what the weight of that width loses there: any share of rows
  // costs no quantization of its own.
  llvm::StringMap<RowLosses> uniform;
  std::vector<double> losses;
  std::vector<float> stored(static_cast<size_t>(n) * k);
  WeightFacts facts;
  facts.n = n, facts.k = k;
  auto measureRows =
      [&](const StorageChoice &choice) -> llvm::Expected<const RowLosses *> {
    auto [it, isNew] = uniform.try_emplace(choice.str());
    if (isNew) {
      if (llvm::Error error = store(choice, w, n, k, stored))
        return std::move(error);
      it->second = rowLosses(w, stored, n, k);
    }
    return &it->second;
  };
  for (const StorageChoice &choice : choices) {
    if (choice.keep) {
      losses.push_back(0);
      if (decoded)
        decoded->emplace_back(w, w + n * k);
      continue;
    }
    auto fails = [&](llvm::Error error) {
      return llvm::createStringError("weight '" + weight + "' as " +
                                     choice.str() + ": " +
                                     llvm::toString(std::move(error)));
    };
    PlanEntry entry = choice.entryFor(facts);
    // (Whole columns are chosen by all rows together.)
    if (decoded || choice.cherries.form == CherryForm::Column || !entry.wide) {
      if (decoded || entry.wide) {
        if (llvm::Error error = store(choice, w, n, k, stored))
          return fails(std::move(error));
        losses.push_back(sum(rowLosses(w, stored, n, k), k));
      } else {
        auto rows = measureRows(choice);
        if (!rows)
          return fails(rows.takeError());
        losses.push_back(sum(**rows, k));
      }
      if (decoded)
        decoded->push_back(stored);
    } else {
      StorageChoice narrow = choice, wide = choice;
      narrow.rows = wide.rows = {};
      wide.scheme.bits = entry.wide.bits;
      auto others = measureRows(narrow);
      if (!others)
        return fails(others.takeError());
      RowLosses mixed = **others;
      auto better = measureRows(wide);
      if (!better)
        return fails(better.takeError());
      auto order = rank(entry, w);
      if (!order)
        return fails(order.takeError());
      for (int64_t i = 0; i < entry.wide.count; ++i)
        mixed.errors[(*order)[i]] = (*better)->errors[(*order)[i]];
      losses.push_back(sum(mixed, k));
    }
    if (!std::isfinite(losses.back()))
      return fails(llvm::createStringError("its loss is not finite"));
  }
  return losses;
}

llvm::Expected<std::vector<uint32_t>>
WeightLossMeter::rank(const PlanEntry &entry, const float *w) const {
  RowInputs known;
  known.threads = threads;
  if (!inputs->meanSquares.empty())
    known.columnWeights = inputs->meanSquares.data();
  if (!inputs->fisher.empty())
    known.fisher = inputs->fisher.data();
  return rankRows(w, entry.n, entry.k, entry.scheme, entry.wide.count, known);
}

llvm::Error WeightLossMeter::store(const StorageChoice &choice, const float *w,
                                   int64_t n, int64_t k,
                                   std::vector<float> &stored) const {
  const float *meanSquares =
      inputs->meanSquares.empty() ? nullptr : inputs->meanSquares.data();
  WeightFacts facts;
  facts.n = n, facts.k = k;
  // Rows of several widths are quantized in the order they are stored in.
  PlanEntry entry = choice.entryFor(facts);
  const float *fisher =
      inputs->fisher.empty() ? nullptr : inputs->fisher.data();
  std::vector<uint32_t> order;
  std::vector<float> permuted, permutedFisher;
  llvm::SmallVector<RowSegment, 1> segments;
  if (entry.wide) {
    auto ranked = rank(entry, w);
    if (!ranked)
      return ranked.takeError();
    order = std::move(*ranked);
    segments = entry.codeLayout().segments;
    permuted = permuteRows(w, k, order);
    w = permuted.data();
    if (fisher) {
      permutedFisher = permuteRows(fisher, k, order);
      fisher = permutedFisher.data();
    }
  }
  CherryPositions positions;
  bool cherries = choice.cherries.form != CherryForm::None &&
                  choice.cherries.numDeltas(n, k) != 0;
  if (cherries) {
    CherryInputs in;
    in.columnWeights = meanSquares;
    in.fisher = fisher;
    in.threads = threads;
    in.segments = segments;
    auto selected = selectCherries(w, n, k, choice.cherries, choice.criterion,
                                   choice.scheme, in);
    if (!selected)
      return selected.takeError();
    positions = std::move(*selected);
  }
  QuantizerInputs in;
  in.columnWeights = meanSquares;
  in.threads = threads;
  in.moments = inputs->moments ? &*inputs->moments : nullptr;
  in.segments = segments;
  QuantizerKind quantizer = choice.quantizer;
  if (quantizer == QuantizerKind::GPTQ && !in.moments && in.columnWeights)
    quantizer = QuantizerKind::MSE;
  auto quantized = quantizeWeight(w, n, k, choice.scheme, quantizer,
                                  cherries ? &positions : nullptr, in);
  if (!quantized)
    return quantized.takeError();
  quantized->order = std::move(order);
  dequantizeWeight(*quantized, cherries ? &positions : nullptr, stored.data(),
                   threads);
  return llvm::Error::success();
}
