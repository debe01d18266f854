//===- RulesTest.cpp - Every rule against central differences -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gradients.h"
#include "gtest/gtest.h"

using namespace mlir::cq::test;

namespace {

std::string replaceAll(std::string text, const std::string &from,
                       const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
       at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// z = x · op(x, y) on every element.
Function elementwise(const std::string &name, const std::string &body,
                     double low = -1.5, double high = 1.5) {
  std::string text = R"(
func.func @NAME(%x: tensor<3x4xf64>, %y: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %empty = tensor.empty() : tensor<3x4xf64>
  %z = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<3x4xf64>, tensor<3x4xf64>) outs(%empty : tensor<3x4xf64>) {
  ^bb0(%a: f64, %b: f64, %out: f64):
    BODY
    %w = arith.mulf %r, %a : f64
    linalg.yield %w : f64
  } -> tensor<3x4xf64>
  return %z : tensor<3x4xf64>
})";
  return {name, replaceAll(replaceAll(text, "NAME", name), "BODY", body), low,
          high};
}

/// A whole body, with NAME for the name and plain text for the rest.
Function function(const std::string &name, const std::string &text,
                  int64_t indices = 1, double low = -1.5, double high = 1.5) {
  return {name, replaceAll(text, "NAME", name), low, high, indices};
}

TEST(Rules, Scalars) {
  std::vector<Function> functions;
  for (const char *op : {"addf", "subf", "mulf", "divf", "maximumf", "maxnumf",
                         "minimumf", "minnumf"})
    functions.push_back(elementwise(
        op, std::string("%r = arith.") + op + " %a, %b : f64", 0.5, 2));
  functions.push_back(elementwise("negf", "%r = arith.negf %a : f64"));
  functions.push_back(elementwise(
      "select", "%c = arith.cmpf olt, %a, %b : f64\n%s = arith.mulf "
                "%b, %b : f64\n%r = arith.select %c, %s, %a : f64"));
  for (const char *op : {"exp", "exp2", "expm1", "tanh", "erf", "sin", "cos",
                         "sinh", "cosh", "atan", "absf"})
    functions.push_back(elementwise(
        op, std::string("%p = arith.mulf %a, %b : f64\n%r = math.") + op +
                " %p : f64"));
  for (const char *op : {"log", "log2", "log10", "log1p", "sqrt", "rsqrt"})
    functions.push_back(
        elementwise(op,
                    std::string("%p = arith.mulf %a, %b : f64\n%r = math.") +
                        op + " %p : f64",
                    0.5, 2));
  functions.push_back(
      elementwise("powf", "%r = math.powf %a, %b : f64", 0.5, 2));
  functions.push_back(elementwise(
      "fpowi", "%three = arith.constant 3 : i32\n%r = math.fpowi %b, %three : "
               "f64, i32"));
  functions.push_back(elementwise("fma", "%r = math.fma %a, %b, %a : f64"));
  functions.push_back(
      elementwise("sigmoid", "%one = arith.constant 1.0 : f64\n%n = arith.negf "
                             "%b : f64\n%e = math.exp %n : f64\n%d = "
                             "arith.addf %e, %one : f64\n%r = arith.divf %one, "
                             "%d : f64"));
  checkGradients(functions);
}

constexpr const char *products[][4] = {
    {"matmul", "linalg.matmul", "3x5", "5x4"},
    {"batch_matmul", "linalg.batch_matmul", "2x3x5", "2x5x4"},
    {"matvec", "linalg.matvec", "3x5", "5"},
    {"vecmat", "linalg.vecmat", "5", "5x4"},
    {"dot", "linalg.dot", "5", "5"},
    {"batch_matvec", "linalg.batch_matvec", "2x3x5", "2x5"},
};
constexpr const char *productResults[] = {"3x4x", "2x3x4x", "3x",
                                          "4x",   "",       "2x3x"};

TEST(Rules, NamedProducts) {
  std::vector<Function> functions;
  for (auto [i, product] : llvm::enumerate(products)) {
    std::string a = std::string("tensor<") + product[2] + "xf64>",
                b = std::string("tensor<") + product[3] + "xf64>",
                c = std::string("tensor<") + productResults[i] + "f64>";
    // The accumulator is an argument: it has a derivative as well.
    functions.push_back(
        {product[0], std::string("func.func @") + product[0] + "(%a: " + a +
                         ", %b: " + b + ", %c: " + c + ") -> " + c + " {\n" +
                         "%r = " + product[1] + " ins(%a, %b : " + a + ", " +
                         b + ") outs(%c : " + c + ") -> " + c +
                         "\nreturn %r : " + c + "\n}"});
  }
  functions.push_back(function("transposed", R"(
func.func @NAME(%a: tensor<3x5xf64>, %b: tensor<4x5xf64>, %c: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %r = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%a, %b : tensor<3x5xf64>, tensor<4x5xf64>) outs(%c : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %r : tensor<3x4xf64>
})"));
  functions.push_back(function("contract", R"(
func.func @NAME(%a: tensor<2x3x5xf64>, %b: tensor<4x5xf64>, %c: tensor<3x2x4xf64>) -> tensor<3x2x4xf64> {
  %r = linalg.contract indexing_maps = [affine_map<(b, m, n, k) -> (b, m, k)>, affine_map<(b, m, n, k) -> (n, k)>, affine_map<(b, m, n, k) -> (m, b, n)>]
      ins(%a, %b : tensor<2x3x5xf64>, tensor<4x5xf64>) outs(%c : tensor<3x2x4xf64>) -> tensor<3x2x4xf64>
  return %r : tensor<3x2x4xf64>
})"));
  functions.push_back(function("square_of_itself", R"(
func.func @NAME(%a: tensor<4x4xf64>, %c: tensor<4x4xf64>) -> tensor<4x4xf64> {
  %r = linalg.matmul ins(%a, %a : tensor<4x4xf64>, tensor<4x4xf64>) outs(%c : tensor<4x4xf64>) -> tensor<4x4xf64>
  return %r : tensor<4x4xf64>
})"));
  functions.push_back(function("convolution", R"(
func.func @NAME(%x: tensor<1x2x7xf64>, %k: tensor<3x2x3xf64>, %c: tensor<1x3x3xf64>) -> tensor<1x3x3xf64> {
  %r = linalg.conv_1d_ncw_fcw {strides = dense<2> : vector<1xi64>} ins(%x, %k : tensor<1x2x7xf64>, tensor<3x2x3xf64>) outs(%c : tensor<1x3x3xf64>) -> tensor<1x3x3xf64>
  return %r : tensor<1x3x3xf64>
})"));
  checkGradients(functions);
}

TEST(Rules, NamedLinalg) {
  std::vector<Function> functions;
  for (const char *op : {"add", "sub", "mul", "div", "max", "min"})
    functions.push_back(function(std::string("linalg_") + op,
                                 replaceAll(R"(
func.func @NAME(%x: tensor<3x4xf64>, %y: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %r = linalg.OP ins(%x, %y : tensor<3x4xf64>, tensor<3x4xf64>) outs(%x : tensor<3x4xf64>) -> tensor<3x4xf64>
  %s = linalg.mul ins(%r, %x : tensor<3x4xf64>, tensor<3x4xf64>) outs(%y : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %s : tensor<3x4xf64>
})",
                                            "OP", op),
                                 1, 0.5, 2));
  for (const char *op : {"exp", "log", "abs", "negf", "reciprocal", "sqrt",
                         "rsqrt", "square", "tanh", "erf"}) {
    functions.push_back(function(std::string("unary_") + op,
                                 replaceAll(R"(
func.func @NAME(%x: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %e = tensor.empty() : tensor<3x4xf64>
  %r = linalg.OP ins(%x : tensor<3x4xf64>) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  %s = linalg.mul ins(%r, %x : tensor<3x4xf64>, tensor<3x4xf64>) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %s : tensor<3x4xf64>
})",
                                            "OP", op),
                                 1, 0.5, 2));
  }
  functions.push_back(function("transpose", R"(
func.func @NAME(%x: tensor<2x3x4xf64>) -> tensor<4x2x3xf64> {
  %e = tensor.empty() : tensor<4x2x3xf64>
  %r = linalg.transpose ins(%x : tensor<2x3x4xf64>) outs(%e : tensor<4x2x3xf64>) permutation = [2, 0, 1]
  %s = linalg.mul ins(%r, %r : tensor<4x2x3xf64>, tensor<4x2x3xf64>) outs(%e : tensor<4x2x3xf64>) -> tensor<4x2x3xf64>
  return %s : tensor<4x2x3xf64>
})"));
  functions.push_back(function("broadcast", R"(
func.func @NAME(%x: tensor<4xf64>, %y: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %e = tensor.empty() : tensor<3x4xf64>
  %r = linalg.broadcast ins(%x : tensor<4xf64>) outs(%e : tensor<3x4xf64>) dimensions = [0]
  %s = linalg.mul ins(%r, %y : tensor<3x4xf64>, tensor<3x4xf64>) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %s : tensor<3x4xf64>
})"));
  for (const char *op : {"addf", "maximumf", "minnumf"})
    functions.push_back(
        function(std::string("reduce_") + op, replaceAll(R"(
func.func @NAME(%x: tensor<3x4x2xf64>) -> tensor<3x2xf64> {
  %z = arith.constant INIT : f64
  %e = tensor.empty() : tensor<3x2xf64>
  %f = linalg.fill ins(%z : f64) outs(%e : tensor<3x2xf64>) -> tensor<3x2xf64>
  %r = linalg.reduce ins(%x : tensor<3x4x2xf64>) outs(%f : tensor<3x2xf64>) dimensions = [1]
    (%in: f64, %acc: f64) { %0 = arith.OP %in, %acc : f64
      linalg.yield %0 : f64 }
  %s = linalg.mul ins(%r, %r : tensor<3x2xf64>, tensor<3x2xf64>) outs(%e : tensor<3x2xf64>) -> tensor<3x2xf64>
  return %s : tensor<3x2xf64>
})",
                                                         "OP", op)));
  const char *inits[] = {"0.0", "-1.0e30", "1.0e30"};
  for (int i = 0; i < 3; ++i) {
    Function &f = functions[functions.size() - 3 + i];
    f.text = replaceAll(f.text, "INIT", inits[i]);
  }
  functions.push_back(function("map_and_copy", R"(
func.func @NAME(%x: tensor<3x4xf64>, %y: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %e = tensor.empty() : tensor<3x4xf64>
  %r = linalg.map { arith.mulf } ins(%x, %y : tensor<3x4xf64>, tensor<3x4xf64>) outs(%e : tensor<3x4xf64>)
  %c = linalg.copy ins(%r : tensor<3x4xf64>) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %c : tensor<3x4xf64>
})"));
  for (int dim : {0, 1, 2})
    functions.push_back(function("softmax" + std::to_string(dim),
                                 replaceAll(R"(
func.func @NAME(%x: tensor<2x3x4xf64>) -> tensor<2x3x4xf64> {
  %e = tensor.empty() : tensor<2x3x4xf64>
  %r = linalg.softmax dimension(DIM) ins(%x : tensor<2x3x4xf64>) outs(%e : tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
  return %r : tensor<2x3x4xf64>
})",
                                            "DIM", std::to_string(dim))));
  functions.push_back(function("fill_with_an_element", R"(
func.func @NAME(%x: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %i = arith.constant 1 : index
  %s = tensor.extract %x[%i, %i] : tensor<3x4xf64>
  %e = tensor.empty() : tensor<3x4xf64>
  %f = linalg.fill ins(%s : f64) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  %r = linalg.mul ins(%f, %x : tensor<3x4xf64>, tensor<3x4xf64>) outs(%e : tensor<3x4xf64>) -> tensor<3x4xf64>
  return %r : tensor<3x4xf64>
})"));
  checkGradients(functions);
}

TEST(Rules, Generics) {
  std::vector<Function> functions;
  functions.push_back(function("reads_its_destination", R"(
func.func @NAME(%up: tensor<3x4xf64>, %gate: tensor<3x4xf64>) -> tensor<3x4xf64> {
  %one = arith.constant 1.0 : f64
  %sq = linalg.mul ins(%gate, %up : tensor<3x4xf64>, tensor<3x4xf64>) outs(%gate : tensor<3x4xf64>) -> tensor<3x4xf64>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%up : tensor<3x4xf64>) outs(%sq : tensor<3x4xf64>) {
  ^bb0(%u: f64, %g: f64):
    %n = arith.negf %g : f64
    %e = math.exp %n : f64
    %d = arith.addf %one, %e : f64
    %s = arith.divf %g, %d : f64
    %p = arith.mulf %s, %u : f64
    linalg.yield %p : f64
  } -> tensor<3x4xf64>
  return %r : tensor<3x4xf64>
})"));
  functions.push_back(function("rms_norm", R"(
func.func @NAME(%x: tensor<3x5xf64>, %w: tensor<5xf64>) -> tensor<3x5xf64> {
  %zero = arith.constant 0.0 : f64
  %five = arith.constant 5.0 : f64
  %eps = arith.constant 1.0e-3 : f64
  %e = tensor.empty() : tensor<3xf64>
  %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3xf64>) -> tensor<3xf64>
  %q = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<3x5xf64>) outs(%f : tensor<3xf64>) {
  ^bb0(%a: f64, %s: f64):
    %p = arith.mulf %a, %a : f64
    %t = arith.addf %s, %p : f64
    linalg.yield %t : f64
  } -> tensor<3xf64>
  %e2 = tensor.empty() : tensor<3x5xf64>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %q, %w : tensor<3x5xf64>, tensor<3xf64>, tensor<5xf64>) outs(%e2 : tensor<3x5xf64>) {
  ^bb0(%a: f64, %s: f64, %b: f64, %o: f64):
    %m = arith.divf %s, %five : f64
    %n = arith.addf %m, %eps : f64
    %r = math.rsqrt %n : f64
    %v = arith.mulf %a, %r : f64
    %u = arith.mulf %v, %b : f64
    linalg.yield %u : f64
  } -> tensor<3x5xf64>
  return %y : tensor<3x5xf64>
})"));
  functions.push_back(function("two_results", R"(
func.func @NAME(%x: tensor<3x4xf64>, %y: tensor<4x3xf64>) -> (tensor<3x4xf64>, tensor<4x3xf64>) {
  %e = tensor.empty() : tensor<3x4xf64>
  %e2 = tensor.empty() : tensor<4x3xf64>
  %r:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<3x4xf64>, tensor<4x3xf64>) outs(%e, %e2 : tensor<3x4xf64>, tensor<4x3xf64>) {
  ^bb0(%a: f64, %b: f64, %o: f64, %o2: f64):
    %p = arith.mulf %a, %b : f64
    %q = math.exp %p : f64
    linalg.yield %p, %q : f64, f64
  } -> (tensor<3x4xf64>, tensor<4x3xf64>)
  return %r#0, %r#1 : tensor<3x4xf64>, tensor<4x3xf64>
})"));
  functions.push_back(function("masked", R"(
func.func @NAME(%x: tensor<4x4xf64>) -> tensor<4x4xf64> {
  %hidden = arith.constant -3.0 : f64
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      outs(%x : tensor<4x4xf64>) {
  ^bb0(%a: f64):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %c = arith.cmpi ule, %j, %i : index
    %s = arith.select %c, %a, %hidden : f64
    %t = math.exp %s : f64
    linalg.yield %t : f64
  } -> tensor<4x4xf64>
  return %r : tensor<4x4xf64>
})"));
  functions.push_back(function("embedding", R"(
func.func @NAME(%ids: tensor<6xi64>, %table: tensor<4x3xf64>) -> tensor<6x3xf64> {
  %e = tensor.empty() : tensor<6x3xf64>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<6xi64>) outs(%e : tensor<6x3xf64>) {
  ^bb0(%id: i64, %o: f64):
    %row = arith.index_cast %id : i64 to index
    %j = linalg.index 1 : index
    %v = tensor.extract %table[%row, %j] : tensor<4x3xf64>
    %w = arith.mulf %v, %v : f64
    linalg.yield %w : f64
  } -> tensor<6x3xf64>
  return %r : tensor<6x3xf64>
})",
                               4));
  functions.push_back(function("cross_entropy", R"(
func.func @NAME(%logits: tensor<5x4xf64>, %targets: tensor<5xi64>) -> tensor<5xf64> {
  %lowest = arith.constant 0xFFF0000000000000 : f64
  %zero = arith.constant 0.0 : f64
  %e = tensor.empty() : tensor<5xf64>
  %i = linalg.fill ins(%lowest : f64) outs(%e : tensor<5xf64>) -> tensor<5xf64>
  %max = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%logits : tensor<5x4xf64>) outs(%i : tensor<5xf64>) {
  ^bb0(%a: f64, %m: f64):
    %n = arith.maxnumf %m, %a : f64
    linalg.yield %n : f64
  } -> tensor<5xf64>
  %f = linalg.fill ins(%zero : f64) outs(%e : tensor<5xf64>) -> tensor<5xf64>
  %total = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%logits, %max : tensor<5x4xf64>, tensor<5xf64>) outs(%f : tensor<5xf64>) {
  ^bb0(%a: f64, %m: f64, %s: f64):
    %d = arith.subf %a, %m : f64
    %x = math.exp %d : f64
    %t = arith.addf %s, %x : f64
    linalg.yield %t : f64
  } -> tensor<5xf64>
  %loss = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%max, %total, %targets : tensor<5xf64>, tensor<5xf64>, tensor<5xi64>) outs(%e : tensor<5xf64>) {
  ^bb0(%m: f64, %t: f64, %id: i64, %o: f64):
    %row = linalg.index 0 : index
    %column = arith.index_cast %id : i64 to index
    %logit = tensor.extract %logits[%row, %column] : tensor<5x4xf64>
    %log = math.log %t : f64
    %s = arith.addf %log, %m : f64
    %l = arith.subf %s, %logit : f64
    linalg.yield %l : f64
  } -> tensor<5xf64>
  return %loss : tensor<5xf64>
})",
                               4));
  // As torch-mlir writes softmax: the maximum has its place beside it.
  functions.push_back(function("maximum_with_its_place", R"(
func.func @NAME(%x: tensor<3x5xf64>) -> tensor<3x5xf64> {
  %lowest = arith.constant 0xFFF0000000000000 : f64
  %no = arith.constant 0 : i64
  %e = tensor.empty() : tensor<3xf64>
  %ei = tensor.empty() : tensor<3xi64>
  %m = linalg.fill ins(%lowest : f64) outs(%e : tensor<3xf64>) -> tensor<3xf64>
  %i = linalg.fill ins(%no : i64) outs(%ei : tensor<3xi64>) -> tensor<3xi64>
  %max:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<3x5xf64>) outs(%m, %i : tensor<3xf64>, tensor<3xi64>) {
  ^bb0(%a: f64, %b: f64, %c: i64):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i64
    %n = arith.maximumf %a, %b : f64
    %o = arith.cmpf ogt, %a, %b : f64
    %p = arith.select %o, %k, %c : i64
    linalg.yield %n, %p : f64, i64
  } -> (tensor<3xf64>, tensor<3xi64>)
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %max#0 : tensor<3x5xf64>, tensor<3xf64>) outs(%x : tensor<3x5xf64>) {
  ^bb0(%a: f64, %b: f64, %o: f64):
    %d = arith.subf %a, %b : f64
    %q = math.exp %d : f64
    linalg.yield %q : f64
  } -> tensor<3x5xf64>
  return %r : tensor<3x5xf64>
})"));
  functions.push_back(function("reduction_between_loops", R"(
func.func @NAME(%x: tensor<3x4x2xf64>, %y: tensor<4xf64>, %init: tensor<2x3xf64>) -> tensor<2x3xf64> {
  %r = linalg.generic {indexing_maps = [affine_map<(i, k, j) -> (i, k, j)>, affine_map<(i, k, j) -> (k)>, affine_map<(i, k, j) -> (j, i)>], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%x, %y : tensor<3x4x2xf64>, tensor<4xf64>) outs(%init : tensor<2x3xf64>) {
  ^bb0(%a: f64, %b: f64, %s: f64):
    %p = arith.mulf %a, %b : f64
    %q = math.sin %p : f64
    %t = arith.subf %s, %q : f64
    linalg.yield %t : f64
  } -> tensor<2x3xf64>
  return %r : tensor<2x3xf64>
})"));
  checkGradients(functions);
}

TEST(Rules, Tensors) {
  std::vector<Function> functions;
  auto add = [&](const char *name, const char *text) {
    functions.push_back(function(name, text));
  };
  add("reshapes", R"(
func.func @NAME(%x: tensor<6x4xf64>) -> tensor<2x3x4xf64> {
  %y = tensor.expand_shape %x [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf64> into tensor<2x3x4xf64>
  %z = linalg.mul ins(%y, %y : tensor<2x3x4xf64>, tensor<2x3x4xf64>) outs(%y : tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
  %w = tensor.collapse_shape %z [[0], [1, 2]] : tensor<2x3x4xf64> into tensor<2x12xf64>
  %v = linalg.mul ins(%w, %w : tensor<2x12xf64>, tensor<2x12xf64>) outs(%w : tensor<2x12xf64>) -> tensor<2x12xf64>
  %u = tensor.expand_shape %v [[0], [1, 2]] output_shape [2, 3, 4] : tensor<2x12xf64> into tensor<2x3x4xf64>
  return %u : tensor<2x3x4xf64>
})");
  add("slices", R"(
func.func @NAME(%x: tensor<5x4xf64>) -> tensor<2x4xf64> {
  %a = tensor.extract_slice %x[1, 0] [2, 4] [1, 1] : tensor<5x4xf64> to tensor<2x4xf64>
  %b = tensor.extract_slice %x[0, 0] [2, 4] [2, 1] : tensor<5x4xf64> to tensor<2x4xf64>
  %r = linalg.mul ins(%a, %b : tensor<2x4xf64>, tensor<2x4xf64>) outs(%a : tensor<2x4xf64>) -> tensor<2x4xf64>
  return %r : tensor<2x4xf64>
})");
  add("dropped_dimensions", R"(
func.func @NAME(%x: tensor<3x2x4xf64>) -> tensor<3x2x4xf64> {
  %a = tensor.extract_slice %x[0, 0, 0] [3, 1, 4] [1, 1, 1] : tensor<3x2x4xf64> to tensor<3x4xf64>
  %b = tensor.extract_slice %x[0, 1, 0] [3, 1, 4] [1, 1, 1] : tensor<3x2x4xf64> to tensor<3x4xf64>
  %r = linalg.mul ins(%a, %b : tensor<3x4xf64>, tensor<3x4xf64>) outs(%a : tensor<3x4xf64>) -> tensor<3x4xf64>
  %s = linalg.mul ins(%r, %b : tensor<3x4xf64>, tensor<3x4xf64>) outs(%b : tensor<3x4xf64>) -> tensor<3x4xf64>
  %e = tensor.empty() : tensor<3x2x4xf64>
  %i = tensor.insert_slice %r into %e[0, 0, 0] [3, 1, 4] [1, 1, 1] : tensor<3x4xf64> into tensor<3x2x4xf64>
  %j = tensor.insert_slice %s into %i[0, 1, 0] [3, 1, 4] [1, 1, 1] : tensor<3x4xf64> into tensor<3x2x4xf64>
  return %j : tensor<3x2x4xf64>
})");
  add("insert_over_a_value", R"(
func.func @NAME(%x: tensor<5x4xf64>, %y: tensor<2x4xf64>) -> tensor<5x4xf64> {
  %q = linalg.mul ins(%x, %x : tensor<5x4xf64>, tensor<5x4xf64>) outs(%x : tensor<5x4xf64>) -> tensor<5x4xf64>
  %r = tensor.insert_slice %y into %q[2, 0] [2, 4] [1, 1] : tensor<2x4xf64> into tensor<5x4xf64>
  return %r : tensor<5x4xf64>
})");
  add("pad", R"(
func.func @NAME(%x: tensor<2x3xf64>) -> tensor<4x4xf64> {
  %zero = arith.constant 2.0 : f64
  %p = tensor.pad %x low[1, 0] high[1, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %zero : f64
  } : tensor<2x3xf64> to tensor<4x4xf64>
  %r = linalg.mul ins(%p, %p : tensor<4x4xf64>, tensor<4x4xf64>) outs(%p : tensor<4x4xf64>) -> tensor<4x4xf64>
  return %r : tensor<4x4xf64>
})");
  add("concat", R"(
func.func @NAME(%x: tensor<2x3xf64>, %y: tensor<2x2xf64>) -> tensor<2x8xf64> {
  %c = tensor.concat dim(1) %x, %y, %x : (tensor<2x3xf64>, tensor<2x2xf64>, tensor<2x3xf64>) -> tensor<2x8xf64>
  %r = linalg.mul ins(%c, %c : tensor<2x8xf64>, tensor<2x8xf64>) outs(%c : tensor<2x8xf64>) -> tensor<2x8xf64>
  return %r : tensor<2x8xf64>
})");
  add("elements", R"(
func.func @NAME(%x: tensor<2x3xf64>) -> tensor<2x3xf64> {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %a = tensor.extract %x[%zero, %one] : tensor<2x3xf64>
  %b = tensor.extract %x[%one, %one] : tensor<2x3xf64>
  %p = arith.mulf %a, %b : f64
  %y = tensor.insert %p into %x[%one, %zero] : tensor<2x3xf64>
  %q = tensor.from_elements %a, %p, %b, %b, %a, %p : tensor<2x3xf64>
  %r = linalg.mul ins(%y, %q : tensor<2x3xf64>, tensor<2x3xf64>) outs(%q : tensor<2x3xf64>) -> tensor<2x3xf64>
  return %r : tensor<2x3xf64>
})");
  add("dynamic_sizes", R"(
func.func @NAME(%sx: tensor<3x4xf64>, %sw: tensor<4xf64>) -> tensor<3x4xf64> {
  %x = tensor.cast %sx : tensor<3x4xf64> to tensor<?x?xf64>
  %w = tensor.cast %sw : tensor<4xf64> to tensor<?xf64>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2 : index
  %m = tensor.dim %x, %zero : tensor<?x?xf64>
  %n = tensor.dim %x, %one : tensor<?x?xf64>
  %half = arith.divui %n, %two : index
  %e = tensor.empty(%m, %n) : tensor<?x?xf64>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %w : tensor<?x?xf64>, tensor<?xf64>) outs(%e : tensor<?x?xf64>) {
  ^bb0(%a: f64, %b: f64, %o: f64):
    %p = arith.mulf %a, %b : f64
    linalg.yield %p : f64
  } -> tensor<?x?xf64>
  %s = tensor.extract_slice %y[%one, 0] [1, %half] [1, 1] : tensor<?x?xf64> to tensor<1x?xf64>
  %t = tensor.insert_slice %s into %y[0, 0] [1, %half] [1, 1] : tensor<1x?xf64> into tensor<?x?xf64>
  %r = tensor.cast %t : tensor<?x?xf64> to tensor<3x4xf64>
  return %r : tensor<3x4xf64>
})");
  checkGradients(functions);
}

TEST(Rules, Calls) {
  std::vector<Function> functions;
  functions.push_back(function("calls", R"(
func.func private @NAME_inner(%x: tensor<3x3xf64>, %w: tensor<3x3xf64>, %unused: tensor<3x3xf64>) -> (tensor<3x3xf64>, tensor<3x3xf64>) {
  %zero = arith.constant 0.0 : f64
  %e = tensor.empty() : tensor<3x3xf64>
  %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  %y = linalg.matmul ins(%x, %w : tensor<3x3xf64>, tensor<3x3xf64>) outs(%f : tensor<3x3xf64>) -> tensor<3x3xf64>
  %z = linalg.tanh ins(%y : tensor<3x3xf64>) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  %x2 = linalg.add ins(%x, %z : tensor<3x3xf64>, tensor<3x3xf64>) outs(%x : tensor<3x3xf64>) -> tensor<3x3xf64>
  return %x2, %y : tensor<3x3xf64>, tensor<3x3xf64>
}
func.func private @NAME_outer(%x: tensor<3x3xf64>, %w: tensor<3x3xf64>) -> tensor<3x3xf64> {
  %a:2 = func.call @NAME_inner(%x, %w, %w) : (tensor<3x3xf64>, tensor<3x3xf64>, tensor<3x3xf64>) -> (tensor<3x3xf64>, tensor<3x3xf64>)
  %b:2 = func.call @NAME_inner(%a#0, %x, %w) : (tensor<3x3xf64>, tensor<3x3xf64>, tensor<3x3xf64>) -> (tensor<3x3xf64>, tensor<3x3xf64>)
  %c = linalg.mul ins(%b#0, %a#1 : tensor<3x3xf64>, tensor<3x3xf64>) outs(%b#0 : tensor<3x3xf64>) -> tensor<3x3xf64>
  return %c : tensor<3x3xf64>
}
func.func @NAME(%x: tensor<3x3xf64>, %w: tensor<3x3xf64>) -> tensor<3x3xf64> {
  %e = tensor.empty() : tensor<3x3xf64>
  %c = linalg.copy ins(%x : tensor<3x3xf64>) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  %a = func.call @NAME_outer(%c, %w) : (tensor<3x3xf64>, tensor<3x3xf64>) -> tensor<3x3xf64>
  %b = func.call @NAME_outer(%a, %w) : (tensor<3x3xf64>, tensor<3x3xf64>) -> tensor<3x3xf64>
  return %b : tensor<3x3xf64>
})"));
  checkGradients(functions);
}

} // namespace
