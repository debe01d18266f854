//===- Gradients.cpp - Gradients against central differences ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gradients.h"
#include "cq/Pipelines/InitAll.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir::cq;
using namespace mlir::cq::test;

using Bytes = std::vector<double>; // also holds i64

std::unique_ptr<CompiledModule> test::compileWith(llvm::StringRef source,
                                                  llvm::StringRef passes) {
  static bool registered = (registerAllPasses(), true);
  (void)registered;
  mlir::DialectRegistry registry;
  registerLowerToLLVMDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(source, &context);
  mlir::PassManager manager(&context);
  if (!module || mlir::failed(mlir::parsePassPipeline(passes, manager)) ||
      mlir::failed(manager.run(*module))) {
    ADD_FAILURE() << "cannot differentiate\n" << source.str();
    return nullptr;
  }
  ExecutionOptions options;
  options.useCache = false;
  options.optLevel = 1;
  auto compiled = CompiledModule::compile(*module, options);
  if (!compiled) {
    ADD_FAILURE() << llvm::toString(compiled.takeError());
    return nullptr;
  }
  return std::move(*compiled);
}

template <size_t... i>
static void callWith(void *function, void **table, llvm::ArrayRef<void *> v,
                     std::index_sequence<i...>) {
  // More pointers than the function takes do no harm in the C convention.
  auto get = [&](size_t k) { return k < v.size() ? v[k] : nullptr; };
  using Signature = void(void **, decltype((void)i, (void *)nullptr)...);
  reinterpret_cast<Signature *>(function)(table, get(i)...);
}

void test::callFunction(const CompiledModule &module, llvm::StringRef name,
                        llvm::ArrayRef<void *> values, void **table) {
  auto function = module.lookup(name);
  ASSERT_TRUE(static_cast<bool>(function))
      << llvm::toString(function.takeError());
  ASSERT_LE(values.size(), 16u);
  callWith(*function, table, values, std::make_index_sequence<16>());
}

namespace {

/// A function of the module with numbers for its values.
struct Run {
  const CompiledModule &module;
  const FunctionInfo &info;
  /// Results in order, whether they have a buffer of their own or not.
  std::vector<Bytes> operator()(std::vector<Bytes> arguments) const {
    std::vector<Bytes> results(info.results.size());
    std::vector<void *> values;
    for (Bytes &argument : arguments)
      values.push_back(argument.data());
    for (auto [result, value] : llvm::zip(results, info.results))
      if (!value.argument) {
        result.assign(value.numElements(), 1e300);
        values.push_back(result.data());
      }
    callFunction(module, info.name, values);
    for (auto [result, value] : llvm::zip(results, info.results))
      if (value.argument)
        result = arguments[*value.argument];
    return results;
  }
};

} // namespace

static double weigh(const std::vector<Bytes> &results,
                    const std::vector<Bytes> &cotangents) {
  double sum = 0;
  for (auto [result, cotangent] : llvm::zip(results, cotangents))
    for (auto [y, c] : llvm::zip(result, cotangent))
      sum += y * c;
  return sum;
}

static void check(const CompiledModule &module, const Function &function,
                  std::mt19937 &random) {
  const FunctionInfo *primal = module.getInterface().find(function.name);
  const FunctionInfo *gradient =
      module.getInterface().find(function.name + "_gradient");
  ASSERT_TRUE(primal && gradient) << function.name;
  std::uniform_real_distribution<double> number(function.low, function.high);
  std::vector<Bytes> x, cotangents;
  for (const ValueInfo &info : primal->arguments) {
    x.emplace_back(info.numElements());
    for (double &value : x.back()) {
      int64_t index = random() % function.indices;
      if (info.elementType == "f64")
        value = number(random);
      else
        std::memcpy(&value, &index, sizeof(index));
    }
  }
  std::vector<Bytes> inputs = x;
  for (const ValueInfo &info : primal->results) {
    cotangents.emplace_back(info.numElements());
    for (double &value : cotangents.back())
      value = std::uniform_real_distribution<double>(-1, 1)(random);
    inputs.push_back(cotangents.back());
  }
  Run f{module, *primal}, g{module, *gradient};
  std::vector<Bytes> y = f(x), all = g(inputs);
  for (size_t i = 0; i < y.size(); ++i)
    for (size_t j = 0; j < y[i].size(); ++j)
      ASSERT_DOUBLE_EQ(all[i][j], y[i][j]) << function.name << ": result " << i;

  size_t result = y.size();
  constexpr double h = 1e-5;
  for (size_t i = 0; i < x.size(); ++i) {
    if (primal->arguments[i].elementType != "f64")
      continue;
    ASSERT_LT(result, all.size());
    for (size_t j = 0; j < x[i].size(); ++j) {
      std::vector<Bytes> up = x, down = x;
      up[i][j] += h, down[i][j] -= h;
      double slope =
          (weigh(f(up), cotangents) - weigh(f(down), cotangents)) / (2 * h);
      ASSERT_NEAR(all[result][j], slope, 2e-7 * (1 + std::abs(slope)))
          << function.name << ": by element " << j << " of argument " << i
          << "\n"
          << function.text;
    }
    ++result;
  }
  ASSERT_EQ(result, all.size());
}

void test::checkGradients(const std::vector<Function> &functions) {
  std::string source, passes;
  for (const Function &function : functions) {
    source += function.text + "\n";
    passes += (passes.empty() ? "" : ",");
    passes += "cq-differentiate{wrt=all function=" + function.name + "}";
  }
  auto module = compileWith(source, passes);
  if (!module)
    return;
  std::mt19937 random(11);
  for (const Function &function : functions)
    check(*module, function, random);
}
