//===- Cherries.cpp - Cherry planes to linalg -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

Value tolinalg::toIndex(Emitter &b, Value value) {
  if (value.getType().isIndex())
    return value;
  // Row numbers are never negative, so that every bit of an integer counts.
  return arith::IndexCastUIOp::create(b, b.getIndexType(), value);
}

std::optional<CherryRows>
tolinalg::readCherries(Emitter &b, const CherrySpec &spec, int64_t n, int64_t k,
                       Value columns, Value deltas, Value rows) {
  if (spec.numColumns(n, k) == 0)
    return std::nullopt;
  bool slot = spec.form == CherryForm::Slot;
  int64_t width = slot ? 256 : k;
  int64_t blocks = slot ? CherrySpec::slotBlocks(k) : 1;

  // Places in the planes of (row, block, entry), as Scheme.h lists the forms.
  AffineExpr row, block, entry;
  bindDims(b.getContext(), row, block, entry);
  AffineExpr columnAt = row * spec.count + entry, deltaAt = columnAt;
  if (spec.form == CherryForm::Column) {
    columnAt = entry;
    deltaAt = entry * n + row;
  } else if (slot) {
    columnAt = ((row.floorDiv(16) * blocks + block) * spec.count + entry) * 16 +
               row % 16;
    deltaAt = columnAt;
  }

  unsigned rank = rows ? cast<RankedTensorType>(rows.getType()).getRank() : 1;
  Sizes sizes = rows ? sizesOf(b, rows) : append(b, {}, {n});
  sizes = append(b, sizes, {blocks, spec.count});
  SmallVector<AffineMap> maps{b.getMultiDimIdentityMap(rank + 2)};
  SmallVector<Value> inputs;
  if (rows) {
    inputs.push_back(rows);
    maps.insert(maps.begin(), map(b, rank + 2, dims(b, rank)));
  }
  auto read = [&](Type type, Value plane, AffineExpr at, auto decode) {
    return generic(b, inputs, empty(b, sizes, type), maps,
                   [&](Emitter &b, ValueRange in) -> Value {
                     Value where[] = {rows ? toIndex(b, in[0]) : index(b, 0),
                                      index(b, rank), index(b, rank + 1)};
                     Value raw = extract(b, plane, apply(b, at, where));
                     return decode(b, raw, where[1]);
                   });
  };
  auto decodeColumn = [&](Emitter &b, Value raw, Value block) -> Value {
    Value column = unsignedToI32(b, raw);
    if (blocks == 1)
      return column;
    Value start = arith::IndexCastOp::create(
        b, b.getI32Type(), apply(b, b.getAffineDimExpr(0) * width, block));
    return arith::AddIOp::create(b, start, column);
  };
  auto decodeDelta = [](Emitter &b, Value raw, Value) { return toF32(b, raw); };
  CherryRows result{read(b.getI32Type(), columns, columnAt, decodeColumn),
                    Value(), width, std::min(k, blocks * width)};
  if (deltas)
    result.deltas = read(b.getF32Type(), deltas, deltaAt, decodeDelta);
  return result;
}

Value tolinalg::updateCherries(Emitter &b, Value dense,
                               const CherryRows &cherries,
                               CherryUpdate update) {
  auto type = cast<RankedTensorType>(dense.getType());
  unsigned rank = type.getRank();
  Value target = dense;
  Sizes offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
  Sizes sizes = sizesOf(b, dense);
  bool whole = cherries.covered == type.getShape().back();
  if (!whole) {
    sizes.back() = b.getIndexAttr(cherries.covered);
    target = tensor::ExtractSliceOp::create(b, dense, offsets, sizes, strides);
  }

  // Each element looks for itself among the cherries of its row and block.
  SmallVector<AffineExpr> all = dims(b, rank + 1);
  SmallVector<AffineExpr> entry(all.begin(), all.end() - 2);
  entry.push_back(cherries.covered <= cherries.width
                      ? b.getAffineConstantExpr(0)
                      : all[rank - 1].floorDiv(cherries.width));
  entry.push_back(all.back());
  SmallVector<Value> inputs{cherries.columns};
  SmallVector<AffineMap> maps{map(b, rank + 1, entry)};
  if (cherries.deltas) {
    inputs.push_back(cherries.deltas);
    maps.push_back(maps[0]);
  }
  maps.push_back(map(b, rank + 1, ArrayRef(all).drop_back()));
  target = generic(b, inputs, target, maps, [&](Emitter &b, ValueRange in) {
    Value here =
        arith::IndexCastOp::create(b, b.getI32Type(), index(b, rank - 1));
    Value hit = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, here, in[0]);
    Value updated = update(b, in.back(), cherries.deltas ? in[1] : Value());
    return arith::SelectOp::create(b, hit, updated, in.back()).getResult();
  });
  if (whole)
    return target;
  return tensor::InsertSliceOp::create(b, target, dense, offsets, sizes,
                                       strides);
}

Value tolinalg::addCherries(Emitter &b, Value dense,
                            const CherryRows &cherries) {
  return updateCherries(b, dense, cherries,
                        [](Emitter &b, Value element, Value delta) -> Value {
                          return arith::AddFOp::create(b, element, delta);
                        });
}

namespace {
struct LowerScatterCherries : OpRewritePattern<ScatterCherriesOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScatterCherriesOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    auto type = cast<RankedTensorType>(op.getDense().getType());
    std::optional<CherryRows> cherries =
        readCherries(b, op.getCherries().getSpec(), type.getDimSize(0),
                     type.getDimSize(1), op.getColumns(), op.getDeltas());
    rewriter.replaceOp(op, cherries ? addCherries(b, op.getDense(), *cherries)
                                    : Value(op.getDense()));
    return success();
  }
};
} // namespace

void tolinalg::populateCherryPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerScatterCherries>(patterns.getContext());
}
