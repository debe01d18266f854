//===- RelayoutProducts.cpp - cq-relayout-products ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace mlir::cq {
#define GEN_PASS_DEF_RELAYOUTPRODUCTS
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct RelayoutProductsPass
    : cq::impl::RelayoutProductsBase<RelayoutProductsPass> {
  void runOnOperation() override {
    SmallVector<MatmulOp> products;
    getOperation().walk([&](MatmulOp op) { products.push_back(op); });
    for (MatmulOp op : products)
      if (failed(convert(op)))
        return signalPassFailure();
  }

private:
  /// Buffers that functions took with unknown offsets, before they were
  /// inlined.
  static void dropCasts(MatmulOp op) {
    for (OpOperand &operand : op->getOpOperands())
      while (auto cast = operand.get().getDefiningOp<memref::CastOp>())
        operand.set(cast.getSource());
  }

  LogicalResult convert(MatmulOp op) {
    dropCasts(op);
    Layout from = op.getLayout().getLayout();
    if (from.kind == LayoutKind::MmaFragment)
      return success();
    if (!isa<MemRefType>(op.getCodes().getType()))
      return op.emitOpError("is on tensors: bufferize first");
    Scheme scheme = op.getScheme().getScheme();
    Layout to = from;
    to.kind = LayoutKind::MmaFragment;
    int64_t n = op.getN(), k = op.getK();
    if (llvm::Error error = to.check(n, k))
      return op.emitOpError("has a weight that NVIDIA kernels cannot read: ")
             << llvm::toString(std::move(error));
    OpBuilder b(op);
    PlaneBytes bytes = planeBytes(n, k, scheme, to, CherrySpec());
    SmallVector<Value> planes{op.getCodes(), op.getScales()};
    if (op.getZeros())
      planes.push_back(op.getZeros());
    auto relaid = [&](StringRef name, Value plane, int64_t size) -> Value {
      Type element = cast<MemRefType>(plane.getType()).getElementType();
      int64_t width = element.getIntOrFloatBitWidth() / 8;
      auto cast = UnrealizedConversionCastOp::create(
          b, op.getLoc(), TypeRange(MemRefType::get({size / width}, element)),
          planes);
      cast->setAttr(
          kWeightAttrName,
          b.getDictionaryAttr(
              {b.getNamedAttr("plane", b.getStringAttr(name)),
               b.getNamedAttr("n", b.getI64IntegerAttr(n)),
               b.getNamedAttr("k", b.getI64IntegerAttr(k)),
               b.getNamedAttr("scheme", op.getScheme()),
               b.getNamedAttr("from", op.getLayout()),
               b.getNamedAttr("to", LayoutAttr::get(b.getContext(), to))}));
      return cast.getResult(0);
    };
    Value codes = relaid("codes", op.getCodes(), bytes.codes);
    Value scales = relaid("scales", op.getScales(), bytes.scales);
    Value zeros =
        op.getZeros() ? relaid("zeros", op.getZeros(), bytes.zeros) : Value();
    op.getCodesMutable().assign(codes);
    op.getScalesMutable().assign(scales);
    if (zeros)
      op.getZerosMutable().assign(zeros);
    op.setLayoutAttr(LayoutAttr::get(b.getContext(), to));
    ++numWeights;
    return success();
  }
};

} // namespace
