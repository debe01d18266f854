//===- ProductRewriter.cpp - Products on planes ---------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductRewriter.h"
#include "TensorReshaping.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::cq;

namespace {

/// Loops in the order of [batch…, M…, N…] and [batch…, M…, K…].
struct LoopOrder {
  SmallVector<int64_t> batch, m, n, k;
};

LoopOrder orderLoops(const WeightConsumption &c, const WeightForm &form) {
  LoopOrder order{form.batchLoops, {}, form.nLoops, form.kLoops};
  for (int64_t loop : c.resultLoops) {
    if (llvm::is_contained(order.batch, loop) ||
        llvm::is_contained(order.n, loop))
      continue;
    // Units of the weight alone end N; everything else is a row.
    if (llvm::is_contained(c.activationLoops, loop))
      order.m.push_back(loop);
    else
      order.n.push_back(loop);
  }
  for (int64_t loop : c.activationLoops)
    if (c.isReduction[loop] && !llvm::is_contained(order.k, loop))
      order.k.push_back(loop);
  return order;
}

SmallVector<int64_t> concat(ArrayRef<int64_t> a, ArrayRef<int64_t> b,
                            ArrayRef<int64_t> c) {
  SmallVector<int64_t> all(a);
  llvm::append_range(all, b);
  llvm::append_range(all, c);
  return all;
}

/// permutation[i] = position in `from` of to[i].
SmallVector<int64_t> permutationTo(ArrayRef<int64_t> from,
                                   ArrayRef<int64_t> to) {
  SmallVector<int64_t> permutation;
  for (int64_t loop : to)
    permutation.push_back(llvm::find(from, loop) - from.begin());
  return permutation;
}

/// [batch,] m, columns → slice e as [m, columns].
Value sliceOf(OpBuilder &b, Location loc, Value stack, int64_t e) {
  auto type = cast<RankedTensorType>(stack.getType());
  SmallVector<OpFoldResult> sizes = getSizes(b, loc, stack);
  sizes[0] = b.getIndexAttr(1);
  SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)),
      strides(3, b.getIndexAttr(1));
  offsets[0] = b.getIndexAttr(e);
  return tensor::ExtractSliceOp::create(
      b, loc,
      RankedTensorType::get(type.getShape().drop_front(),
                            type.getElementType()),
      stack, offsets, sizes, strides);
}

Value insertInto(OpBuilder &b, Location loc, Value slice, Value stack,
                 int64_t e) {
  SmallVector<OpFoldResult> sizes = getSizes(b, loc, stack);
  sizes[0] = b.getIndexAttr(1);
  SmallVector<OpFoldResult> offsets(3, b.getIndexAttr(0)),
      strides(3, b.getIndexAttr(1));
  offsets[0] = b.getIndexAttr(e);
  return tensor::InsertSliceOp::create(b, loc, slice, stack, offsets, sizes,
                                       strides);
}

/// cq.matmul of x [M, K], in int8 mode behind cq.dynamic_quantize.
Value createMatmul(OpBuilder &b, Location loc, Value x, int64_t n,
                   const Planes &planes, const PlannedAttributes &attrs,
                   ActivationMode mode) {
  OpFoldResult m = getSizes(b, loc, x)[0];
  int64_t k = cast<ShapedType>(x.getType()).getDimSize(1);
  Value init = createEmpty(b, loc, {m, b.getIndexAttr(n)}, b.getF32Type());
  Value codes, scales, sums;
  if (mode == ActivationMode::Int8) {
    int64_t group = activationGroup(attrs.scheme.getScheme());
    OpFoldResult groups = b.getIndexAttr((k + group - 1) / group);
    SmallVector<Value, 3> inits{
        createEmpty(b, loc, {m, b.getIndexAttr(k)}, b.getI8Type()),
        createEmpty(b, loc, {m, groups}, b.getF32Type()),
        createEmpty(b, loc, {m, groups}, b.getI32Type())};
    auto quantize = DynamicQuantizeOp::create(
        b, loc, ValueRange(inits).getTypes(), x, inits[0], inits[1], inits[2],
        b.getI64IntegerAttr(group));
    codes = quantize.getResult(0), scales = quantize.getResult(1),
    sums = quantize.getResult(2);
    // Cherries multiply f32 activations in every mode; else x is not read.
    if (!attrs.cherries)
      x = Value();
  }
  return MatmulOp::create(b, loc, init.getType(), x, codes, scales, sums,
                          planes.codes, planes.scales, planes.zeros,
                          planes.cherryColumns, planes.cherryDeltas,
                          planes.rowOrder, init, attrs.scheme, attrs.layout,
                          attrs.cherries,
                          ActivationAttr::get(b.getContext(), mode))
      .getResult();
}

bool isZero(Value init) {
  if (auto fill = init.getDefiningOp<linalg::FillOp>())
    init = fill.getInputs()[0];
  DenseElementsAttr elements;
  if (matchPattern(init, m_Constant(&elements)))
    return elements.isSplat() && isa<FloatType>(elements.getElementType()) &&
           elements.getSplatValue<APFloat>().isZero();
  return matchPattern(init, m_AnyZeroFloat());
}

/// init + product: linalg's products accumulate, cq.matmul overwrites.
Value addInit(OpBuilder &b, Location loc, Value product, Value init) {
  auto type = cast<RankedTensorType>(init.getType());
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> parallel(type.getRank(),
                                            utils::IteratorType::parallel);
  Value empty =
      createEmpty(b, loc, getSizes(b, loc, init), type.getElementType());
  return linalg::GenericOp::create(
             b, loc, type, ValueRange{init, product}, empty,
             ArrayRef<AffineMap>{identity, identity, identity}, parallel,
             [](OpBuilder &nested, Location nestedLoc, ValueRange arguments) {
               Value sum = arith::AddFOp::create(nested, nestedLoc,
                                                 arguments[0], arguments[1]);
               linalg::YieldOp::create(nested, nestedLoc, sum);
             })
      .getResult(0);
}

} // namespace

void cq::rewriteProduct(const WeightUse &use, const WeightForm &form,
                        ArrayRef<Planes> planes,
                        ArrayRef<PlannedAttributes> attrs,
                        ActivationMode mode) {
  OpBuilder b(use.op);
  Location loc = use.op->getLoc();
  const WeightConsumption &c = use.consumption;
  LoopOrder order = orderLoops(c, form);
  auto count = [](ArrayRef<int64_t> loops) {
    return static_cast<int64_t>(loops.size());
  };
  bool stacked = form.batch != 1;

  // Activations as [M, K] (or [batch, M, K]).
  Value x = use.op->getOperand(c.activationOperand);
  x = createTranspose(
      b, loc, x,
      permutationTo(c.activationLoops, concat(order.batch, order.m, order.k)));
  SmallVector<int64_t> groups{count(order.m), count(order.k)};
  if (stacked)
    groups.insert(groups.begin(), count(order.batch));
  x = createCollapse(b, loc, x, groups);
  x = createFloatCast(b, loc, x, b.getF32Type());

  Value y;
  if (!stacked) {
    y = createMatmul(b, loc, x, form.n, planes[0], attrs[0], mode);
  } else {
    SmallVector<OpFoldResult> sizes = getSizes(b, loc, x);
    sizes[2] = b.getIndexAttr(form.n);
    y = createEmpty(b, loc, sizes, b.getF32Type());
    for (int64_t e = 0; e < form.batch; ++e)
      y = insertInto(b, loc,
                     createMatmul(b, loc, sliceOf(b, loc, x, e), form.n,
                                  planes[e], attrs[e], mode),
                     y, e);
  }

  // And the result back to the op's own shape.
  Value init = use.op->getOperand(use.op->getNumOperands() - 1);
  auto type = cast<RankedTensorType>(init.getType());
  SmallVector<int64_t> resultOrder = concat(order.batch, order.m, order.n);
  SmallVector<OpFoldResult> initSizes = getSizes(b, loc, init), sizes;
  for (int64_t loop : resultOrder)
    sizes.push_back(
        initSizes[llvm::find(c.resultLoops, loop) - c.resultLoops.begin()]);
  groups = {count(order.m), count(order.n)};
  if (stacked)
    groups.insert(groups.begin(), count(order.batch));
  y = createExpand(b, loc, y, groups, sizes);
  y = createTranspose(b, loc, y, permutationTo(resultOrder, c.resultLoops));
  y = createFloatCast(b, loc, y, type.getElementType());
  if (!isZero(init))
    y = addInit(b, loc, y, init);
  if (y.getType() != type)
    y = tensor::CastOp::create(b, loc, type, y);
  use.op->getResult(0).replaceAllUsesWith(y);
  use.op->erase();
}
