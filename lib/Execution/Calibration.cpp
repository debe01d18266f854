//===- Calibration.cpp - Observations to statistics -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/Calibration.h"
#include "cq/Stats/Scores.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>
#include <map>

using namespace mlir::cq;

llvm::Expected<Calibration>
Calibration::create(ObservedModel &model, FisherKind fisher, unsigned threads) {
  Calibration result(model, threads);
  if (llvm::Error error = result.plan(fisher))
    return std::move(error);
  return result;
}

llvm::Error Calibration::plan(FisherKind fisher) {
  llvm::StringMap<ValueInfo> shapes;
  for (const ParameterSlot &slot : model->parameters())
    shapes[slot.name] = slot.type;
  sums.fisherKind = fisher;
  std::map<std::vector<std::string>, int64_t> inputs;
  llvm::StringMap<int64_t> fishers, owners;
  std::map<int64_t, int64_t> blocks;
  for (const ObservationInfo &info : model->observations()) {
    Target &target = targets.emplace_back();
    if (info.statistic == "block") {
      auto [at, fresh] = blocks.try_emplace(info.block, sums.blocks.size());
      if (fresh)
        sums.blocks.emplace_back().block = info.block;
      target.block = at->second;
    } else if (info.weights.empty()) {
      continue; // reads nothing that can be quantized
    } else if (info.statistic == "input" || info.statistic == "gram") {
      auto [at, fresh] = inputs.try_emplace(info.weights, sums.inputs.size());
      if (fresh) {
        InputStatistics input;
        // A weight has one input: of several that read other weights besides,
        // the first counts.
        for (const std::string &weight : info.weights)
          if (owners.try_emplace(weight, at->second).second)
            input.weights.push_back(weight);
        if (input.weights.empty()) {
          at->second = -1;
        } else {
          // Columns are what the weight's rows have.
          const ValueInfo &type = shapes[input.weights.front()];
          input.k = type.shape.empty() ? 0 : type.shape.back();
          sums.inputs.push_back(std::move(input));
        }
      }
      target.input = at->second;
    } else {
      const std::string &weight = info.weights.front();
      const ValueInfo &type = shapes[weight];
      if (type.shape.empty())
        continue;
      auto [at, fresh] = fishers.try_emplace(weight, sums.fishers.size());
      if (fresh) {
        FisherStatistics &entry = sums.fishers.emplace_back();
        entry.weight = weight;
        entry.k = type.shape.back();
        entry.n = type.numElements() / std::max<int64_t>(1, entry.k);
      }
      target.fisher = at->second;
    }
  }
  if (sums.inputs.empty() && sums.fishers.empty() && sums.blocks.empty())
    return fail("the model shows no product with an f32 weight, so there is "
                "nothing to measure; give the module that `cq import` wrote");
  return llvm::Error::success();
}

void Calibration::take(const ObservationInfo &info,
                       llvm::ArrayRef<ObservedMatrix> matrices) {
  const Target &target = targets[&info - model->observations().data()];
  const ObservedMatrix &x = matrices[0];
  if (target.block >= 0) {
    sums.blocks[target.block].add(x.data, matrices[1].data, x.rows, x.columns);
  } else if (target.input >= 0) {
    InputStatistics &input = sums.inputs[target.input];
    if (info.statistic == "gram") {
      input.addGram(x.data, threads);
      return;
    }
    if (input.tokens == 0)
      input.k = x.columns; // a transposed weight has them first
    input.add(x.data, x.rows, threads);
  } else if (target.fisher >= 0) {
    FisherStatistics &fisher = sums.fishers[target.fisher];
    if (info.statistic == "fisher")
      fisher.addSquares(x.data, threads);
    else
      fisher.addGradient(x.data, threads);
  }
}

llvm::Error Calibration::add(llvm::ArrayRef<int32_t> tokens) {
  std::vector<float> losses(model->tokens() - 1);
  if (llvm::Error error =
          model->run(tokens, losses,
                     [&](const ObservationInfo &info,
                         llvm::ArrayRef<ObservedMatrix> matrices) {
                       take(info, matrices);
                     }))
    return error;
  double sum = 0;
  for (float loss : losses)
    sum += loss;
  if (!std::isfinite(sum))
    return fail("the model's loss is no finite number; its weights or the "
                "tokens are damaged");
  sums.sumLoss += sum;
  sums.lossTokens += int64_t(losses.size());
  return llvm::Error::success();
}

llvm::Error Calibration::resume(Statistics saved) {
  auto fits = [&] {
    if (saved.inputs.size() != sums.inputs.size() ||
        saved.fishers.size() != sums.fishers.size() ||
        saved.blocks.size() != sums.blocks.size() ||
        saved.fisherKind != sums.fisherKind)
      return false;
    for (auto [a, b] : llvm::zip_equal(saved.inputs, sums.inputs))
      if (a.weights != b.weights)
        return false;
    for (auto [a, b] : llvm::zip_equal(saved.fishers, sums.fishers))
      if (a.weight != b.weight || a.n != b.n || a.k != b.k)
        return false;
    for (auto [a, b] : llvm::zip_equal(saved.blocks, sums.blocks))
      if (a.block != b.block)
        return false;
    return true;
  };
  if (!fits())
    return fail("it lists other inputs, Fisher matrices or blocks");
  sums = std::move(saved);
  return llvm::Error::success();
}

void Calibration::measureZScores() {
  std::map<int64_t, std::vector<llvm::ArrayRef<float>>> weights;
  llvm::StringSet<> seen;
  for (const ObservationInfo &info : model->observations())
    for (const std::string &name : info.weights) {
      const float *values = model->parameter(name);
      if (info.block < 0 || !values || !seen.insert(name).second)
        continue;
      for (const ParameterSlot &slot : model->parameters())
        if (slot.name == name)
          weights[info.block].emplace_back(values, slot.type.numElements());
    }
  for (BlockStatistics &block : sums.blocks)
    if (auto found = weights.find(block.block); found != weights.end()) {
      block.zScore = zScoreShare(found->second);
      block.zScoreTwoSided = zScoreShare(found->second, /*twoSided=*/true);
    }
}

int64_t Calibration::bytes() const {
  int64_t total = 0;
  bool gram = llvm::any_of(model->observations(), [](const auto &info) {
    return info.statistic == "gram";
  });
  for (const InputStatistics &input : sums.inputs)
    total += input.k * (8 + 8 + 4) +
             (gram ? input.k * (input.k + 1) / 2 * int64_t(8) : 0);
  for (const FisherStatistics &fisher : sums.fishers)
    total += fisher.n * fisher.k * 8;
  return total + int64_t(sums.blocks.size()) * 32;
}
