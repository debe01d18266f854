//===- Passes.td - Reverse-mode differentiation ----------- -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_AUTODIFF_PASSES_TD
#define CQ_AUTODIFF_PASSES_TD

include "mlir/Pass/PassBase.td"

def Differentiate : Pass<"cq-differentiate", "::mlir::ModuleOp"> {
  let summary = "Adds the gradient of a function: @loss becomes @loss_gradient as well";
  let description = [{
    Reverse mode: the clone of a function is followed by its ops' rules
    (DifferentiableOpInterface) in reverse order. `@f_gradient` has the arguments
    of `@f` and

    - with `gradients=return` the cotangent of each floating-point result; it
      returns the results of `@f` and then the gradients, in the order of its
      attribute `cq.gradients`;
    - with `gradients=observe` nothing more: cotangents are ones, so that of a
      tensor of losses it is the sum that is differentiated. Each gradient goes to a
      `cq.observe` and lives no longer. Their numbers follow those of the module
      attribute `cq.observations`, which gets an entry for each.

    A call becomes a call of `@callee_vjp(arguments…, cotangents…)`, which runs the
    callee's forward code again: what is kept from the way forward is the arguments
    of calls. `cq-merge-functions` goes before this pass, so that equal blocks share
    a derivative.

    `wrt=weights` are the globals that matrix products read (a tied embedding
    included), `wrt=all` all floating-point globals and arguments. `fisher=
    token` gives, instead of the gradient of a weight, its square a token,
    Σ_t (δ_t x_t)², in each product that reads it.

    An op on the way from a weight to a result without a rule is an error.
  }];
  let options = [
    Option<"function", "function", "std::string", "\"loss\"", "Which function to differentiate">,
    Option<"wrt", "wrt", "std::string", "\"weights\"", "By what: weights or all">,
    Option<"gradients", "gradients", "std::string", "\"return\"", "Where gradients go: return or observe">,
    Option<"fisher", "fisher", "std::string", "\"sequence\"", "sequence: gradients; token: sums of their squares over the tokens">,
    ListOption<"only", "only", "std::string", "Regular expressions of names; others are constants">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cq::CQDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::affine::AffineDialect", "::mlir::func::FuncDialect"];
  let statistics = [
    Statistic<"numFunctions", "functions", "Functions differentiated">,
    Statistic<"numGradients", "gradients", "Weights and arguments with a gradient">];
}

#endif // CQ_AUTODIFF_PASSES_TD
