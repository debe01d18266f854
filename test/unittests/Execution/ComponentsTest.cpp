//===- ComponentsTest.cpp - A module as modules that share no code --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../../lib/Execution/Components.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::cq;

namespace {
/// What stands in each component, as `name name | name`.
std::string describe(ArrayRef<ModuleOp> components) {
  std::string text;
  for (ModuleOp component : components) {
    text += text.empty() ? "" : " |";
    for (Operation &op : component.getBody()->getOperations())
      if (auto name = op.getAttrOfType<StringAttr>("sym_name"))
        text += " " + name.str();
  }
  return text;
}

struct ComponentsTest : ::testing::Test {
  ComponentsTest() : context(registry()) {}
  static DialectRegistry registry() {
    DialectRegistry registry;
    registerLowerToLLVMDialects(registry);
    return registry;
  }
  /// `smallest` 0 keeps every part.
  std::string split(unsigned smallest, StringRef more = "") {
    static constexpr StringLiteral source = R"(
      ml_program.global private @w(#ml_program.extern : tensor<2xf32>) : tensor<2xf32>
      ml_program.global private mutable @state(dense<0.0> : tensor<2xf32>) : tensor<2xf32>
      ml_program.global private @v(#ml_program.extern : tensor<2xf32>) : tensor<2xf32>
      func.func @one() -> tensor<2xf32> {
        %0 = func.call @deep() : () -> tensor<2xf32>
        return %0 : tensor<2xf32>
      }
      func.func @other() -> tensor<2xf32> {
        %0 = ml_program.global_load_const @w : tensor<2xf32>
        return %0 : tensor<2xf32>
      }
      func.func private @deep() -> tensor<2xf32> {
        %0 = ml_program.global_load_const @w : tensor<2xf32>
        %1 = arith.addf %0, %0 : tensor<2xf32>
        return %1 : tensor<2xf32>
      }
      func.func @reads() -> tensor<2xf32> {
        %0 = ml_program.global_load @state : tensor<2xf32>
        return %0 : tensor<2xf32>
      }
      func.func @writes(%a: tensor<2xf32>) {
        ml_program.global_store @state = %a : tensor<2xf32>
        return
      }
    )";
    auto module = parseSourceString<ModuleOp>((source + more).str(), &context);
    if (!module)
      return "no module";
    std::string before = describe(*module);
    SmallVector<ModuleOp> components = splitIntoComponents(*module, smallest);
    if (failed(verify(*module)))
      return "invalid";
    return components.empty() && describe(*module) == before
               ? "whole"
               : describe(components);
  }
  MLIRContext context;
};
} // namespace

TEST_F(ComponentsTest, CodeThatSharesNothingIsApart) {
  EXPECT_EQ(split(0), " w v state reads writes | w v one deep | w v other");
}

TEST_F(ComponentsTest, SmallPartsJoin) {
  // reads, writes and state have 7 operations, one and deep the same, other 3.
  EXPECT_EQ(split(4), " w v state reads writes | w v one deep other");
  EXPECT_EQ(split(8), "whole");
}

TEST_F(ComponentsTest, WhatCannotBeKnownStaysWhole) {
  EXPECT_EQ(split(0, "module {}"), "whole");
}
