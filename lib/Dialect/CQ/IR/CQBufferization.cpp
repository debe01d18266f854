//===- CQBufferization.cpp - cq ops through one-shot-bufferization --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CQDetail.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::bufferization;

namespace {

/// Planes and activations are only read, destinations only written.
template <typename OpTy>
struct ComputeOpModel
    : DstBufferizableOpInterfaceExternalModel<ComputeOpModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto dpsOp = cast<DestinationStyleOpInterface>(op);
    if (dpsOp.hasPureBufferSemantics())
      return success();
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    SmallVector<Value> results;
    for (OpOperand &init : dpsOp.getDpsInitsMutable())
      results.push_back(operands[init.getOperandNumber()]);
    OperationState newState(op->getLoc(), op->getName());
    newState.addOperands(operands);
    newState.attributes.append(op->getDiscardableAttrs().begin(),
                               op->getDiscardableAttrs().end());
    newState.propertiesAttr = op->getPropertiesAsAttribute();
    rewriter.create(newState);
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

/// The marker passes its operand's buffer on.
struct ObserveModel
    : BufferizableOpInterface::ExternalModel<ObserveModel, ObserveOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *op, OpOperand &,
                                      const AnalysisState &) const {
    return {{op->getResult(0), BufferRelation::Equivalent}};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto observe = cast<ObserveOp>(op);
    FailureOr<Value> buffer =
        getBuffer(rewriter, observe.getOperand(), options, state);
    if (failed(buffer))
      return failure();
    replaceOpWithNewBufferizedOp<ObserveOp>(rewriter, op, buffer->getType(),
                                            *buffer, observe.getKeyAttr());
    return success();
  }
};

} // namespace

void cq::detail::attachBufferization(MLIRContext *context) {
  GatherOp::attachInterface<ComputeOpModel<GatherOp>>(*context);
  DynamicQuantizeOp::attachInterface<ComputeOpModel<DynamicQuantizeOp>>(
      *context);
  MatmulOp::attachInterface<ComputeOpModel<MatmulOp>>(*context);
  ObserveOp::attachInterface<ObserveModel>(*context);
}
