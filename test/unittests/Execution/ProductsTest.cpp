//===- ProductsTest.cpp - Generated f32 products against plain loops ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir::cq;

namespace {
/// A linalg.generic contraction: subscripts of A, B, C over loops in the order
/// of `loops`, whose extents are `extents`.
struct Product {
  std::string loops, a, b, c;
  std::vector<int64_t> extents;
  bool zeroFill;

  int64_t extent(char loop) const { return extents[loops.find(loop)]; }
  int64_t size(const std::string &operand) const {
    int64_t n = 1;
    for (char loop : operand)
      n *= extent(loop);
    return n;
  }
  int64_t offset(const std::string &operand, llvm::ArrayRef<int64_t> at) const {
    int64_t offset = 0;
    for (char loop : operand)
      offset = offset * extent(loop) + at[loops.find(loop)];
    return offset;
  }
  std::string describe() const {
    std::string text = a + "," + b + "->" + c;
    for (size_t i = 0; i < loops.size(); ++i)
      text += llvm::formatv(" {0}={1}", loops[i], extents[i]).str();
    return text + (zeroFill ? " filled" : " added");
  }

  static std::string join(const std::string &letters) {
    std::string text;
    for (char c : letters)
      text += (text.empty() ? "" : ", ") + std::string(1, c);
    return text;
  }
  std::string type(const std::string &operand) const {
    std::string text = "tensor<";
    for (char loop : operand)
      text += std::to_string(extent(loop)) + "x";
    return text + "f32>";
  }
  std::string toMLIR(size_t number) const {
    std::string iterators, ta = type(a), tb = type(b), tc = type(c);
    for (char loop : loops)
      iterators += std::string(iterators.empty() ? "" : ", ") +
                   (c.find(loop) == std::string::npos ? "\"reduction\""
                                                      : "\"parallel\"");
    std::string init = "%c", fill;
    if (zeroFill) {
      fill = llvm::formatv(
          "%z = arith.constant 0.0 : f32\n"
          "%f = linalg.fill ins(%z : f32) outs(%c : {0}) -> {0}\n",
          tc);
      init = "%f";
    }
    std::string map = "affine_map<(" + join(loops) + ") -> (";
    return llvm::formatv(
        "func.func @p{0}(%a: {1}, %b: {2}, %c: {3}) -> {3} {{\n{4}"
        "%r = linalg.generic {{indexing_maps = [{5}{6})>, {5}{7})>, {5}{8})>], "
        "iterator_types = [{9}]} ins(%a, %b : {1}, {2}) outs({10} : {3}) {{\n"
        "^bb0(%x: f32, %y: f32, %s: f32):\n"
        "%p = arith.mulf %x, %y : f32\n%q = arith.addf %s, %p : f32\n"
        "linalg.yield %q : f32\n} -> {3}\nreturn %r : {3}\n}\n",
        number, ta, tb, tc, fill, map, join(a), join(b), join(c), iterators,
        init);
  }

  std::vector<float> evaluate(const std::vector<float> &x,
                              const std::vector<float> &y,
                              const std::vector<float> &init) const {
    std::vector<double> sum(init.begin(), init.end());
    if (zeroFill)
      std::fill(sum.begin(), sum.end(), 0.0);
    std::vector<int64_t> at(loops.size(), 0);
    for (;;) {
      sum[offset(c, at)] += double(x[offset(a, at)]) * y[offset(b, at)];
      size_t d = loops.size();
      while (d > 0 && ++at[d - 1] == extents[d - 1])
        at[--d] = 0;
      if (d == 0)
        return std::vector<float>(sum.begin(), sum.end());
    }
  }
};

std::vector<float> randomVector(int64_t size, std::mt19937 &random) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(size);
  for (float &value : values)
    value = distribution(random);
  return values;
}

void check(const std::vector<Product> &products) {
  std::string source;
  for (size_t i = 0; i < products.size(); ++i)
    source += products[i].toMLIR(i);
  ExecutionOptions options;
  options.useCache = false;
  auto module = CompiledModule::compileSource(source, "products", options);
  ASSERT_TRUE(static_cast<bool>(module)) << llvm::toString(module.takeError());
  std::mt19937 random(7);
  for (size_t i = 0; i < products.size(); ++i) {
    const Product &p = products[i];
    auto function = (*module)->get<void(void **, float *, float *, float *)>(
        "p" + std::to_string(i));
    ASSERT_TRUE(static_cast<bool>(function))
        << llvm::toString(function.takeError());
    std::vector<float> a = randomVector(p.size(p.a), random),
                       b = randomVector(p.size(p.b), random),
                       init = randomVector(p.size(p.c), random),
                       expected = p.evaluate(a, b, init), first;
    for (int threads : {1, 2, 3}) {
      cq_set_threads(threads);
      std::vector<float> c = init;
      // What a kernel must not read or write lies behind the end.
      c.resize(c.size() + 64, 12345.0f);
      (*function)(nullptr, a.data(), b.data(), c.data());
      for (size_t j = 0; j < expected.size(); ++j)
        ASSERT_NEAR(c[j], expected[j], 2e-4 * std::sqrt(1 + p.extent('k')))
            << p.describe() << " at " << j << ", " << threads << " threads";
      for (size_t j = expected.size(); j < c.size(); ++j)
        ASSERT_EQ(c[j], 12345.0f) << p.describe();
      if (first.empty())
        first = c;
      ASSERT_EQ(first, c) << p.describe() << ": " << threads
                          << " threads differ";
    }
  }
}

TEST(Products, LinearLayers) {
  std::vector<Product> products;
  for (auto [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 64, 64},
                                                            {1, 3, 5},
                                                            {1, 1000, 172},
                                                            {2, 33, 40},
                                                            {3, 17, 100},
                                                            {4, 192, 576},
                                                            {5, 7, 9},
                                                            {8, 64, 172},
                                                            {16, 100, 64},
                                                            {17, 16, 8},
                                                            {23, 70, 300},
                                                            {64, 192, 576},
                                                            {65, 49, 257},
                                                            {100, 100, 100}})
    for (bool fill : {true, false})
      products.push_back({"mnk", "mk", "nk", "mn", {m, n, k}, fill});
  check(products);
}

TEST(Products, EveryTransposition) {
  std::vector<Product> products;
  std::mt19937 random(3);
  for (const char *a : {"mk", "km"})
    for (const char *b : {"nk", "kn"})
      for (const char *c : {"mn", "nm"})
        for (int64_t m : {1, 5, 12, 31}) {
          int64_t n = 1 + random() % 70, k = 1 + random() % 300;
          products.push_back({"mnk", a, b, c, {m, n, k}, random() % 2 == 0});
        }
  check(products);
}

TEST(Products, Attention) {
  std::vector<Product> products;
  for (int64_t m : {1, 3, 5, 8, 14, 21})
    for (int64_t t : {1, 7, 40, 129}) {
      // Q · Kᵀ and P · V with the heads inside, as a cache holds them.
      products.push_back({"hmtk", "hmk", "thk", "hmt", {3, m, t, 80}, true});
      products.push_back({"hmdk", "hmk", "khd", "hmd", {3, m, 80, t}, true});
      products.push_back({"hmdk", "hmk", "khd", "mhd", {2, m, 20, t}, false});
      products.push_back(
          {"hgmtk", "mhgk", "thk", "hgmt", {2, 3, m, t, 16}, true});
    }
  check(products);
}

TEST(Products, Batched) {
  std::vector<Product> products;
  for (bool fill : {true, false}) {
    products.push_back({"bmnk", "bmk", "bkn", "bmn", {3, 20, 30, 40}, fill});
    products.push_back({"bmnk", "bmk", "bnk", "bmn", {2, 37, 19, 23}, fill});
    products.push_back({"bmnk", "bmk", "kn", "bmn", {2, 5, 33, 17}, fill});
    products.push_back(
        {"bcmnk", "bcmk", "bcnk", "bcmn", {2, 3, 4, 5, 70}, fill});
  }
  check(products);
}
} // namespace
