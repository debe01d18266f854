//===- RandomFunctionsTest.cpp - Compositions of rules at random --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gradients.h"
#include "gtest/gtest.h"
#include <map>
#include <random>

using namespace mlir::cq::test;

namespace {

using Shape = std::vector<int64_t>;

/// Writes functions of a few ops that follow one another at random, on tensors
/// of up to three dimensions of up to four.
class Writer {
public:
  Writer(std::string name, unsigned seed) : name(name), random(seed) {}

  Function write() {
    std::string last = argument({2 + pick(3), 1 + pick(4)});
    for (int64_t step = 0, steps = 3 + pick(5); step < steps; ++step)
      last = apply(last);
    std::string text = "func.func @" + name + "(";
    for (size_t i = 0; i < arguments.size(); ++i)
      text += (i ? ", " : "") + arguments[i] + ": " + type(arguments[i]);
    return {name, text + ") -> " + type(last) + " {\n" + body + "return " +
                      last + " : " + type(last) + "\n}"};
  }

private:
  std::string apply(const std::string &x) {
    size_t rank = shapes[x].size();
    switch (pick(11)) {
    case 0:
      return elementwise(x);
    case 1:
    case 2:
      return binary(x);
    case 3:
    case 4:
      return rank > 1 ? reduce(x) : elementwise(x);
    case 5:
    case 6:
      return contract(x);
    case 7:
      return slice(x);
    case 8:
      return insert(x);
    case 9:
      return rank > 1 ? reshape(x) : concat(x);
    default:
      return concat(x);
    }
  }

  // Names, types and maps.
  int64_t pick(int64_t n) { return random() % n; }
  std::string fresh(const Shape &shape) {
    std::string value = "%v" + std::to_string(shapes.size());
    shapes[value] = shape;
    return value;
  }
  std::string argument(const Shape &shape) {
    arguments.push_back(fresh(shape));
    return arguments.back();
  }
  static std::string typeOf(const Shape &shape) {
    std::string text = "tensor<";
    for (int64_t size : shape)
      text += std::to_string(size) + "x";
    return text + "f64>";
  }
  std::string type(const std::string &value) { return typeOf(shapes[value]); }
  /// `loops` gives the loop of each dimension.
  static std::string map(int64_t numLoops, const Shape &loops) {
    std::string text = "affine_map<(";
    for (int64_t i = 0; i < numLoops; ++i)
      text += (i ? ", d" : "d") + std::to_string(i);
    text += ") -> (";
    for (size_t i = 0; i < loops.size(); ++i)
      text += (i ? ", d" : "d") + std::to_string(loops[i]);
    return text + ")>";
  }
  static Shape iota(int64_t n) {
    Shape all;
    for (int64_t i = 0; i < n; ++i)
      all.push_back(i);
    return all;
  }
  Shape shuffled(int64_t n) {
    Shape all = iota(n);
    std::shuffle(all.begin(), all.end(), random);
    return all;
  }
  static std::string list(const Shape &numbers) {
    std::string text = "[";
    for (size_t i = 0; i < numbers.size(); ++i)
      text += (i ? ", " : "") + std::to_string(numbers[i]);
    return text + "]";
  }
  void line(const std::string &text) { body += "  " + text + "\n"; }
  std::string empty(const Shape &shape) {
    std::string value = fresh(shape);
    line(value + " = tensor.empty() : " + typeOf(shape));
    return value;
  }
  std::string filled(const Shape &shape, const std::string &number) {
    std::string e = empty(shape), value = fresh(shape);
    line(value + "_c = arith.constant " + number + " : f64");
    line(value + " = linalg.fill ins(" + value + "_c : f64) outs(" + e + " : " +
         typeOf(shape) + ") -> " + typeOf(shape));
    return value;
  }
  std::string generic(int64_t numLoops, const Shape &reductions,
                      const std::vector<std::string> &inputs,
                      std::vector<Shape> maps, const std::string &init,
                      const std::string &payload) {
    std::string value = fresh(shapes[init]), ins, types, names, iterators;
    for (size_t i = 0; i < inputs.size(); ++i) {
      ins += (i ? ", " : "") + inputs[i];
      types += (i ? ", " : "") + type(inputs[i]);
      names += "%a" + std::to_string(i) + ": f64, ";
    }
    std::string allMaps;
    for (size_t i = 0; i < maps.size(); ++i)
      allMaps += (i ? ", " : "") + map(numLoops, maps[i]);
    for (int64_t i = 0; i < numLoops; ++i)
      iterators += std::string(i ? ", " : "") +
                   (std::count(reductions.begin(), reductions.end(), i)
                        ? "\"reduction\""
                        : "\"parallel\"");
    line(value + " = linalg.generic {indexing_maps = [" + allMaps +
         "], iterator_types = [" + iterators + "]}" + " ins(" + ins + " : " +
         types + ") outs(" + init + " : " + type(init) + ") {\n^bb0(" + names +
         "%o: f64):\n" + payload + "\n  } -> " + type(init));
    return value;
  }
  /// A smooth function of %a0 (and %a1) that stays small.
  std::string scalar(bool two) {
    static const char *forms[] = {
        "%p = arith.mulf %a0, X : f64\n%r = math.sin %p : f64",
        "%p = math.tanh %a0 : f64\n%r = arith.addf %p, X : f64",
        "%p = math.erf X : f64\n%r = arith.mulf %p, %a0 : f64",
        "%p = arith.mulf X, X : f64\n%q = math.exp2 %a0 : f64\n%s = arith.addf "
        "%p, %q : f64\n%r = math.log %s : f64",
        "%p = arith.subf %a0, X : f64\n%r = arith.maximumf %p, %a0 : f64",
        "%c = arith.cmpf ogt, %a0, X : f64\n%p = math.cos X : f64\n%r = "
        "arith.select %c, %p, %a0 : f64",
        "%p = math.exp %a0 : f64\n%q = math.exp X : f64\n%s = arith.addf %p, "
        "%q "
        ": f64\n%r = arith.divf %p, %s : f64"};
    std::string text = forms[pick(std::size(forms))];
    for (size_t at; (at = text.find('X')) != std::string::npos;)
      text.replace(at, 1, two ? "%a1" : "%a0");
    return text;
  }

  // Ops.
  std::string elementwise(const std::string &x) {
    int64_t rank = shapes[x].size();
    Shape order = shuffled(rank), result(rank);
    for (int64_t i = 0; i < rank; ++i)
      result[order[i]] = shapes[x][i];
    return generic(rank, {}, {x}, {order, iota(rank)}, empty(result),
                   scalar(false) + "\nlinalg.yield %r : f64");
  }
  std::string binary(const std::string &x) {
    int64_t rank = shapes[x].size();
    Shape loops, sizes;
    for (int64_t i : shuffled(rank))
      if (pick(3)) {
        loops.push_back(i);
        sizes.push_back(shapes[x][i]);
      }
    std::string y = argument(sizes);
    bool inPlace = pick(2);
    if (!inPlace)
      return generic(rank, {}, {x, y}, {iota(rank), loops, iota(rank)},
                     empty(shapes[x]),
                     scalar(true) + "\nlinalg.yield %r : f64");
    return generic(rank, {}, {y}, {loops, iota(rank)}, x,
                   "%a1 = arith.negf %o : f64\n" + scalar(true) +
                       "\nlinalg.yield %r : f64");
  }
  std::string reduce(const std::string &x) {
    int64_t rank = shapes[x].size(), dim = pick(rank);
    Shape kept = iota(rank), sizes = shapes[x];
    kept.erase(kept.begin() + dim);
    sizes.erase(sizes.begin() + dim);
    bool largest = pick(2);
    std::string element = scalar(false);
    std::string init = !largest && pick(2)
                           ? argument(sizes)
                           : filled(sizes, largest ? "-1.0e30" : "0.0");
    return generic(rank, {dim}, {x}, {iota(rank), kept}, init,
                   element +
                       (largest ? "\n%z = arith.maximumf %o, %r : f64"
                                : "\n%z = arith.addf %o, %r : f64") +
                       "\nlinalg.yield %z : f64");
  }
  std::string contract(const std::string &x) {
    // x [.., k] × w [n, k], the result's dimensions in any order.
    int64_t rank = shapes[x].size(), n = 1 + pick(4);
    Shape sizes = shapes[x];
    std::string w = argument({n, sizes.back()});
    sizes.back() = n; // loop rank − 1 is n, loop rank is k
    Shape xLoops = iota(rank), order = shuffled(rank), result;
    xLoops.back() = rank;
    for (int64_t loop : order)
      result.push_back(sizes[loop]);
    return generic(rank + 1, {rank}, {x, w}, {xLoops, {rank - 1, rank}, order},
                   filled(result, "0.0"),
                   "%p = arith.mulf %a0, %a1 : f64\n%z = arith.addf %o, %p : "
                   "f64\nlinalg.yield %z : f64");
  }
  std::string slice(const std::string &x) {
    Shape offsets, sizes, strides;
    for (int64_t size : shapes[x]) {
      offsets.push_back(pick(size));
      strides.push_back(1 + pick(2));
      sizes.push_back(1 + (size - 1 - offsets.back()) / strides.back());
    }
    std::string value = fresh(sizes);
    line(value + " = tensor.extract_slice " + x + list(offsets) + " " +
         list(sizes) + " " + list(strides) + " : " + type(x) + " to " +
         type(value));
    return value;
  }
  std::string insert(const std::string &x) {
    Shape offsets, sizes, strides(shapes[x].size(), 1);
    for (int64_t size : shapes[x]) {
      offsets.push_back(pick(size));
      sizes.push_back(1 + pick(size - offsets.back()));
    }
    std::string part = argument(sizes), value = fresh(shapes[x]);
    line(value + " = tensor.insert_slice " + part + " into " + x +
         list(offsets) + " " + list(sizes) + " " + list(strides) + " : " +
         type(part) + " into " + type(x));
    return value;
  }
  std::string reshape(const std::string &x) {
    Shape from = shapes[x], to(from.begin() + 1, from.end());
    to[0] *= from[0];
    std::string groups = "[[0, 1]";
    for (size_t i = 2; i < from.size(); ++i)
      groups += ", [" + std::to_string(i) + "]";
    std::string flat = fresh(to);
    line(flat + " = tensor.collapse_shape " + x + " " + groups +
         "] : " + type(x) + " into " + type(flat));
    if (pick(2))
      return flat;
    std::string other = elementwiseSame(flat), back = fresh(from);
    line(back + " = tensor.expand_shape " + other + " " + groups +
         "] output_shape " + list(from) + " : " + type(other) + " into " +
         type(back));
    return back;
  }
  std::string elementwiseSame(const std::string &x) {
    int64_t rank = shapes[x].size();
    return generic(rank, {}, {x}, {iota(rank), iota(rank)}, empty(shapes[x]),
                   scalar(false) + "\nlinalg.yield %r : f64");
  }
  std::string concat(const std::string &x) {
    int64_t dim = pick(shapes[x].size());
    Shape other = shapes[x], sum = shapes[x];
    if (sum[dim] > 4)
      return elementwise(x);
    other[dim] = 1 + pick(2);
    sum[dim] += other[dim];
    std::string y = argument(other), value = fresh(sum);
    line(value + " = tensor.concat dim(" + std::to_string(dim) + ") " + x +
         ", " + y + " : (" + type(x) + ", " + type(y) + ") -> " + type(value));
    return value;
  }

  std::string name, body;
  std::mt19937 random;
  std::vector<std::string> arguments;
  std::map<std::string, Shape> shapes;
};

TEST(RandomFunctions, GradientsAreSlopes) {
  for (unsigned batch = 0; batch < 3; ++batch) {
    std::vector<Function> functions;
    for (unsigned i = 0; i < 16; ++i) {
      std::string name = "f" + std::to_string(i);
      functions.push_back(Writer(name, 1000 * batch + i).write());
    }
    checkGradients(functions);
    if (HasFailure())
      return;
  }
}

} // namespace
