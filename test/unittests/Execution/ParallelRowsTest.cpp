//===- ParallelRowsTest.cpp - Loops over rows on several threads ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Chains of loops over the rows of [M, N], of random shapes and order: what
// cq-parallelize-rows launches equals bit for bit what one thread computes, and
// what plain loops do but for rounding.
//
//===----------------------------------------------------------------------===//

#include "LaunchModules.h"
#include <cmath>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace {

/// A chain of loops, as text of @block and as what it does to `value`.
class Chain {
public:
  Chain(ModuleWriter &writer, int64_t m, int64_t n, std::vector<float> x)
      : writer(writer), m(m), n(n), value(std::move(x)) {
    type = llvm::formatv("tensor<{0}x{1}xf32>", m, n);
  }

  /// x / sqrt(mean of squares + 1e-5)
  void norm() {
    std::string sum = reduce("%s = arith.mulf %p, %p : f32\n"
                             "%r = arith.addf %o, %s : f32\n",
                             "0.0");
    std::string count = std::to_string(n) + ".0";
    map({name, sum}, {"#id", "#rows"},
        "%c = arith.constant " + count +
            " : f32\n%t = arith.constant 1.0e-5 : f32\n"
            "%m = arith.divf %q, %c : f32\n%a = arith.addf %m, %t : f32\n"
            "%i = math.rsqrt %a : f32\n%r = arith.mulf %p, %i : f32\n");
    eachRow([&](float *row) {
      double squares = 0;
      for (int64_t j = 0; j < n; ++j)
        squares += double(row[j]) * row[j];
      for (int64_t j = 0; j < n; ++j)
        row[j] = float(row[j] / std::sqrt(squares / double(n) + 1e-5));
    });
  }

  void softmax() {
    std::string most = reduce("%r = arith.maximumf %p, %o : f32\n", "-1.0e30");
    map({name, most}, {"#id", "#rows"},
        "%d = arith.subf %p, %q : f32\n%r = math.exp %d : f32\n");
    std::string sum = reduce("%r = arith.addf %o, %p : f32\n", "0.0");
    map({name, sum}, {"#id", "#rows"}, "%r = arith.divf %p, %q : f32\n");
    eachRow([&](float *row) {
      double sum = 0;
      float most = *std::max_element(row, row + n);
      for (int64_t j = 0; j < n; ++j)
        sum += std::exp(double(row[j]) - most);
      for (int64_t j = 0; j < n; ++j)
        row[j] = float(std::exp(double(row[j]) - most) / sum);
    });
  }

  /// Depends on the row's number: a launch's task counts from the first row.
  void shift() {
    map({name}, {"#id"},
        "%l = linalg.index 0 : index\n%k = linalg.index 1 : index\n"
        "%h = arith.addi %l, %k : index\n"
        "%i = arith.index_cast %h : index to i32\n"
        "%f = arith.sitofp %i : i32 to f32\n"
        "%c = arith.constant 0.125 : f32\n%g = arith.mulf %f, %c : f32\n"
        "%r = arith.addf %p, %g : f32\n");
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        value[i * n + j] += 0.125f * float(i + j);
  }

  /// Times a vector along the columns.
  void scale(const std::vector<float> &by) {
    std::string v =
        writer.parameter("v" + std::to_string(++count),
                         llvm::formatv("tensor<{0}xf32>", n), by.data());
    map({name, v}, {"#id", "#columns"}, "%r = arith.mulf %p, %q : f32\n");
    for (auto [i, x] : llvm::enumerate(value))
      x *= by[i % n];
  }

  std::string name = "%x", type;

private:
  template <typename Body> void eachRow(Body body) {
    for (int64_t i = 0; i < m; ++i)
      body(&value[i * n]);
  }

  static bool isRows(StringRef map) { return map == "#rows"; }

  void map(ArrayRef<std::string> inputs, ArrayRef<StringRef> maps,
           const std::string &code) {
    std::string id = std::to_string(++count), ins, types, list;
    const char *arguments[] = {"%p: f32, ", "%q: f32, "};
    std::string block;
    for (auto [i, input] : llvm::enumerate(inputs)) {
      ins += (i ? ", " : "") + input;
      types += (i ? ", " : "");
      types += maps[i] == "#id"  ? type
               : isRows(maps[i]) ? llvm::formatv("tensor<{0}xf32>", m).str()
                                 : llvm::formatv("tensor<{0}xf32>", n).str();
      list += maps[i].str() + ", ";
      block += arguments[i];
    }
    writer.add("%e" + id + " = tensor.empty() : " + type + "\n%m" + id +
               " = linalg.generic {indexing_maps = [" + list +
               "#id], iterator_types = [\"parallel\", \"parallel\"]} ins(" +
               ins + " : " + types + ") outs(%e" + id + " : " + type +
               ") {\n^bb0(" + block + "%o: f32):\n" + code +
               "linalg.yield %r : f32\n} -> " + type + "\n");
    name = "%m" + id;
  }

  std::string reduce(const std::string &code, const std::string &init) {
    std::string id = std::to_string(++count),
                rows = llvm::formatv("tensor<{0}xf32>", m);
    writer.add("%z" + id + " = arith.constant " + init + " : f32\n%e" + id +
               " = tensor.empty() : " + rows + "\n%i" + id +
               " = linalg.fill ins(%z" + id + " : f32) outs(%e" + id + " : " +
               rows + ") -> " + rows + "\n%s" + id +
               " = linalg.generic {indexing_maps = [#id, #rows], "
               "iterator_types = [\"parallel\", \"reduction\"]} ins(" +
               name + " : " + type + ") outs(%i" + id + " : " + rows +
               ") {\n^bb0(%p: f32, %o: f32):\n" + code +
               "linalg.yield %r : f32\n} -> " + rows + "\n");
    return "%s" + id;
  }

  ModuleWriter &writer;
  int64_t m, n;
  unsigned count = 0;

public:
  std::vector<float> value;
};

TEST(ParallelRows, RandomChainsEqualOneThread) {
  std::mt19937 random(5);
  for (unsigned turn = 0; turn < 2 * numTurns(); ++turn) {
    SCOPED_TRACE(turn);
    // Few rows of many columns and the reverse; most are worth a launch.
    int64_t m = 1 + random() % (turn % 2 ? 20 : 150),
            n = 1 + random() % (turn % 2 ? 3000 : 400);
    std::vector<float> x = randomValues(m * n, turn, 1.0f);
    std::vector<std::vector<float>> vectors;
    vectors.reserve(8);
    ModuleWriter writer(sharedContext());
    Chain chain(writer, m, n, x);
    for (unsigned ops = 2 + random() % 4; ops; --ops)
      switch (random() % 4) {
      case 0:
        chain.norm();
        break;
      case 1:
        chain.softmax();
        break;
      case 2:
        chain.shift();
        break;
      default:
        vectors.push_back(randomValues(n, turn + ops, 1.0f));
        chain.scale(vectors.back());
      }
    // The last result may also be quantized and multiplied in the same launch.
    std::vector<std::string> names{chain.name}, types{chain.type};
    std::vector<int64_t> sizes{m * n};
    WeightCase weight;
    bool multiplied = n >= 32 && turn % 3 != 0;
    if (multiplied) {
      weight = makeWeight(48, n, Scheme{4, 64},
                          Layout::uniform(LayoutKind::Panel16, 48, 4),
                          CherrySpec{}, turn);
      types.push_back(writer.product("y", chain.name, m, weight, nullptr));
      names.push_back("%y");
      sizes.push_back(m * 48);
    }
    std::string source = writer.finish(
        llvm::formatv("tensor<{0}x{1}xf32>", m, n).str(), names, types);
    // Without fuse there is no launch of rows.
    Outputs want = evaluate(source, writer.table, x, sizes, false),
            got = evaluate(source, writer.table, x, sizes, true);
    ASSERT_EQ(want.size(), sizes.size());
    ASSERT_EQ(got, want) << source;
    for (int64_t i = 0; i < m * n; ++i)
      ASSERT_NEAR(-got[0][i], chain.value[i],
                  2e-4 * (1 + std::abs(chain.value[i])))
          << "at " << i << " of " << m << " x " << n << "\n"
          << source;
    if (!multiplied)
      continue;
    for (float &value : got[0])
      value = -value;
    std::vector<float> product(m * 48);
    referenceGemm(got[0].data(), m, weight.quantized, nullptr,
                  ActivationMode::Int8, product.data());
    for (int64_t i = 0; i < m * 48; ++i)
      ASSERT_EQ(got[1][i], -product[i]) << i;
  }
}

} // namespace
