//===- RatioFronts.cpp - Exact answers for block-diagonal problems --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BlockEnumerator.h"
#include "FrontKnapsack.h"
#include "RatioModel.h"
#include "cq/Solver/RatioSolver.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/ThreadPool.h"

using namespace mlir::cq;

struct RatioFronts::Impl {
  RatioProblem problem;
  RatioModel model;
  std::vector<std::vector<unsigned>> components;
  std::vector<BlockEnumerator> enumerators;
  std::optional<FrontKnapsack> knapsack;
  size_t points = 0;
  uint64_t assignments = 0;
};

RatioFronts::RatioFronts(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
RatioFronts::RatioFronts(RatioFronts &&) = default;
RatioFronts &RatioFronts::operator=(RatioFronts &&) = default;
RatioFronts::~RatioFronts() = default;

size_t RatioFronts::points() const { return impl->points; }
uint64_t RatioFronts::assignments() const { return impl->assignments; }

std::vector<std::pair<int64_t, double>> RatioFronts::hull() const {
  return impl->knapsack->hull();
}

llvm::Expected<RatioFronts> RatioFronts::build(const RatioProblem &problem,
                                               unsigned threads) {
  if (llvm::Error error = problem.check())
    return std::move(error);
  auto impl = std::make_unique<Impl>();
  impl->problem = problem;
  auto model = RatioModel::build(problem);
  if (!model)
    return model.takeError();
  impl->model = std::move(*model);
  impl->components = impl->model.components();
  for (const std::vector<unsigned> &nodes : impl->components) {
    impl->enumerators.emplace_back(impl->model, nodes);
    if (impl->enumerators.back().size() > (uint64_t(1) << 32))
      return llvm::createStringError(llvm::formatv(
          "{0} layers interact with the block of layer '{1}', too many to "
          "enumerate all their assignments; tie layers into groups, drop "
          "choices, or use method=bound",
          nodes.size(),
          problem.layers[impl->model.nodes[nodes.front()].layers.front()]
              .name));
  }
  std::vector<Front> fronts(impl->components.size());
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
    for (size_t i = 0; i < fronts.size(); ++i)
      pool.async([&, i] { fronts[i] = impl->enumerators[i].run(); });
    pool.wait();
  }
  for (const Front &front : fronts)
    impl->points += front.size();
  for (const BlockEnumerator &enumerator : impl->enumerators)
    impl->assignments += enumerator.visited();
  impl->knapsack.emplace(std::move(fronts));
  return RatioFronts(std::move(impl));
}

llvm::Expected<RatioSolution> RatioFronts::solve(int64_t budget) const {
  const RatioProblem &problem = impl->problem;
  if (llvm::Error error = problem.checkBudget(budget))
    return std::move(error);
  auto answer = impl->knapsack->solve(budget - problem.offset);
  if (!answer)
    return llvm::createStringError("no answer within the budget");
  std::vector<unsigned> nodeChoices(impl->model.nodes.size());
  for (size_t i = 0; i < impl->components.size(); ++i) {
    const FrontPoint &point = impl->knapsack->fronts()[i][answer->points[i]];
    std::vector<unsigned> chosen = impl->enumerators[i].decode(point.code);
    for (auto [node, choice] : llvm::zip_equal(impl->components[i], chosen))
      nodeChoices[node] = choice;
  }
  RatioSolution solution = impl->model.finish(problem, nodeChoices);
  solution.bound = solution.value - (answer->value - answer->bound);
  solution.price = answer->price;
  return solution;
}
