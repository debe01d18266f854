//===- Contraction.cpp - Matrix products to kernel calls ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

/// Up to so many rows, packing costs more than it saves.
static constexpr int64_t kFewRows = 16;

namespace {
/// Loop dimensions of a contraction by role; -1: none.
struct Roles {
  int64_t m = -1, n = -1, k = -1;
  SmallVector<int64_t> outer; ///< batch and further M or N
  bool swapped = false;       ///< the kernel's A is the op's second input
};
} // namespace

static bool uses(AffineMap map, int64_t dim) {
  return llvm::any_of(map.getResults(), [&](AffineExpr e) {
    return e.isFunctionOfDim(static_cast<unsigned>(dim));
  });
}

/// Roles of the loops; nothing when `op` is no contraction that kernels know.
static std::optional<Roles> getRoles(LinalgOp op) {
  if (!isaContractionOpInterface(op))
    return std::nullopt;
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type || !type.getElementType().isF32())
      return std::nullopt;
  }
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  if (!llvm::all_of(maps,
                    [](AffineMap m) { return m.isProjectedPermutation(); }) ||
      maps[2].getNumResults() == 0)
    return std::nullopt;
  Roles roles;
  roles.n = cast<AffineDimExpr>(maps[2].getResults().back()).getPosition();
  bool inA = uses(maps[0], roles.n), inB = uses(maps[1], roles.n);
  if (inA == inB)
    return std::nullopt;
  // The kernel's B is the input that has the contiguous dimension of C.
  roles.swapped = inA;
  if (roles.swapped)
    std::swap(maps[0], maps[1]);
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  for (int64_t d = 0, e = op.getNumLoops(); d < e; ++d) {
    if (d == roles.n)
      continue;
    bool a = uses(maps[0], d), b = uses(maps[1], d), c = uses(maps[2], d);
    if (a && b && !c) {
      if (roles.k != -1)
        return std::nullopt;
      roles.k = d;
    } else if (a && !b && c) {
      // The largest M fills tiles best; a dynamic one counts as large.
      auto size = [&](int64_t dim) {
        return ShapedType::isDynamic(extents[dim]) ? INT64_MAX : extents[dim];
      };
      if (roles.m == -1 || size(d) > size(roles.m)) {
        if (roles.m != -1)
          roles.outer.push_back(roles.m);
        roles.m = d;
      } else {
        roles.outer.push_back(d);
      }
    } else if (c) {
      roles.outer.push_back(d);
    } else {
      return std::nullopt;
    }
  }
  if (roles.k == -1 || roles.outer.size() > 2)
    return std::nullopt;
  llvm::sort(roles.outer);
  return roles;
}

/// Stride of `dim` in an operand: 0 where it does not appear.
static int64_t getStaticStride(MemRefType type, AffineMap map, int64_t dim) {
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return ShapedType::kDynamic;
  for (auto [i, e] : llvm::enumerate(map.getResults()))
    if (e.isFunctionOfDim(static_cast<unsigned>(dim)))
      return strides[i];
  return 0;
}

/// `operand` as [outer 0, outer 1, row, column] with the loops' extents.
static Value makeView(OpBuilder &b, Location loc, Value operand, AffineMap map,
                      ArrayRef<int64_t> dims, ArrayRef<Value> extents,
                      bool unit) {
  auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, operand);
  auto type = cast<MemRefType>(operand.getType());
  auto index = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(b, loc, v);
  };
  SmallVector<OpFoldResult> sizes, strides;
  for (int64_t dim : dims) {
    sizes.push_back(dim == -1 ? index(1) : extents[dim]);
    int64_t stride = dim == -1 ? 0 : getStaticStride(type, map, dim);
    if (!ShapedType::isDynamic(stride)) {
      strides.push_back(index(stride));
      continue;
    }
    for (auto [i, e] : llvm::enumerate(map.getResults()))
      if (e.isFunctionOfDim(static_cast<unsigned>(dim)))
        strides.push_back(metadata.getStrides()[i]);
  }
  if (unit)
    strides.back() = b.getIndexAttr(1);
  return memref::ReinterpretCastOp::create(
      b, loc, getViewType(b.getContext(), unit), metadata.getBaseBuffer(),
      OpFoldResult(metadata.getOffset()), sizes, strides);
}

/// The buffer that a chain of views starts from.
static Value getRoot(Value value) {
  while (auto view = value.getDefiningOp<ViewLikeOpInterface>())
    value = view.getViewSource();
  return value;
}

/// The fill with zero whose value `op` would read as its initial C, when
/// nothing in between touches that buffer.
static FillOp findZeroFill(LinalgOp op) {
  Value out = op.getDpsInits()[0], root = getRoot(out);
  for (Operation *before = op->getPrevNode(); before;
       before = before->getPrevNode()) {
    if (auto fill = dyn_cast<FillOp>(before);
        fill && fill.getDpsInits()[0] == out)
      return matchPattern(fill.getInputs()[0], m_AnyZeroFloat()) ? fill
                                                                 : FillOp();
    if (isMemoryEffectFree(before) || isa<ViewLikeOpInterface>(before) ||
        isa<memref::AllocOp>(before))
      continue;
    // Only ops whose every access is through an operand can be looked past, and
    // two function arguments may be the same buffer.
    if (!isa<LinalgOp, memref::CopyOp, memref::DeallocOp, memref::LoadOp>(
            before) ||
        before->getNumRegions() > 1)
      return nullptr;
    for (Value operand : before->getOperands()) {
      if (!isa<MemRefType>(operand.getType()))
        continue;
      Value other = getRoot(operand);
      bool bothArguments =
          isa<BlockArgument>(other) && isa<BlockArgument>(root);
      if (other == root || bothArguments)
        return nullptr;
    }
  }
  return nullptr;
}

/// Whether the product is too small for a second thread: waking one costs some
/// microseconds, about so many multiply-adds.
static bool isTiny(LinalgOp op) {
  int64_t work = 1;
  for (int64_t extent : op.getStaticLoopRanges()) {
    if (ShapedType::isDynamic(extent))
      extent = 256; // a context; of a short one little is lost
    if (llvm::MulOverflow(work, extent, work))
      return false;
  }
  return work < (1 << 16);
}

void ContractionLowering::launch(OpBuilder &b, Location loc,
                                 func::FuncOp kernel, ValueRange arguments,
                                 Value tasks, bool tiny) {
  if (parallel && !tiny) {
    LaunchOp::create(b, loc, kernel.getSymName(), arguments, tasks);
    return;
  }
  SmallVector<Value> all(arguments);
  all.push_back(arith::ConstantIndexOp::create(b, loc, 0));
  all.push_back(tasks);
  func::CallOp::create(b, loc, kernel, all);
}

LogicalResult ContractionLowering::lower(RewriterBase &rewriter, LinalgOp op) {
  std::optional<Roles> found = getRoles(op);
  if (!found)
    return failure();
  Roles &r = *found;
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<Value> operands(op->getOperands());
  if (r.swapped) {
    std::swap(maps[0], maps[1]);
    std::swap(operands[0], operands[1]);
  }
  auto isUnit = [&](int64_t operand, int64_t dim) {
    return getStaticStride(cast<MemRefType>(operands[operand].getType()),
                           maps[operand], dim) == 1;
  };
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  int64_t rows = r.m == -1 ? 1 : ranges[r.m];
  bool few = !ShapedType::isDynamic(rows) && rows <= kFewRows;
  bool batched = !r.outer.empty();
  bool along = isUnit(0, r.k) && isUnit(1, r.k) && isUnit(2, r.n);
  bool dot = along && few;
  // Horizontal sums of many rows cost more than transposing B once for them.
  bool transposed = along && !few && batched;
  bool direct = !dot && !transposed && isUnit(1, r.n) && isUnit(2, r.n) &&
                (batched || few);
  bool packed = !dot && !direct && !transposed && isUnit(2, r.n) && !batched;
  if (!dot && !direct && !transposed && !packed)
    return failure();

  Location loc = op.getLoc();
  bool tiny = isTiny(op);
  FillOp fill = findZeroFill(op);
  rewriter.setInsertionPoint(op);
  SmallVector<Value> extents;
  for (Range range : op.createLoopRanges(rewriter, loc))
    extents.push_back(
        getValueOrCreateConstantIndexOp(rewriter, loc, range.size));
  auto index = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(rewriter, loc, v);
  };
  auto view = [&](int64_t operand, int64_t row, int64_t column, bool unit) {
    SmallVector<int64_t> dims(2 - r.outer.size(), -1);
    dims.append(r.outer);
    dims.append({row, column});
    return makeView(rewriter, loc, operands[operand], maps[operand], dims,
                    extents, unit);
  };
  auto ceilDiv = [&](Value x, int64_t y) -> Value {
    Value sum = arith::AddIOp::create(rewriter, loc, x, index(y - 1));
    return arith::DivUIOp::create(rewriter, loc, sum, index(y));
  };
  auto times = [&](Value x, Value y) -> Value {
    return arith::MulIOp::create(rewriter, loc, x, y);
  };
  Value accumulate =
      arith::ConstantOp::create(rewriter, loc, rewriter.getBoolAttr(!fill));
  Value n = extents[r.n], m = r.m == -1 ? index(1) : extents[r.m];
  Value batches = index(1);
  for (int64_t d : r.outer)
    batches = times(batches, extents[d]);

  if (dot) {
    DotTile tile = DotTile::get(tiling.lanes, rows);
    func::FuncOp kernel = getDotKernel(module, tiling.lanes, tile);
    Value tasks = times(batches, ceilDiv(n, tile.columns));
    launch(rewriter, loc, kernel,
           {view(0, r.m, r.k, true), view(1, r.n, r.k, true),
            view(2, r.m, r.n, true), accumulate},
           tasks, tiny);
  } else if (direct || transposed) {
    DirectForm form = transposed ? DirectForm::Transposed
                      : few      ? DirectForm::FewRows
                                 : DirectForm::ManyRows;
    func::FuncOp kernel =
        getDirectKernel(module, tiling.lanes,
                        few ? getDirectRows(tiling.lanes, rows) : 6, form);
    Value tasks = times(batches, ceilDiv(n, 2 * tiling.lanes));
    launch(rewriter, loc, kernel,
           {view(0, r.m, r.k, false),
            transposed ? view(1, r.n, r.k, true) : view(1, r.k, r.n, true),
            view(2, r.m, r.n, true), accumulate},
           tasks, tiny);
  } else {
    bool unitK = isUnit(1, r.k), unitN = !unitK && isUnit(1, r.n);
    Value panels = ceilDiv(m, tiling.rows);
    Value count = times(times(panels, index(tiling.rows)), extents[r.k]);
    Value buffer = callScratch(rewriter, loc, module, "cq_workspace", count);
    launch(rewriter, loc, getPackKernel(module, tiling),
           {view(0, r.m, r.k, false), buffer}, panels, tiny);
    Value weights = unitN ? view(1, r.k, r.n, true) : view(1, r.n, r.k, unitK);
    launch(rewriter, loc, getPackedKernel(module, tiling, unitK, unitN),
           {buffer, weights, view(2, r.m, r.n, true), accumulate},
           ceilDiv(n, tiling.columns()), tiny);
  }
  rewriter.eraseOp(op);
  if (fill)
    rewriter.eraseOp(fill);
  return success();
}
