//===- FuncRules.cpp - Rules of func ops --------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reverse.h"

using namespace mlir;
using namespace mlir::cq;

namespace {

/// A call of the callee's derivative, which computes what it needs of the way
/// forward itself.
struct CallRule
    : DifferentiableOpInterface::ExternalModel<CallRule, func::CallOp> {
  LogicalResult differentiate(Operation *op, OpBuilder &b,
                              Adjoints &adjoints) const {
    auto call = cast<func::CallOp>(op);
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        call, call.getCalleeAttr());
    if (!callee || callee.isExternal())
      return call.emitError() << "calls @" << call.getCallee()
                              << ", which has no body to differentiate";
    if (!adjoints.getCallees())
      return call.emitError("cannot be differentiated here");
    const CalleeDerivative *derivative = adjoints.getCallees()->get(callee);
    if (!derivative)
      return failure();
    SmallVector<Value> operands(call.getOperands());
    for (unsigned result : derivative->results)
      operands.push_back(adjoints.getOrZero(b, call.getResult(result)));
    func::FuncOp function = derivative->function;
    auto back = func::CallOp::create(b, call.getLoc(), function, operands);
    for (auto [cotangent, argument] :
         llvm::zip(back.getResults(), derivative->arguments))
      adjoints.add(b, call.getOperand(argument), cotangent);
    return success();
  }
};

} // namespace

void mlir::cq::attachFuncRules(MLIRContext *context) {
  func::CallOp::attachInterface<CallRule>(*context);
}
