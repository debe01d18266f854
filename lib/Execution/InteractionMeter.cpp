//===- InteractionMeter.cpp - How layers' errors add up ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/InteractionMeter.h"
#include "cq/Measure/Interactions.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Stats/Scores.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;

/// The last matrix of a block that writes hidden states.
static llvm::StringRef outputWeight(const BlockRunner &runner,
                                    const BlockRunner::Block &block) {
  llvm::StringRef last;
  for (const std::string &weight : block.weights) {
    const ParameterInfo *info = runner.archive().find(weight);
    if (info && info->shape.size() == 2 && info->shape[0] == runner.width())
      last = weight;
  }
  return last;
}

bool mlir::cq::canWeighByFisher(const BlockRunner &runner,
                                const StatisticsReader *statistics) {
  return statistics && llvm::all_of(runner.blocks(), [&](const auto &block) {
           llvm::StringRef weight = outputWeight(runner, block);
           return !weight.empty() && statistics->hasFisher(weight) &&
                  statistics->hasInput(weight);
         });
}

std::string mlir::cq::lossName(const InteractionOptions &options) {
  return options.pairs == PairKind::Model ? "predictions"
         : options.fisher                 ? "block-fisher"
                                          : "block";
}

namespace {

class Meter {
public:
  Meter(BlockRunner &runner, const InteractionOptions &options,
        MeasurementWriter &writer)
      : runner(runner), options(options), writer(writer),
        size(runner.tokens() * runner.width()),
        errors(hasMoments() ? LossKind::Output : LossKind::Weight,
               options.statistics, options.threads) {}

  llvm::Error measureBlocks(llvm::function_ref<void(llvm::StringRef)> done) {
    for (size_t index = 0; index < runner.blocks().size(); ++index) {
      auto records = describeWeights(runner.blocks()[index]);
      if (!records)
        return records.takeError();
      if (!isKnown(index, *records)) {
        if (llvm::Error error = weighOutput(index))
          return error;
        MeasuredBlock matrix;
        matrix.block = std::to_string(runner.blocks()[index].number);
        llvm::Error error = options.pairs == PairKind::Exact
                                ? measureExactly(index, *records, matrix)
                                : measureGram(index, *records, matrix);
        if (error)
          return error;
        for (MeasuredWeight &record : *records)
          if (llvm::Error error = writer.append(std::move(record)))
            return error;
        if (llvm::Error error = writer.append(std::move(matrix)))
          return error;
      }
      done("block " + std::to_string(runner.blocks()[index].number));
    }
    return llvm::Error::success();
  }

  llvm::Error measureModel(llvm::function_ref<void(llvm::StringRef)> done);

private:
  bool hasMoments() const {
    return options.statistics &&
           llvm::all_of(runner.blocks(), [&](const auto &block) {
             return llvm::all_of(block.weights, [&](const std::string &weight) {
               return options.statistics->hasInput(weight);
             });
           });
  }

  llvm::Expected<std::vector<MeasuredWeight>>
  describeWeights(const BlockRunner::Block &block) {
    std::vector<MeasuredWeight> records;
    for (const std::string &name : block.weights) {
      const ParameterInfo *info = runner.archive().find(name);
      const float *w = runner.values(name);
      if (!info || info->shape.size() != 2 || !w)
        return llvm::createStringError("weight '" + name +
                                       "' is no f32 matrix of the archive");
      MeasuredWeight &record = records.emplace_back();
      record.weight = name;
      record.n = info->shape[0];
      record.k = info->shape[1];
      if (options.statistics)
        if (llvm::Error error =
                options.statistics->checkWeight(name, w, record.n, record.k))
          return std::move(error);
      record.hash = hashWeight(w, record.n, record.k);
      llvm::ArrayRef<float> numbers(w, record.n * record.k);
      record.zd = zScoreShare(llvm::ArrayRef<llvm::ArrayRef<float>>(numbers));
    }
    return records;
  }

  /// Whether the file has the weights' losses, of these numbers.
  bool hasLosses(const MeasuredWeight &record) const {
    const MeasuredWeight *held = writer.measurements().find(record.weight);
    return held && held->hash == record.hash &&
           llvm::all_of(options.choices, [&](const StorageChoice &choice) {
             return held->find(choice.str());
           });
  }

  const MeasuredBlock *findMatrix(llvm::StringRef name) const {
    for (const MeasuredBlock &held : writer.measurements().blocks)
      if (held.block == name)
        return &held;
    return nullptr;
  }

  bool isKnown(size_t index, llvm::ArrayRef<MeasuredWeight> records) const {
    const MeasuredBlock *held =
        findMatrix(std::to_string(runner.blocks()[index].number));
    return held && llvm::all_of(records, [&](const MeasuredWeight &record) {
             return hasLosses(record) &&
                    llvm::all_of(options.choices,
                                 [&](const StorageChoice &choice) {
                                   return llvm::is_contained(
                                       held->variables,
                                       std::pair(record.weight, choice.str()));
                                 });
           });
  }

  /// What the output's change is multiplied with, so that a loss is a sum of
  /// squares: rows [sequences · T], columns [D].
  llvm::Error weighOutput(size_t index) {
    double tokens =
        static_cast<double>(runner.numSequences() * runner.tokens());
    rows.assign(runner.numSequences() * runner.tokens(), 0);
    columns.assign(runner.width(), 1);
    if (options.fisher) {
      llvm::StringRef name = outputWeight(runner, runner.blocks()[index]);
      const ParameterInfo *info = runner.archive().find(name);
      int64_t n = info->shape[0], k = info->shape[1];
      auto fisher = options.statistics->fisher(name, n, k);
      if (!fisher)
        return fisher.takeError();
      auto squares = options.statistics->meanSquares(name, n, k);
      if (!squares)
        return squares.takeError();
      double input = 0;
      for (float square : *squares)
        input += static_cast<double>(square);
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < k; ++j)
          sum += static_cast<double>((*fisher)[i * k + j]);
        columns[i] =
            static_cast<float>(input > 0 ? std::sqrt(0.5 * sum / input) : 0);
      }
      for (float &row : rows)
        row = static_cast<float>(std::sqrt(1 / tokens));
      return llvm::Error::success();
    }
    for (size_t s = 0, row = 0; s < runner.numSequences(); ++s)
      for (int64_t t = 0; t < runner.tokens(); ++t, ++row) {
        double energy =
            squaredNorm(runner.input(s, index + 1)
                            .slice(t * runner.width(), runner.width()));
        rows[row] =
            static_cast<float>(energy > 0 ? 1 / std::sqrt(energy * tokens) : 0);
      }
    return llvm::Error::success();
  }

  /// The weighted change of the block's output on all sequences with the
  /// weights that are set.
  void runChanged(size_t index, std::vector<float> &change) {
    change.resize(runner.numSequences() * size);
    for (size_t s = 0, row = 0; s < runner.numSequences(); ++s) {
      float *out = &change[s * size];
      runner.runBlock(index, runner.input(s, index).data(), out);
      llvm::ArrayRef<float> reference = runner.input(s, index + 1);
      for (int64_t t = 0, i = 0; t < runner.tokens(); ++t, ++row)
        for (int64_t d = 0; d < runner.width(); ++d, ++i)
          out[i] = (out[i] - reference[i]) * rows[row] * columns[d];
    }
  }

  llvm::Error decode(const MeasuredWeight &record,
                     llvm::ArrayRef<StorageChoice> choices,
                     std::vector<std::vector<float>> &stored,
                     std::vector<double> *ownErrors = nullptr) {
    auto measured = errors.measure(record.weight, runner.values(record.weight),
                                   record.n, record.k, choices, &stored);
    if (!measured)
      return measured.takeError();
    if (ownErrors)
      *ownErrors = std::move(*measured);
    return llvm::Error::success();
  }

  llvm::Error addLoss(MeasuredWeight &record, const StorageChoice &choice,
                      double loss) {
    if (!std::isfinite(loss))
      return llvm::createStringError("weight '" + record.weight + "' as " +
                                     choice.str() +
                                     ": the changed output is not finite");
    record.losses.push_back({choice.str(), loss});
    return llvm::Error::success();
  }

  llvm::Error measureGram(size_t index,
                          llvm::MutableArrayRef<MeasuredWeight> records,
                          MeasuredBlock &matrix) {
    std::vector<std::vector<float>> changes;
    for (MeasuredWeight &record : records) {
      std::vector<std::vector<float>> stored;
      if (llvm::Error error = decode(record, options.choices, stored))
        return error;
      for (auto [choice, numbers] : llvm::zip_equal(options.choices, stored)) {
        llvm::cantFail(runner.setWeight(record.weight, numbers.data()));
        runChanged(index, changes.emplace_back());
        if (llvm::Error error =
                addLoss(record, choice, squaredNorm(changes.back())))
          return error;
        matrix.variables.push_back({record.weight, choice.str()});
      }
      llvm::cantFail(runner.setWeight(record.weight, nullptr));
    }
    matrix.matrix = innerProducts(changes, options.threads);
    for (double &entry : matrix.matrix)
      entry *= 2;
    return llvm::Error::success();
  }

  llvm::Error measureExactly(size_t index,
                             llvm::MutableArrayRef<MeasuredWeight> records,
                             MeasuredBlock &matrix) {
    // All decoded weights of the block at once: choices times its size.
    std::vector<std::vector<std::vector<float>>> stored(records.size());
    std::vector<float> change;
    std::vector<double> alone;
    for (auto [record, numbers] : llvm::zip_equal(records, stored)) {
      if (llvm::Error error = decode(record, options.choices, numbers))
        return error;
      for (auto [choice, own] : llvm::zip_equal(options.choices, numbers)) {
        llvm::cantFail(runner.setWeight(record.weight, own.data()));
        runChanged(index, change);
        alone.push_back(squaredNorm(change));
        if (llvm::Error error = addLoss(record, choice, alone.back()))
          return error;
        matrix.variables.push_back({record.weight, choice.str()});
      }
      llvm::cantFail(runner.setWeight(record.weight, nullptr));
    }
    size_t choices = options.choices.size(), count = alone.size();
    matrix.matrix.assign(count * count, 0);
    for (size_t a = 0; a < count; ++a) {
      matrix.matrix[a * count + a] = 2 * alone[a];
      llvm::StringRef first = records[a / choices].weight;
      llvm::cantFail(
          runner.setWeight(first, stored[a / choices][a % choices].data()));
      for (size_t c = (a / choices + 1) * choices; c < count; ++c) {
        llvm::StringRef second = records[c / choices].weight;
        llvm::cantFail(
            runner.setWeight(second, stored[c / choices][c % choices].data()));
        runChanged(index, change);
        matrix.matrix[a * count + c] = matrix.matrix[c * count + a] =
            squaredNorm(change) - alone[a] - alone[c];
        llvm::cantFail(runner.setWeight(second, nullptr));
      }
      llvm::cantFail(runner.setWeight(first, nullptr));
    }
    return llvm::Error::success();
  }

  /// The predictions' changes with the weights of block `index` that are set.
  std::vector<float> runRest(size_t index, const PredictionMetric &metric) {
    std::vector<std::vector<float>> hidden(runner.numSequences());
    for (auto [s, x] : llvm::enumerate(hidden)) {
      x = runner.input(s, index).vec();
      for (size_t i = index; i < runner.blocks().size(); ++i)
        runner.runBlock(i, x.data(), x.data());
      runner.runFinal(x.data(), x.data());
    }
    return metric.project(hidden);
  }

  llvm::Error openChanges(size_t dimension,
                          std::vector<std::vector<float>> &changes);
  llvm::Error keepChange(llvm::ArrayRef<float> change);

  BlockRunner &runner;
  const InteractionOptions &options;
  MeasurementWriter &writer;
  int64_t size; ///< of a sequence's hidden states
  WeightLossMeter errors;
  std::vector<float> rows, columns;
  std::unique_ptr<llvm::raw_fd_ostream> kept;
};

} // namespace

/// A line that says of what, then vectors of f32, as far as a run got.
llvm::Error Meter::openChanges(size_t dimension,
                               std::vector<std::vector<float>> &changes) {
  const MeasurementHeader &header = writer.measurements().header;
  std::string of = hashBytes(header.loss + header.statistics) + "\n";
  if (auto file = llvm::MemoryBuffer::getFile(options.changesPath)) {
    llvm::StringRef bytes = (*file)->getBuffer();
    if (bytes.consume_front(of))
      for (size_t one = 4 * dimension; bytes.size() >= one;
           bytes = bytes.drop_front(one)) {
        std::vector<float> &change = changes.emplace_back(dimension);
        std::memcpy(change.data(), bytes.data(), one);
      }
  }
  std::error_code code;
  kept = std::make_unique<llvm::raw_fd_ostream>(options.changesPath, code);
  if (code)
    return llvm::createStringError("cannot write " + options.changesPath +
                                   ": " + code.message());
  *kept << of;
  for (const std::vector<float> &change : changes)
    if (llvm::Error error = keepChange(change))
      return error;
  return llvm::Error::success();
}

llvm::Error Meter::keepChange(llvm::ArrayRef<float> change) {
  kept->write(reinterpret_cast<const char *>(change.data()), 4 * change.size());
  kept->flush();
  if (!kept->has_error())
    return llvm::Error::success();
  std::string message = kept->error().message();
  kept->clear_error();
  return llvm::createStringError("cannot write " + options.changesPath + ": " +
                                 message);
}

llvm::Error
Meter::measureModel(llvm::function_ref<void(llvm::StringRef)> done) {
  std::vector<std::vector<MeasuredWeight>> records;
  MeasuredBlock matrix;
  matrix.block = MeasuredBlock::wholeModel;
  bool known = true;
  for (const BlockRunner::Block &block : runner.blocks()) {
    auto own = describeWeights(block);
    if (!own)
      return own.takeError();
    for (const MeasuredWeight &record : *own) {
      known = known && hasLosses(record);
      for (const StorageChoice &probe : options.probes)
        matrix.variables.push_back({record.weight, probe.str()});
    }
    records.push_back(std::move(*own));
  }
  const MeasuredBlock *held = findMatrix(matrix.block);
  if (known && held && held->variables == matrix.variables)
    return llvm::Error::success();

  const ParameterInfo *head = runner.archive().find(runner.head());
  const float *words = runner.values(runner.head());
  if (!head || head->shape.size() != 2 || head->shape[1] != runner.width() ||
      !words)
    return llvm::createStringError("the head '" + runner.head() +
                                   "' is no f32 matrix of the archive");
  PredictionMetric metric(words, head->shape[0], runner.width(),
                          options.samples, options.seed, options.threads);
  for (size_t s = 0; s < runner.numSequences(); ++s) {
    std::vector<float> hidden(size);
    runner.runFinal(runner.input(s, runner.blocks().size()).data(),
                    hidden.data());
    metric.add(hidden);
  }
  std::vector<std::vector<float>> changes;
  if (llvm::Error error = openChanges(metric.dimension(), changes))
    return error;
  size_t next = 0;
  for (auto [index, own] : llvm::enumerate(records))
    for (MeasuredWeight &record : own) {
      size_t first = next;
      next += options.probes.size();
      if (changes.size() < next || !hasLosses(record)) {
        std::vector<std::vector<float>> stored;
        std::vector<double> probeErrors, probeLosses;
        if (llvm::Error error =
                decode(record, options.probes, stored, &probeErrors))
          return error;
        for (size_t p = 0; p < stored.size(); ++p) {
          if (changes.size() <= first + p) {
            llvm::cantFail(runner.setWeight(record.weight, stored[p].data()));
            changes.push_back(runRest(index, metric));
            llvm::cantFail(runner.setWeight(record.weight, nullptr));
            if (llvm::Error error = keepChange(changes.back()))
              return error;
          }
          probeLosses.push_back(squaredNorm(changes[first + p]));
        }
        stored.clear();
        auto all = errors.measure(record.weight, runner.values(record.weight),
                                  record.n, record.k, options.choices);
        if (!all)
          return all.takeError();
        std::vector<double> losses =
            lossesFromProbes(probeErrors, probeLosses, *all);
        for (auto [choice, loss] : llvm::zip_equal(options.choices, losses))
          if (llvm::Error error = addLoss(record, choice, loss))
            return error;
        // A probe's loss says how large its change is, choice or not.
        for (auto [probe, loss] : llvm::zip_equal(options.probes, probeLosses))
          if (!record.find(probe.str()))
            if (llvm::Error error = addLoss(record, probe, loss))
              return error;
        std::string name = record.weight;
        if (llvm::Error error = writer.append(std::move(record)))
          return error;
        done(name);
      } else
        done(record.weight);
    }
  matrix.matrix = innerProducts(changes, options.threads);
  for (double &entry : matrix.matrix)
    entry *= 2;
  if (llvm::Error error = writer.append(std::move(matrix)))
    return error;
  kept.reset();
  llvm::sys::fs::remove(options.changesPath);
  return llvm::Error::success();
}

llvm::Error mlir::cq::measureInteractions(
    BlockRunner &runner, const InteractionOptions &options,
    MeasurementWriter &writer, llvm::function_ref<void(llvm::StringRef)> done) {
  Meter meter(runner, options, writer);
  return options.pairs == PairKind::Model ? meter.measureModel(done)
                                          : meter.measureBlocks(done);
}
