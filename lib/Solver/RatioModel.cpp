//===- RatioModel.cpp - A ratio problem as solvers see it -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RatioModel.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <map>

using namespace mlir::cq;

namespace {

class Builder {
public:
  explicit Builder(const RatioProblem &problem) : problem(problem) {}

  llvm::Expected<RatioModel> build() {
    makeNodes();
    for (auto [index, block] : llvm::enumerate(problem.blocks))
      if (!block.matrix.empty())
        addMatrix(block, index);
    for (const RatioCoupling &coupling : problem.couplings)
      addCoupling(coupling);
    if (problem.gram)
      if (llvm::Error error = addGram())
        return std::move(error);
    for (auto &[key, values] : tables)
      if (llvm::any_of(values, [](double x) { return x != 0; }))
        model.pairs.push_back({key.first, key.second, std::move(values)});
    return std::move(model);
  }

private:
  void makeNodes() {
    size_t count = problem.layers.size();
    model.numLayers = count;
    nodeOf.assign(count, ~0u);
    blockOf.assign(count, -1);
    std::vector<int64_t> groupOf(count, -1);
    for (auto [index, group] : llvm::enumerate(problem.groups))
      for (unsigned layer : group)
        groupOf[layer] = index;
    for (unsigned l = 0; l < count; ++l) {
      if (nodeOf[l] != ~0u)
        continue;
      RatioNode node;
      if (groupOf[l] >= 0)
        node.layers = problem.groups[groupOf[l]];
      else
        node.layers = {l};
      node.choices = problem.allowed(l);
      node.costs.resize(node.choices.size());
      node.losses.resize(node.choices.size());
      for (unsigned member : node.layers) {
        nodeOf[member] = model.nodes.size();
        for (auto [x, choice] : llvm::enumerate(node.choices)) {
          node.costs[x] += problem.layers[member].choices[choice].cost;
          node.losses[x] += problem.layers[member].choices[choice].loss;
        }
      }
      model.nodes.push_back(std::move(node));
    }
  }

  std::vector<double> &table(unsigned a, unsigned b) {
    std::vector<double> &values = tables[{a, b}];
    values.resize(model.nodes[a].choices.size() *
                  model.nodes[b].choices.size());
    return values;
  }

  /// Adds entry(x of l, y of m), x and y choices of the problem's lists.
  void addPair(unsigned l, unsigned m,
               llvm::function_ref<double(unsigned, unsigned)> entry) {
    unsigned a = nodeOf[l], b = nodeOf[m];
    if (a == b) { // one choice for both
      RatioNode &node = model.nodes[a];
      for (auto [x, choice] : llvm::enumerate(node.choices))
        node.losses[x] += entry(choice, choice);
      return;
    }
    if (a > b)
      return addPair(m, l, [&](unsigned y, unsigned x) { return entry(x, y); });
    std::vector<double> &values = table(a, b);
    size_t position = 0;
    for (unsigned x : model.nodes[a].choices)
      for (unsigned y : model.nodes[b].choices)
        values[position++] += entry(x, y);
  }

  void addMatrix(const RatioBlock &block, size_t index) {
    std::vector<size_t> starts = {0};
    for (unsigned layer : block.layers) {
      blockOf[layer] = index;
      starts.push_back(starts.back() + problem.layers[layer].choices.size());
    }
    size_t size = starts.back();
    for (size_t i = 0; i < block.layers.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        addPair(block.layers[j], block.layers[i], [&](unsigned x, unsigned y) {
          return block.matrix[(starts[j] + x) * size + starts[i] + y];
        });
  }

  void addCoupling(const RatioCoupling &c) {
    unsigned l = c.layerA, m = c.layerB, x = c.choiceA, y = c.choiceB;
    if (nodeOf[l] > nodeOf[m]) {
      std::swap(l, m);
      std::swap(x, y);
    }
    RatioNode &a = model.nodes[nodeOf[l]], &b = model.nodes[nodeOf[m]];
    auto xAt = llvm::find(a.choices, x), yAt = llvm::find(b.choices, y);
    if (xAt == a.choices.end() || yAt == b.choices.end())
      return; // cannot happen
    if (nodeOf[l] == nodeOf[m]) {
      if (x == y)
        a.losses[xAt - a.choices.begin()] += c.value;
      return;
    }
    table(nodeOf[l], nodeOf[m])[(xAt - a.choices.begin()) * b.choices.size() +
                                (yAt - b.choices.begin())] += c.value;
  }

  bool covered(unsigned l, unsigned m) const {
    return blockOf[l] >= 0 && blockOf[l] == blockOf[m];
  }

  double product(const float *a, const float *c) const {
    // Eight sums in a fixed order: fast and the same everywhere.
    double sums[8] = {};
    int64_t i = 0, size = problem.gram->dimension;
    for (; i + 8 <= size; i += 8)
      for (int lane = 0; lane < 8; ++lane)
        sums[lane] +=
            static_cast<double>(a[i + lane]) * static_cast<double>(c[i + lane]);
    double sum = 0;
    for (double lane : sums)
      sum += lane;
    for (; i < size; ++i)
      sum += static_cast<double>(a[i]) * static_cast<double>(c[i]);
    return 2 * problem.gram->scale * sum;
  }

  llvm::Error addGram() {
    size_t entries = 0, seen = 0;
    for (const RatioNode &node : model.nodes) {
      entries += seen * node.choices.size();
      seen += node.choices.size();
    }
    if (entries > (size_t(1) << 28))
      return llvm::createStringError(
          llvm::formatv("the Gram matrix couples {0} choices, too many to keep "
                        "in memory; tie layers into groups or drop choices",
                        seen));
    std::vector<size_t> offsets = problem.variableOffsets();
    auto vector = [&](unsigned layer, unsigned choice) {
      return &problem.gram
                  ->vectors[(offsets[layer] + choice) *
                            static_cast<size_t>(problem.gram->dimension)];
    };
    for (unsigned l = 0; l < problem.layers.size(); ++l)
      for (unsigned m = 0; m < l; ++m)
        if (!covered(l, m))
          addPair(m, l, [&](unsigned x, unsigned y) {
            return product(vector(m, x), vector(l, y));
          });
    return llvm::Error::success();
  }

  const RatioProblem &problem;
  RatioModel model;
  std::vector<unsigned> nodeOf;
  std::vector<int64_t> blockOf;
  std::map<std::pair<unsigned, unsigned>, std::vector<double>> tables;
};

} // namespace

llvm::Expected<RatioModel> RatioModel::build(const RatioProblem &problem) {
  return Builder(problem).build();
}

std::vector<std::vector<unsigned>> RatioModel::components() const {
  llvm::EquivalenceClasses<unsigned> classes;
  for (unsigned i = 0; i < nodes.size(); ++i)
    classes.insert(i);
  for (const RatioPair &pair : pairs)
    classes.unionSets(pair.a, pair.b);
  std::map<unsigned, std::vector<unsigned>> byLeader;
  for (unsigned i = 0; i < nodes.size(); ++i)
    byLeader[classes.getLeaderValue(i)].push_back(i);
  std::vector<std::vector<unsigned>> result;
  for (auto &[leader, members] : byLeader)
    result.push_back(std::move(members));
  llvm::sort(result);
  return result;
}

std::vector<unsigned>
RatioModel::expand(llvm::ArrayRef<unsigned> nodeChoices) const {
  std::vector<unsigned> choices(numLayers);
  for (auto [node, x] : llvm::zip_equal(nodes, nodeChoices))
    for (unsigned layer : node.layers)
      choices[layer] = node.choices[x];
  return choices;
}

RatioSolution RatioModel::finish(const RatioProblem &problem,
                                 llvm::ArrayRef<unsigned> nodeChoices) const {
  RatioSolution solution;
  solution.choices = expand(nodeChoices);
  solution.cost = problem.cost(solution.choices);
  solution.value = problem.value(solution.choices);
  return solution;
}
