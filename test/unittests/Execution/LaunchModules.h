//===- LaunchModules.h - Modules of products and loops ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_EXECUTION_LAUNCHMODULES_H
#define CQ_TEST_EXECUTION_LAUNCHMODULES_H

#include "../Conversion/KernelCases.h"
#include "cq/Codec/ReferenceGemm.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cstdlib>
#include <cstring>

namespace mlir::cq::x86::test {

/// Writes a module whose private @block runs products of weights that are
/// parameters; its results leave through @f, so that their buffers are its own.
class ModuleWriter {
public:
  explicit ModuleWriter(MLIRContext &context) : context(context) {}

  /// `%name = Ŵ · %x (+ bias)`; returns its type.
  std::string product(StringRef name, StringRef x, int64_t m, WeightCase &w,
                      const std::vector<float> *bias) {
    const WeightSpec &s = w.spec;
    std::string prefix = name.str();
    std::vector<std::string> types = planeTypes(s), names;
    auto plane = w.planes.begin();
    for (auto [i, type] : llvm::enumerate(types)) {
      names.push_back(parameter(prefix + "_" + std::to_string(i), type,
                                isEmpty(type) ? nullptr : plane++->as<void>()));
    }
    std::string tx = llvm::formatv("tensor<{0}x{1}xf32>", m, s.k),
                ty = llvm::formatv("tensor<{0}x{1}xf32>", m, s.n);
    auto next = [&, i = size_t(0)](StringRef what, size_t count) mutable {
      std::string text = " " + what.str() + "(";
      for (size_t j = i; j < i + count; ++j)
        text += (j > i ? ", " : "") + names[j];
      text += " : ";
      for (size_t j = i; j < i + count; ++j)
        text += (j > i ? ", " : "") + types[j];
      i += count;
      return text + ")";
    };
    std::string result = prefix;
    body << "%e_" << prefix << " = tensor.empty() : " << ty << "\n%" << prefix
         << (bias ? "_p" : "") << " = cq.matmul x(" << x << " : " << tx << ")"
         << next("codes", 1) << next("scales", 1);
    if (s.scheme.hasZeroPoints())
      body << next("zeros", 1);
    if (s.cherries.form != CherryForm::None)
      body << next("cherries", 2);
    if (s.layout.permuted)
      body << next("rows", 1);
    body << " outs(%e_" << prefix << " : " << ty
         << ") {scheme = " << SchemeAttr::get(&context, s.scheme)
         << ", layout = " << LayoutAttr::get(&context, s.layout);
    if (s.cherries.form != CherryForm::None)
      body << ", cherries = " << CherriesAttr::get(&context, s.cherries);
    body << ", mode = #cq.activation<f32>} -> " << ty << "\n";
    if (!bias)
      return ty;
    std::string tb = llvm::formatv("tensor<{0}xf32>", s.n);
    std::string b = parameter(prefix + "_b", tb, bias->data());
    body << "%f_" << prefix << " = tensor.empty() : " << ty << "\n%" << prefix
         << " = linalg.generic {indexing_maps = [#id, #columns, #id], "
            "iterator_types = [\"parallel\", \"parallel\"]} ins(%"
         << prefix << "_p, " << b << " : " << ty << ", " << tb << ") outs(%f_"
         << prefix << " : " << ty
         << ") {\n^bb0(%p: f32, %q: f32, %o: f32):\n%s = arith.addf %p, %q : "
            "f32\nlinalg.yield %s : f32\n} -> "
         << ty << "\n";
    return ty;
  }

  /// `%name` = elementwise `code` (which yields %r) of %a and %b.
  void combine(StringRef name, StringRef a, StringRef b, StringRef type,
               StringRef code) {
    body << "%e_" << name << " = tensor.empty() : " << type << "\n%" << name
         << " = linalg.generic {indexing_maps = [#id, #id, #id], "
            "iterator_types = [\"parallel\", \"parallel\"]} ins("
         << a << ", " << b << " : " << type << ", " << type << ") outs(%e_"
         << name << " : " << type << ") {\n^bb0(%p: f32, %q: f32, %o: f32):\n"
         << code << "linalg.yield %r : f32\n} -> " << type << "\n";
  }

  std::string finish(StringRef tx, ArrayRef<std::string> results,
                     ArrayRef<std::string> types) {
    std::string text =
        "#id = affine_map<(i, j) -> (i, j)>\n#columns = "
        "affine_map<(i, j) -> (j)>\n#rows = affine_map<(i, j) -> "
        "(i)>\n" +
        globals;
    std::string list = llvm::join(types, ", ");
    text += "func.func private @block(%x: " + tx.str() + arguments + ") -> (" +
            list + ") {\n%one = arith.constant 1.0 : f32\n" + bodyText +
            "return " + llvm::join(results, ", ") + " : " + list + "\n}\n";
    text += "func.func @f(%x: " + tx.str() + ") -> (" + list + ") {\n" + loads +
            "%h:" + std::to_string(types.size()) + " = call @block(%x" +
            operands + ") : (" + tx.str() + operandTypes + ") -> (" + list +
            ")\n";
    std::string returned;
    for (auto [i, type] : llvm::enumerate(types)) {
      text += llvm::formatv("%e{0} = tensor.empty() : {1}\n%r{0} = "
                            "linalg.negf ins(%h#{0} : {1}) outs(%e{0} : {1}) "
                            "-> {1}\n",
                            i, type);
      returned += (i ? ", %r" : "%r") + std::to_string(i);
    }
    return text + "return " + returned + " : " + list + "\n}\n";
  }

  /// A further argument of @block, which @f reads from memory at `data`.
  std::string parameter(const std::string &name, const std::string &type,
                        const void *data) {
    globals += "ml_program.global private @" + name +
               "(#ml_program.extern : " + type + ") : " + type + "\n";
    loads +=
        "%" + name + " = ml_program.global_load @" + name + " : " + type + "\n";
    operands += ", %" + name;
    operandTypes += ", " + type;
    arguments += ", %" + name + ": " + type;
    table.push_back(const_cast<void *>(data));
    return "%" + name;
  }
  /// Text that goes to @block as it is.
  void add(StringRef text) { body << text; }

  std::vector<void *> table; ///< the parameters' addresses

private:
  static bool isEmpty(StringRef type) { return type.starts_with("tensor<0x"); }

  static std::vector<std::string> planeTypes(const WeightSpec &s) {
    auto tensor = [](int64_t size, StringRef element) {
      return llvm::formatv("tensor<{0}x{1}>", size, element).str();
    };
    int64_t entries = s.layout.scaleEntries(s.n, s.k, s.scheme);
    std::vector<std::string> types{
        tensor(s.layout.codeBytes(s.n, s.k), "i8"),
        tensor(entries, s.scheme.scaleType == ScaleType::F32    ? "f32"
                        : s.scheme.scaleType == ScaleType::BF16 ? "bf16"
                                                                : "f16")};
    if (s.scheme.hasZeroPoints())
      types.push_back(tensor(entries, "i8"));
    if (s.cherries.form != CherryForm::None) {
      types.push_back(tensor(s.cherries.numColumns(s.n, s.k),
                             s.cherries.columnBytes() == 1 ? "i8" : "i16"));
      types.push_back(tensor(s.cherries.numDeltas(s.n, s.k), "f16"));
    }
    if (s.layout.permuted)
      types.push_back(tensor(s.n, "i16"));
    return types;
  }

  MLIRContext &context;
  std::string globals, loads, operands, operandTypes, arguments, bodyText;
  llvm::raw_string_ostream body{bodyText};
};

using Outputs = std::vector<std::vector<float>>;

/// Runs @f, fused or not, with 1, 2 and 3 threads; all must agree.
inline Outputs evaluate(const std::string &source, std::vector<void *> table,
                        std::vector<float> x, ArrayRef<int64_t> sizes,
                        bool fuse) {
  ExecutionOptions options;
  options.useCache = false;
  options.activation = "int8";
  options.fuse = fuse;
  auto module = CompiledModule::compileSource(source, "fused", options);
  if (!module) {
    ADD_FAILURE() << llvm::toString(module.takeError()) << "\n" << source;
    return {};
  }
  auto function =
      (*module)->get<void(void **, float *, float *, float *, float *)>("f");
  if (!function) {
    ADD_FAILURE() << llvm::toString(function.takeError());
    return {};
  }
  Outputs first;
  for (int threads : {1, 2, 3}) {
    cq_set_threads(threads);
    Outputs y;
    float *out[3] = {};
    for (auto [i, size] : llvm::enumerate(sizes)) {
      y.emplace_back(size + 16, 1e30f);
      out[i] = y.back().data();
    }
    (*function)(table.data(), x.data(), out[0], out[1], out[2]);
    for (size_t i = 0; i < y.size(); ++i)
      for (int64_t j = sizes[i]; j < sizes[i] + 16; ++j)
        EXPECT_EQ(y[i][j], 1e30f) << "written behind the end";
    if (threads == 1)
      first = y;
    EXPECT_EQ(y, first) << threads << " threads differ";
  }
  cq_set_threads(0);
  return first;
}

/// Uniform rows, rows of two widths, or both and stored in another order.
inline WeightCase randomWeight(int64_t n, int64_t k, const Scheme &scheme,
                               unsigned turn) {
  Layout layout = Layout::uniform(LayoutKind::Panel16, n, scheme.bits);
  if (turn % 3 == 1 && scheme.bits != 4 && n > 32)
    layout.segments = {{32, 4}, {n - 32, scheme.bits}};
  layout.permuted = turn % 6 == 4;
  return makeWeight(n, k, scheme, layout, cherriesOf(turn, k), turn);
}

// No multiples of 7: see makeWeight.
inline constexpr int64_t kRows[] = {272, 300, 96, 33, 160, 509};
inline constexpr int64_t kColumns[] = {576, 257, 384, 512, 320};
inline constexpr int64_t kTokens[] = {1, 3, 8, 1, 17, 2};

/// CQ_TEST_EXHAUSTIVE=1: every scheme in every place.
inline unsigned numTurns() {
  return std::getenv("CQ_TEST_EXHAUSTIVE") ? 60 : 6;
}

inline MLIRContext &sharedContext() {
  static MLIRContext context;
  context.loadDialect<CQDialect>();
  return context;
}

} // namespace mlir::cq::x86::test

#endif // CQ_TEST_EXECUTION_LAUNCHMODULES_H
