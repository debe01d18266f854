//===- ReferenceDecoder.cpp - A decoder in plain loops --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceDecoder.h"
#include <algorithm>
#include <cmath>

using namespace mlir::cq;

namespace {

using Vector = std::vector<double>;

class Decoder {
public:
  explicit Decoder(const ModelSource &source)
      : source(source), config(source.config) {}

  Vector logits(llvm::ArrayRef<int32_t> tokens);

private:
  Vector load(const std::string &name) {
    const ParameterInfo *info = source.archive->find(name);
    if (!info)
      llvm::report_fatal_error(llvm::Twine("no tensor ") + name);
    std::vector<float> values(info->numElements());
    llvm::cantFail(ParameterArchive::readAsF32(*info, values.data(), 1));
    return Vector(values.begin(), values.end());
  }

  /// Rows of x [M, K] times weight [N, K] transposed, plus bias.
  Vector linear(const Vector &x, int64_t k, const std::string &weightName,
                const std::string &biasName = "") {
    Vector weight = load(weightName), bias;
    int64_t m = x.size() / k, n = weight.size() / k;
    if (!biasName.empty())
      bias = load(biasName);
    Vector y(m * n);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = bias.empty() ? 0 : bias[j];
        for (int64_t l = 0; l < k; ++l)
          sum += x[i * k + l] * weight[j * k + l];
        y[i * n + j] = sum;
      }
    return y;
  }

  /// Over as many as there are weights.
  Vector norm(const Vector &x, const std::string &weightName) {
    Vector weight = load(weightName), y(x.size());
    int64_t d = weight.size(), m = x.size() / d;
    for (int64_t i = 0; i < m; ++i) {
      double squares = 0;
      for (int64_t j = 0; j < d; ++j)
        squares += x[i * d + j] * x[i * d + j];
      double rms = std::sqrt(squares / d + config.epsilon);
      for (int64_t j = 0; j < d; ++j)
        y[i * d + j] = x[i * d + j] / rms * weight[j];
    }
    return y;
  }

  void rotate(Vector &x, int64_t heads) {
    int64_t d = config.headDim, m = x.size() / (heads * d);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t p = 0; p < d / 2; ++p) {
          double angle = i * std::pow(config.ropeBase, -2.0 * p / d);
          if (!config.ropeFactors.empty())
            angle /= config.ropeFactors[p];
          double *head = &x[(i * heads + h) * d];
          double &a = head[config.interleavedRope ? 2 * p : p];
          double &b = head[config.interleavedRope ? 2 * p + 1 : p + d / 2];
          double turned = a * std::cos(angle) - b * std::sin(angle);
          b = a * std::sin(angle) + b * std::cos(angle);
          a = turned;
        }
  }

  Vector attention(const Vector &q, const Vector &k, const Vector &v) {
    int64_t d = config.headDim, h = config.heads, g = config.kvHeads;
    int64_t m = q.size() / (h * d);
    Vector mixed(q.size());
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < h; ++j) {
        int64_t group = j / (h / g);
        Vector scores(i + 1);
        for (int64_t l = 0; l <= i; ++l)
          for (int64_t f = 0; f < d; ++f)
            scores[l] += q[(i * h + j) * d + f] * k[(l * g + group) * d + f] /
                         std::sqrt(double(d));
        double largest = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double &score : scores)
          total += score = std::exp(score - largest);
        for (int64_t l = 0; l <= i; ++l)
          for (int64_t f = 0; f < d; ++f)
            mixed[(i * h + j) * d + f] +=
                scores[l] / total * v[(l * g + group) * d + f];
      }
    return mixed;
  }

  const ModelSource &source;
  const ModelConfig &config;
};

void addTo(Vector &x, const Vector &y) {
  for (size_t i = 0; i < x.size(); ++i)
    x[i] += y[i];
}

Vector Decoder::logits(llvm::ArrayRef<int32_t> tokens) {
  int64_t d = config.width;
  Vector embedding = load(source.embedding), x;
  for (int32_t token : tokens)
    x.insert(x.end(), embedding.begin() + token * d,
             embedding.begin() + (token + 1) * d);
  for (const BlockTensors &block : source.blocks) {
    Vector normed = norm(x, block.attentionNorm);
    Vector q = linear(normed, d, block.q, block.qBias);
    Vector k = linear(normed, d, block.k, block.kBias);
    Vector v = linear(normed, d, block.v, block.vBias);
    if (config.headNorms) {
      q = norm(q, block.qNorm);
      k = norm(k, block.kNorm);
    }
    rotate(q, config.heads);
    rotate(k, config.kvHeads);
    addTo(x,
          linear(attention(q, k, v), config.heads * config.headDim, block.o));
    normed = norm(x, block.mlpNorm);
    Vector gate = linear(normed, d, block.gate);
    Vector up = linear(normed, d, block.up);
    for (size_t i = 0; i < gate.size(); ++i)
      gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    addTo(x, linear(gate, config.hidden, block.down));
  }
  return linear(norm(x, source.finalNorm), d, source.head);
}

} // namespace

std::vector<double> test::referenceLogits(const ModelSource &source,
                                          llvm::ArrayRef<int32_t> tokens) {
  return Decoder(source).logits(tokens);
}

std::vector<double> test::referenceLoss(const std::vector<double> &logits,
                                        llvm::ArrayRef<int32_t> tokens) {
  int64_t v = logits.size() / tokens.size();
  std::vector<double> loss;
  for (size_t t = 0; t + 1 < tokens.size(); ++t) {
    const double *row = &logits[t * v];
    double largest = *std::max_element(row, row + v), total = 0;
    for (int64_t i = 0; i < v; ++i)
      total += std::exp(row[i] - largest);
    loss.push_back(std::log(total) + largest - row[tokens[t + 1]]);
  }
  return loss;
}
