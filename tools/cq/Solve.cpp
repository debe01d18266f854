//===- Solve.cpp - cq solve: a ratio problem from a file ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"
#include "cq/Solver/RatioSolver.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("solve", "Solves a ratio problem from a JSON file (docs/Plan.md): "
                     "which choice for which layer within a budget; prints "
                     "choices, value and proven bound as JSON");
static cl::OptionCategory options("solve options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<problem.json>"), cl::sub(command),
                                  cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("file"),
                                   cl::desc("Write here, not to stdout"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    method("method", cl::init("exact"),
           cl::desc("exact (default), bound, greedy, uniform, scores, index, "
                    "reverse or random"),
           cl::sub(command), cl::cat(options));
static cl::list<int64_t>
    budgets("budget", cl::CommaSeparated,
            cl::desc("Budgets to solve for, one answer each (default: the "
                     "problem's)"),
            cl::sub(command), cl::cat(options));
static cl::opt<uint64_t> seed("seed", cl::desc("For method=random"),
                              cl::sub(command), cl::cat(options));
static cl::list<double> scores("scores", cl::CommaSeparated,
                               cl::desc("For method=scores, one a block"),
                               cl::sub(command), cl::cat(options));

static llvm::json::Value describe(const RatioProblem &problem,
                                  const RatioSolution &solution) {
  llvm::json::Object object{{"budget", problem.budget},
                            {"choices", llvm::json::Array(solution.choices)},
                            {"cost", solution.cost + problem.offset},
                            {"value", solution.value},
                            {"price", solution.price}};
  if (std::isfinite(solution.bound)) {
    object["bound"] = solution.bound;
    object["gap"] = solution.gap();
  }
  return object;
}

static llvm::Error run() {
  auto file = llvm::MemoryBuffer::getFile(input);
  if (!file)
    return llvm::createStringError("cannot read the ratio problem " + input +
                                   ": " + file.getError().message());
  auto value = parseBoundedJSON((*file)->getBuffer(), input);
  if (!value)
    return value.takeError();
  auto problem = RatioProblem::fromJSON(*value, input);
  if (!problem)
    return problem.takeError();
  RatioOptions ratio;
  auto parsed = parseRatioMethod(method);
  if (!parsed)
    return llvm::createStringError("'" + method +
                                   "' is no method; see cq solve --help");
  ratio.method = *parsed;
  ratio.seed = seed;
  ratio.scores.assign(scores.begin(), scores.end());
  llvm::json::Array answers;
  std::vector<int64_t> list(budgets.begin(), budgets.end());
  if (list.empty())
    list.push_back(problem->budget);
  for (int64_t budget : list) {
    problem->budget = budget;
    auto solution = solveRatios(*problem, ratio);
    if (!solution)
      return solution.takeError();
    answers.push_back(describe(*problem, *solution));
  }
  std::string text =
      llvm::formatv("{0:2}\n", llvm::json::Value(std::move(answers)));
  if (!output.empty())
    return writeFileAtomically(output, text);
  llvm::outs() << text;
  return llvm::Error::success();
}

tool::Verb tool::solveVerb() { return {&command, &options, &run}; }
