//===- GatherRewriter.cpp - Gathers on planes -----------------------------===//
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

using namespace mlir;
using namespace mlir::cq;

/// The indices are an input as it is: row = index_cast(input[i…]).
static Value getPlainIndices(linalg::GenericOp generic,
                             tensor::ExtractOp extract) {
  Value row = extract.getIndices()[0];
  if (auto cast = row.getDefiningOp<arith::IndexCastOp>())
    row = cast.getIn();
  auto argument = dyn_cast<BlockArgument>(row);
  if (!argument || argument.getOwner() != generic.getBody() ||
      argument.getArgNumber() >= generic.getNumDpsInputs())
    return {};
  AffineMap map = generic.getIndexingMapsArray()[argument.getArgNumber()];
  unsigned last = generic.getNumLoops() - 1;
  if (map.getNumResults() != last ||
      map != AffineMap::getMultiDimIdentityMap(generic.getNumLoops(),
                                               map.getContext())
                 .getSubMap(llvm::to_vector(llvm::seq(0u, last))))
    return {};
  // Checks in the body (cf.assert) must not be lost.
  for (Operation &op : *generic.getBody())
    if (!isMemoryEffectFree(&op) && !op.hasTrait<OpTrait::IsTerminator>())
      return {};
  return generic.getDpsInputs()[argument.getArgNumber()];
}

/// A tensor of row numbers, computed by what the body does before the extract.
static Value computeIndices(OpBuilder &b, linalg::GenericOp generic,
                            tensor::ExtractOp extract) {
  Location loc = generic.getLoc();
  unsigned last = generic.getNumLoops() - 1;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<unsigned> kept;
  for (auto [number, map] : llvm::enumerate(generic.getIndexingMapsArray()))
    if (static_cast<int64_t>(number) < generic.getNumDpsInputs() &&
        !map.isFunctionOfDim(last)) {
      inputs.push_back(generic.getDpsInputs()[number]);
      maps.push_back(AffineMap::get(last, 0, map.getResults(), b.getContext()));
      kept.push_back(number);
    }
  maps.push_back(b.getMultiDimIdentityMap(last));
  SmallVector<OpFoldResult> sizes = getSizes(b, loc, generic.getDpsInits()[0]);
  sizes.pop_back();
  Value empty = createEmpty(b, loc, sizes, b.getIndexType());
  SmallVector<utils::IteratorType> parallel(last,
                                            utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, empty.getType(), inputs, empty, maps, parallel,
             [&](OpBuilder &nested, Location nestedLoc, ValueRange arguments) {
               IRMapping mapping;
               for (auto [position, number] : llvm::enumerate(kept))
                 mapping.map(generic.getBody()->getArgument(number),
                             arguments[position]);
               for (Operation &op : generic.getBody()->without_terminator()) {
                 auto index = dyn_cast<linalg::IndexOp>(op);
                 if (&op != extract && !(index && index.getDim() == last))
                   nested.clone(op, mapping);
               }
               linalg::YieldOp::create(nested, nestedLoc,
                                       mapping.lookup(extract.getIndices()[0]));
             })
      .getResult(0);
}

void cq::rewriteGather(const GatherUse &use, const Planes &planes,
                       const PlannedAttributes &attrs) {
  auto generic = cast<linalg::GenericOp>(use.op);
  auto extract = cast<tensor::ExtractOp>(use.extract);
  OpBuilder b(generic);
  Location loc = generic.getLoc();
  Value indices = getPlainIndices(generic, extract);
  if (!indices)
    indices = computeIndices(b, generic, extract);
  auto type = cast<RankedTensorType>(generic.getResult(0).getType());
  Value init = createEmpty(b, loc, getSizes(b, loc, generic.getDpsInits()[0]),
                           b.getF32Type());
  Value rows = GatherOp::create(b, loc, init.getType(), indices, planes.codes,
                                planes.scales, planes.zeros,
                                planes.cherryColumns, planes.cherryDeltas, init,
                                attrs.scheme, attrs.layout, attrs.cherries)
                   .getResult();
  rows = createFloatCast(b, loc, rows, type.getElementType());
  if (rows.getType() != type)
    rows = tensor::CastOp::create(b, loc, type, rows);
  generic.getResult(0).replaceAllUsesWith(rows);
  generic.erase();
}
