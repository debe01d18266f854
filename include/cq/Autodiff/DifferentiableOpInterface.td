//===- DifferentiableOpInterface.td - Ops with a reverse rule -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD
#define CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD

include "mlir/IR/OpBase.td"

def DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::mlir::cq";
  let description = [{
    An op that knows the step backwards through itself: from the cotangents of its
    results (the derivatives of the differentiated function by them) to those of
    its operands. Attached to upstream ops as external models, one small rule an
    op; scalar ops (`arith.mulf`, `math.exp`) and tensor ops (`linalg.generic`,
    `tensor.pad`) have the same interface, since a rule sees only values.
  }];
  let methods = [InterfaceMethod<[{
      Emits code at `builder` that turns the cotangents of the results
      (`adjoints.get(result)`, at least one is there) into cotangents of the
      active operands (`adjoints.add(builder, operand, cotangent)`). All values
      that the op read or made may be used. On failure an error was emitted.
    }],
    "::llvm::LogicalResult", "differentiate",
    (ins "::mlir::OpBuilder &":$builder, "::mlir::cq::Adjoints &":$adjoints)>];
}

#endif // CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD
