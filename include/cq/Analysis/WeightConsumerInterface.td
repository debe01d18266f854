//===- WeightConsumerInterface.td - Ops that read a weight -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_ANALYSIS_WEIGHTCONSUMERINTERFACE_TD
#define CQ_ANALYSIS_WEIGHTCONSUMERINTERFACE_TD

include "mlir/IR/OpBase.td"

def WeightConsumerOpInterface : OpInterface<"WeightConsumerOpInterface"> {
  let cppNamespace = "::mlir::cq";
  let description = [{
    An op that contracts activations with what may be a weight. It says which
    operand that is and by which loops its dimensions run; whether the operand
    really *is* a weight (a constant, a global, an argument) is the question of
    weight tracing. Attached to upstream ops as external models.
  }];
  let methods = [InterfaceMethod<[{
      All ways to read the op as activations × weight; a product has two, one
      for each operand. Empty when the op is no plain floating-point contraction.
    }],
    "::llvm::SmallVector<::mlir::cq::WeightConsumption, 2>",
    "getWeightConsumptions">];
}

#endif // CQ_ANALYSIS_WEIGHTCONSUMERINTERFACE_TD
