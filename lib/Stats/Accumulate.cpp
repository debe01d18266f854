//===- Accumulate.cpp - Adding up what one sequence showed ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Parallel.h"
#include "cq/Stats/Statistics.h"
#include <algorithm>
#include <cassert>
#include <cmath>

using namespace mlir::cq;

llvm::StringRef mlir::cq::stringifyFisherKind(FisherKind kind) {
  switch (kind) {
  case FisherKind::None:
    return "none";
  case FisherKind::Sequence:
    return "sequence";
  case FisherKind::Token:
    return "token";
  }
  return "";
}

std::optional<FisherKind> mlir::cq::parseFisherKind(llvm::StringRef text) {
  for (FisherKind kind :
       {FisherKind::None, FisherKind::Sequence, FisherKind::Token})
    if (stringifyFisherKind(kind) == text)
      return kind;
  return std::nullopt;
}

// Every sum belongs to one column or element and takes its terms in row order,
// so the number of threads changes nothing.

void InputStatistics::add(const float *x, int64_t rows, unsigned threads) {
  if (tokens == 0) {
    sumSquares.assign(k, 0);
    sumMagnitudes.assign(k, 0);
    maxMagnitude.assign(k, 0);
  }
  tokens += rows;
  parallelRanges(k,
                 std::max<int64_t>(64, (1 << 18) / std::max<int64_t>(1, rows)),
                 threads, [&](int64_t begin, int64_t end) {
                   for (int64_t row = 0; row < rows; ++row)
                     for (int64_t j = begin; j < end; ++j) {
                       float magnitude = std::fabs(x[row * k + j]);
                       sumSquares[j] += double(magnitude) * magnitude;
                       sumMagnitudes[j] += magnitude;
                       // A NaN stays: the sums hold it, and writing refuses it.
                       maxMagnitude[j] = std::max(maxMagnitude[j], magnitude);
                     }
                 });
}

void InputStatistics::addGram(const float *xtx, unsigned threads) {
  if (gram.empty())
    gram.assign(k * (k + 1) / 2, 0);
  parallelRanges(k, std::max<int64_t>(1, (1 << 17) / k), threads,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     double *row = gram.data() + i * k - i * (i - 1) / 2 - i;
                     for (int64_t j = i; j < k; ++j)
                       row[j] += xtx[i * k + j];
                   }
                 });
}

std::vector<float> InputStatistics::meanSquares() const {
  std::vector<float> result(sumSquares.size());
  for (size_t j = 0; j < result.size(); ++j)
    result[j] = float(sumSquares[j] / double(tokens));
  return result;
}

template <typename Term>
static void addElements(FisherStatistics &fisher, unsigned threads, Term term) {
  int64_t count = fisher.n * fisher.k;
  if (fisher.sum.empty())
    fisher.sum.assign(count, 0);
  ++fisher.sequences;
  double *sum = fisher.sum.data();
  parallelRanges(count, 1 << 17, threads, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      sum[i] += term(i);
  });
}

void FisherStatistics::addGradient(const float *gradient, unsigned threads) {
  addElements(*this, threads,
              [=](int64_t i) { return double(gradient[i]) * gradient[i]; });
}

void FisherStatistics::addSquares(const float *squares, unsigned threads) {
  addElements(*this, threads, [=](int64_t i) { return double(squares[i]); });
}

void BlockStatistics::add(const float *in, const float *out, int64_t rows,
                          int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    double inner = 0, inSquares = 0, outSquares = 0;
    for (int64_t j = row * width; j < (row + 1) * width; ++j) {
      inner += double(in[j]) * out[j];
      inSquares += double(in[j]) * in[j];
      outSquares += double(out[j]) * out[j];
    }
    // A zero vector points nowhere: no likeness.
    if (inSquares != 0 && outSquares != 0)
      sumCosine += inner / (std::sqrt(inSquares) * std::sqrt(outSquares));
    dot += inner;
    squaresIn += inSquares;
    squaresOut += outSquares;
  }
  tokens += rows;
}

double BlockStatistics::limToken() const {
  return tokens == 0 ? 0 : -sumCosine / double(tokens);
}

double BlockStatistics::limFlat() const {
  double norm = std::sqrt(squaresIn) * std::sqrt(squaresOut);
  return norm == 0 ? 0 : -dot / norm;
}

const InputStatistics *Statistics::findInput(llvm::StringRef weight) const {
  for (const InputStatistics &input : inputs)
    for (const std::string &name : input.weights)
      if (name == weight)
        return &input;
  return nullptr;
}

const FisherStatistics *Statistics::findFisher(llvm::StringRef weight) const {
  for (const FisherStatistics &fisher : fishers)
    if (fisher.weight == weight)
      return &fisher;
  return nullptr;
}
