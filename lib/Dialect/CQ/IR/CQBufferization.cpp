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
#include "mlir/Dialect/MemRef/IR/MemRef.h"

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

/// Observations are read where they are, and as dense rows: a slice whose rows
/// lie apart is copied first.
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
  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto observe = cast<ObserveOp>(op);
    Location loc = op->getLoc();
    SmallVector<Value> buffers;
    for (Value operand : observe.getValues()) {
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      buffers.push_back(*buffer);
    }
    // Both operands of a block in one type: the copies of a fresh buffer.
    auto isDense = [](Value buffer) {
      auto type = cast<MemRefType>(buffer.getType());
      return type.getLayout().isIdentity() || isContiguous(type);
    };
    bool sameType = llvm::all_equal(TypeRange(ValueRange(buffers)));
    for (Value &buffer : buffers) {
      if (sameType && isDense(buffer))
        continue;
      auto type = cast<MemRefType>(buffer.getType());
      SmallVector<Value> sizes;
      for (int64_t i = 0; i < type.getRank(); ++i)
        if (type.isDynamicDim(i))
          sizes.push_back(memref::DimOp::create(rewriter, loc, buffer, i));
      FailureOr<Value> copy = options.createAlloc(
          rewriter, loc,
          MemRefType::get(type.getShape(), type.getElementType()), sizes);
      if (failed(copy) ||
          failed(options.createMemCpy(rewriter, loc, buffer, *copy)))
        return failure();
      buffer = *copy;
    }
    ObserveOp::create(rewriter, loc, observe.getStatisticAttr(),
                      observe.getBase(), observe.getOffsetAttr(), buffers);
    rewriter.eraseOp(op);
    return success();
  }

private:
  /// Row-major with any offset.
  static bool isContiguous(MemRefType type) {
    SmallVector<int64_t> strides;
    int64_t offset, expected = 1;
    if (failed(type.getStridesAndOffset(strides, offset)))
      return false;
    for (int64_t i = type.getRank() - 1; i >= 0; --i) {
      if (strides[i] != expected && type.getDimSize(i) != 1)
        return false;
      if (type.isDynamicDim(i))
        return i == 0;
      expected *= type.getDimSize(i);
    }
    return true;
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
