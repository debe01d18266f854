//===- Scatter.cpp - A sample of one matrix -------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Collect.h"
#include "cq/Stats/Scores.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::cq;

/// `count` members of `positions`, spread evenly, or all.
static std::vector<int64_t> thin(const std::vector<int64_t> &positions,
                                 size_t count) {
  if (positions.size() <= count)
    return positions;
  std::vector<int64_t> result;
  for (size_t i = 0; i < count; ++i)
    result.push_back(positions[i * positions.size() / count]);
  return result;
}

llvm::Expected<ScatterReport>
mlir::cq::collectScatter(const ReportInputs &inputs,
                         const MatrixReport &matrix) {
  // More marks than these only make the page heavier.
  constexpr size_t cherryMarks = 700, otherMarks = 2300;
  const StatisticsReader &reader = *inputs.statistics.front();
  auto w = loadWeight(inputs, matrix);
  if (!w)
    return w.takeError();
  auto fisher = reader.fisher(matrix.weight, matrix.n, matrix.k);
  if (!fisher)
    return fisher.takeError();
  std::vector<float> magnitude = magnitudeScores(*w), activation;
  if (reader.hasInput(matrix.weight)) {
    auto squares = reader.meanSquares(matrix.weight, matrix.n, matrix.k);
    if (!squares)
      return squares.takeError();
    activation = activationScores(*w, *squares);
  }
  ScatterReport scatter{
      matrix.weight, matrix.n, matrix.k, !activation.empty(), {}};
  auto add = [&](int64_t at, bool cherry) {
    scatter.points.push_back({at / matrix.k, at % matrix.k, (*fisher)[at],
                              activation.empty() ? 0 : activation[at],
                              magnitude[at], cherry});
  };
  int64_t count = matrix.n * matrix.k;
  std::vector<int64_t> top =
      topPositions(*fisher, std::max<int64_t>(1, count / cherryShare));
  // Others first: marks drawn later lie on top. Knuth's generator: the same
  // sample everywhere.
  uint64_t state = 1;
  for (size_t i = 0; i < otherMarks; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    int64_t at = int64_t((state >> 20) % uint64_t(count));
    if (!std::binary_search(top.begin(), top.end(), at))
      add(at, false);
  }
  for (int64_t at : thin(top, cherryMarks))
    add(at, true);
  return scatter;
}
