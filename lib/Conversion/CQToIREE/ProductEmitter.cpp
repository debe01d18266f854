//===- ProductEmitter.cpp - Products in the forms IREE knows --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductEmitter.h"
#include "../CQToLinalg/Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::toiree;
using namespace mlir::cq::tolinalg;

static Type typeOf(MLIRContext *context, Element element) {
  Builder b(context);
  switch (element) {
  case Element::I2:
    return b.getIntegerType(2);
  case Element::I4:
    return b.getIntegerType(4);
  case Element::I8:
    return b.getI8Type();
  case Element::I16:
    return b.getI16Type();
  case Element::I32:
    return b.getI32Type();
  case Element::F16:
    return b.getF16Type();
  case Element::BF16:
    return b.getBF16Type();
  case Element::F32:
    return b.getF32Type();
  }
  return {};
}

RankedTensorType toiree::typeOf(MLIRContext *context,
                                const StoredPlane &plane) {
  return RankedTensorType::get(plane.shape, ::typeOf(context, plane.element));
}

/// Code `within` (index; null where a unit is one code) of a unit whose bytes
/// are `unit`, as i32.
static Value decode(Emitter &b, unsigned bits, ValueRange unit, Value within) {
  if (unit.size() == 1)
    return unsignedToI32(b, unit[0]);
  // 8 codes of 5 bits are 40: too many for i32.
  Type word = unit.size() > 4 ? b.getI64Type() : b.getI32Type();
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, b.getIntegerAttr(word, value));
  };
  Value all;
  for (auto [i, byte] : llvm::enumerate(unit)) {
    Value part = arith::ExtUIOp::create(b, word, byte);
    if (i != 0)
      part = arith::ShLIOp::create(b, part, number(8 * i));
    all = all ? arith::OrIOp::create(b, all, part) : part;
  }
  Value place = arith::IndexCastOp::create(b, word, within);
  Value shift = arith::MulIOp::create(b, place, number(bits));
  Value code = arith::ShRUIOp::create(b, all, shift);
  code = arith::AndIOp::create(b, code, number((1 << bits) - 1));
  if (word.isInteger(32))
    return code;
  return arith::TruncIOp::create(b, b.getI32Type(), code);
}

namespace {

/// Rows of one width.
struct Rows {
  int64_t count;
  Scheme scheme; ///< with their width
  CodeUnit unit;
  SmallVector<Value> codes; ///< one plane, or one for each byte of a unit
  Value scales, zeros;
};

class Weight {
public:
  Weight(Emitter &b, const StoredWeight &stored, LoadPlane load)
      : b(b), stored(stored), f32(b.getF32Type()), i32(b.getI32Type()) {
    for (auto [i, segment] : llvm::enumerate(stored.layout.segments)) {
      Rows rows{segment.rows,
                stored.scheme.withBits(segment.bits),
                CodeUnit::get(segment.bits, stored.packed),
                {},
                {},
                {}};
      std::string codes = stored.planeName(i, "codes");
      if (rows.unit.bytes == 0)
        rows.codes.push_back(load(b, codes));
      for (int64_t byte = 0; byte < rows.unit.bytes; ++byte)
        rows.codes.push_back(load(b, codes + "." + std::to_string(byte)));
      rows.scales = load(b, stored.planeName(i, "scales"));
      if (stored.scheme.hasZeroPoints())
        rows.zeros = load(b, stored.planeName(i, "zeros"));
      segments.push_back(std::move(rows));
    }
    if (stored.hasCherries()) {
      cherryColumns = load(b, "cherry_columns");
      cherryDeltas = load(b, "cherry_deltas");
    }
    if (stored.layout.permuted)
      positions = load(b, "row_positions");
  }

  /// Dimensions of a unit's place: group, then unit and code, or code.
  unsigned innerDims(const Rows &rows) const {
    return rows.unit.bytes == 0 ? 2 : 3;
  }
  SmallVector<int64_t> innerSizes(const Rows &rows) const {
    int64_t length = stored.paddedLength();
    if (rows.unit.bytes == 0)
      return {stored.numGroups(), length};
    return {stored.numGroups(), length / rows.unit.codes, rows.unit.codes};
  }

  /// One generic over [R, group, (unit,) code]; `body` gets code (i32), scale
  /// and zero point (i32, or the grid's origin).
  Value
  decodeAll(const Rows &rows, Type type,
            llvm::function_ref<Value(Emitter &, Value, Value, Value)> body) {
    unsigned rank = 1 + innerDims(rows);
    bool units = rows.unit.bytes != 0;
    SmallVector<AffineExpr> all = dims(b, rank);
    AffineMap whole = map(b, rank, all);
    AffineMap unit = units ? map(b, rank, ArrayRef(all).drop_back()) : whole;
    AffineMap group = map(b, rank, {all[0], all[1]});
    SmallVector<Value> inputs(rows.codes);
    SmallVector<AffineMap> maps(rows.codes.size(), unit);
    inputs.push_back(rows.scales);
    maps.push_back(group);
    if (rows.zeros) {
      inputs.push_back(rows.zeros);
      maps.push_back(group);
    }
    maps.push_back(whole);
    size_t planes = rows.codes.size();
    Value init = empty(
        b, append(b, append(b, {}, {rows.count}), innerSizes(rows)), type);
    return generic(b, inputs, init, maps, [&](Emitter &b, ValueRange in) {
      Value within = units ? index(b, rank - 1) : Value();
      Value code = decode(b, rows.scheme.bits, in.take_front(planes), within);
      Value origin =
          rows.zeros ? unsignedToI32(b, in[planes + 1]) : this->origin(b, rows);
      return body(b, code, in[planes], origin);
    });
  }

  Value origin(Emitter &b, const Rows &rows) const {
    return originOf(b, rows.scheme, RowSegment{rows.count, rows.scheme.bits},
                    Value());
  }

  Emitter &b;
  const StoredWeight &stored;
  Type f32, i32;
  SmallVector<Rows, 1> segments;
  Value cherryColumns, cherryDeltas, positions;
};

class Product : Weight {
public:
  Product(Emitter &b, MatmulOp op, const StoredWeight &stored, LoadPlane load)
      : Weight(b, stored, load), op(op), m(b.getAffineDimExpr(0)),
        n(b.getAffineDimExpr(1)) {}

  Value emit() {
    bool int8 = op.getMode().getMode() == ActivationMode::Int8;
    Value y = segments.size() == 1
                  ? rowsProduct(segments[0], zeros(b, op.getInit()), int8)
                  : allRows(int8);
    if (stored.hasCherries())
      y = cherryProduct(y);
    if (positions)
      y = restoreOrder(b, y, positions);
    return y;
  }

private:
  Sizes outputSizes(int64_t rows) {
    return {sizesOf(b, op.getInit())[0], b.getIndexAttr(rows)};
  }

  /// Segments beside one another.
  Value allRows(bool int8) {
    Value y = empty(b, sizesOf(b, op.getInit()), f32);
    int64_t first = 0;
    for (const Rows &rows : segments) {
      Value part =
          rowsProduct(rows, zeros(b, outputSizes(rows.count), f32), int8);
      Sizes offsets{b.getIndexAttr(0), b.getIndexAttr(first)};
      Sizes strides(2, b.getIndexAttr(1));
      y = tensor::InsertSliceOp::create(b, part, y, offsets,
                                        outputSizes(rows.count), strides);
      first += rows.count;
    }
    return y;
  }

  Value rowsProduct(const Rows &rows, Value init, bool int8) {
    return int8 ? integerProduct(rows, init) : floatProduct(rows, init);
  }

  /// [M, K] → [M, group, (unit,) code].
  Value split(Value x, const Rows &rows) {
    auto type = cast<RankedTensorType>(x.getType());
    SmallVector<int64_t> shape{type.getDimSize(0)};
    llvm::append_range(shape, innerSizes(rows));
    int64_t columns = stored.numGroups() * stored.paddedLength();
    Value padded = padTo(b, x, type.getDimSize(0), columns);
    SmallVector<ReassociationIndices> groups{{0}, {}};
    for (unsigned i = 1; i < shape.size(); ++i)
      groups[1].push_back(i);
    return tensor::ExpandShapeOp::create(
        b, RankedTensorType::get(shape, type.getElementType()), padded, groups);
  }

  Value floatProduct(const Rows &rows, Value init) {
    Value w = decodeAll(
        rows, f32, [&](Emitter &b, Value code, Value scale, Value origin) {
          Value integer = level(b, rows.scheme, code, origin);
          Value number = arith::SIToFPOp::create(b, f32, integer);
          return arith::MulFOp::create(b, number, step(b, rows.scheme, scale))
              .getResult();
        });
    unsigned rank = 2 + innerDims(rows);
    SmallVector<AffineExpr> all = dims(b, rank);
    SmallVector<AffineExpr> left{m}, right{n};
    llvm::append_range(left, ArrayRef(all).drop_front(2));
    llvm::append_range(right, ArrayRef(all).drop_front(2));
    return generic(
        b, {split(op.getX(), rows), w}, init,
        {map(b, rank, left), map(b, rank, right), map(b, rank, {m, n})},
        [](Emitter &b, ValueRange in) -> Value {
          Value product = arith::MulFOp::create(b, in[0], in[1]);
          return arith::AddFOp::create(b, in[2], product);
        });
  }

  /// Sums inside of groups in i32, then the fold over groups.
  Value integerProduct(const Rows &rows, Value init) {
    Value codes = rows.codes[0];
    if (rows.unit.bytes != 0)
      codes =
          decodeAll(rows, b.getI8Type(),
                    [](Emitter &b, Value code, Value, Value) -> Value {
                      return arith::TruncIOp::create(b, b.getI8Type(), code);
                    });
    unsigned rank = 2 + innerDims(rows);
    SmallVector<AffineExpr> all = dims(b, rank);
    SmallVector<AffineExpr> left{m}, right{n};
    llvm::append_range(left, ArrayRef(all).drop_front(2));
    llvm::append_range(right, ArrayRef(all).drop_front(2));
    Sizes sizes = append(b, outputSizes(rows.count), {stored.numGroups()});
    Value dots = generic(
        b, {split(op.getActivationCodes(), rows), codes}, zeros(b, sizes, i32),
        {map(b, rank, left), map(b, rank, right), map(b, rank, {m, n, all[2]})},
        [&](Emitter &b, ValueRange in) -> Value {
          Value x = arith::ExtSIOp::create(b, i32, in[0]);
          Value product = arith::MulIOp::create(b, x, unsignedToI32(b, in[1]));
          return arith::AddIOp::create(b, in[2], product);
        });
    AffineExpr g = b.getAffineDimExpr(2);
    AffineMap activation = map(b, 3, {m, g}), weight = map(b, 3, {n, g});
    SmallVector<Value> inputs{dots, op.getActivationSums(),
                              op.getActivationScales(), rows.scales};
    SmallVector<AffineMap> maps{map(b, 3, {m, n, g}), activation, activation,
                                weight};
    if (rows.zeros) {
      inputs.push_back(rows.zeros);
      maps.push_back(weight);
    }
    maps.push_back(map(b, 3, {m, n}));
    return generic(b, inputs, init, maps, [&](Emitter &b, ValueRange in) {
      Value origin =
          rows.zeros ? unsignedToI32(b, in[4]) : this->origin(b, rows);
      Value dot = in[0];
      if (rows.scheme.grid == Grid::HalfStep)
        dot = arith::MulIOp::create(b, dot, constant(b, int32_t{2}));
      Value centred = arith::SubIOp::create(
          b, dot, arith::MulIOp::create(b, origin, in[1]));
      Value scale =
          arith::MulFOp::create(b, step(b, rows.scheme, in[3]), in[2]);
      Value number = arith::SIToFPOp::create(b, f32, centred);
      return math::FmaOp::create(b, number, scale, in.back()).getResult();
    });
  }

  /// y plus the cherries: deltas times the columns of x they name.
  Value cherryProduct(Value y) {
    AffineExpr e = b.getAffineDimExpr(2);
    AffineMap entries = map(b, 3, {n, e}), result = map(b, 3, {m, n});
    Value x = op.getX();
    if (stored.cherries.form == CherryForm::Column) {
      // The same columns in every row: a small dense product.
      Sizes sizes = append(b, {sizesOf(b, x)[0]}, {stored.cherries.count});
      Value some = generic(
          b, cherryColumns, empty(b, sizes, f32),
          {map(b, 2, n), map(b, 2, {m, n})}, [&](Emitter &b, ValueRange in) {
            return extract(b, x, {index(b, 0), toIndex(b, in[0])});
          });
      return generic(
          b, {some, cherryDeltas}, y, {map(b, 3, {m, e}), entries, result},
          [](Emitter &b, ValueRange in) -> Value {
            Value product = arith::MulFOp::create(b, in[0], toF32(b, in[1]));
            return arith::AddFOp::create(b, in[2], product);
          });
    }
    return generic(
        b, {cherryColumns, cherryDeltas}, y, {entries, entries, result},
        [&](Emitter &b, ValueRange in) -> Value {
          Value column = extract(b, x, {index(b, 0), toIndex(b, in[0])});
          Value product = arith::MulFOp::create(b, column, toF32(b, in[1]));
          return arith::AddFOp::create(b, in[2], product);
        });
  }

  MatmulOp op;
  AffineExpr m, n;
};

class Gather : Weight {
public:
  Gather(Emitter &b, GatherOp op, const StoredWeight &stored, LoadPlane load)
      : Weight(b, stored, load), op(op) {}

  Value emit() {
    const Rows &rows = segments[0];
    unsigned rank = cast<ShapedType>(op.getIndices().getType()).getRank();
    Value result = generic(
        b, op.getIndices(), op.getInit(),
        {map(b, rank + 1, dims(b, rank)), b.getMultiDimIdentityMap(rank + 1)},
        [&](Emitter &b, ValueRange in) -> Value {
          Value row = toIndex(b, in[0]), column = index(b, rank);
          AffineExpr k = b.getAffineDimExpr(0);
          Value group = apply(b, k.floorDiv(stored.groupLength), column);
          AffineExpr inGroup = k % stored.groupLength;
          int64_t codes = rows.unit.codes;
          Value unit = apply(b, inGroup.floorDiv(codes), column);
          Value within =
              codes == 1 ? Value() : apply(b, inGroup % codes, column);
          SmallVector<Value> bytes;
          for (Value plane : rows.codes)
            bytes.push_back(extract(b, plane, {row, group, unit}));
          Value code = decode(b, rows.scheme.bits, bytes, within);
          Value origin =
              rows.zeros
                  ? unsignedToI32(b, extract(b, rows.zeros, {row, group}))
                  : this->origin(b, rows);
          Value number = arith::SIToFPOp::create(
              b, f32, level(b, rows.scheme, code, origin));
          Value scale = extract(b, rows.scales, {row, group});
          return arith::MulFOp::create(b, number, step(b, rows.scheme, scale));
        });
    return stored.hasCherries() ? withCherries(result, rank) : result;
  }

private:
  /// Each element looks for itself among the cherries of its row.
  Value withCherries(Value dense, unsigned rank) {
    SmallVector<AffineExpr> all = dims(b, rank + 2);
    AffineMap rows = map(b, rank + 2, ArrayRef(all).take_front(rank));
    AffineMap entry = map(b, rank + 2, all.back());
    bool shared = stored.cherries.form == CherryForm::Column;
    // Something that says how many entries there are.
    Value entries = empty(b, append(b, {}, {stored.cherryEntries()}), i32);
    return generic(
        b, {op.getIndices(), entries}, dense,
        {rows, entry, map(b, rank + 2, ArrayRef(all).drop_back())},
        [&](Emitter &b, ValueRange in) -> Value {
          Value row = toIndex(b, in[0]), e = index(b, rank + 1);
          Value column = shared ? extract(b, cherryColumns, {e})
                                : extract(b, cherryColumns, {row, e});
          Value hit = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                            toIndex(b, column), index(b, rank));
          Value delta = toF32(b, extract(b, cherryDeltas, {row, e}));
          Value sum = arith::AddFOp::create(b, in.back(), delta);
          return arith::SelectOp::create(b, hit, sum, in.back());
        });
  }

  GatherOp op;
};

} // namespace

Value toiree::restoreOrder(Emitter &b, Value stored, Value positions) {
  AffineExpr m, n;
  bindDims(b.getContext(), m, n);
  return generic(b, positions, empty(b, sizesOf(b, stored), b.getF32Type()),
                 {map(b, 2, n), map(b, 2, {m, n})},
                 [&](Emitter &b, ValueRange in) {
                   return extract(b, stored, {index(b, 0), toIndex(b, in[0])});
                 });
}

Value toiree::emitProduct(Emitter &b, MatmulOp op, const StoredWeight &weight,
                          LoadPlane load) {
  return Product(b, op, weight, load).emit();
}

Value toiree::emitGather(Emitter &b, GatherOp op, const StoredWeight &weight,
                         LoadPlane load) {
  return Gather(b, op, weight, load).emit();
}

SmallVector<Value> toiree::emitDynamicQuantize(Emitter &b,
                                               DynamicQuantizeOp op) {
  auto type = cast<RankedTensorType>(op.getX().getType());
  int64_t k = type.getDimSize(1), length = std::min<int64_t>(op.getGroup(), k);
  AffineExpr m, a, j;
  bindDims(b.getContext(), m, a, j);
  AffineMap whole = map(b, 3, {m, a, j}), groups = map(b, 3, {m, a});
  Value x = splitColumns(b, op.getX(), length);
  Value largest =
      generic(b, x, zeros(b, op.getScalesInit()), {whole, groups},
              [](Emitter &b, ValueRange in) -> Value {
                Value magnitude = math::AbsFOp::create(b, in[0]);
                return arith::MaxNumFOp::create(b, in[1], magnitude);
              });
  AffineMap pair = b.getMultiDimIdentityMap(2);
  Value scales =
      generic(b, largest, empty(b, sizesOf(b, largest), b.getF32Type()),
              {pair, pair}, [](Emitter &b, ValueRange in) -> Value {
                return arith::DivFOp::create(b, in[0], constant(b, 127.0f));
              });
  Value split = generic(b, {x, scales}, empty(b, sizesOf(b, x), b.getI8Type()),
                        {whole, groups, whole}, [](Emitter &b, ValueRange in) {
                          return quantizeActivation(b, in[0], in[1]);
                        });
  Value sums = generic(b, split, zeros(b, op.getSumsInit()), {whole, groups},
                       [](Emitter &b, ValueRange in) -> Value {
                         Value code =
                             arith::ExtSIOp::create(b, b.getI32Type(), in[0]);
                         return arith::AddIOp::create(b, in[1], code);
                       });
  SmallVector<ReassociationIndices> joined{{0}, {1, 2}};
  Value codes = tensor::CollapseShapeOp::create(b, split, joined);
  if (cast<RankedTensorType>(codes.getType()).getDimSize(1) != k) {
    Sizes sizes{sizesOf(b, op.getX())[0], b.getIndexAttr(k)};
    Sizes offsets(2, b.getIndexAttr(0)), strides(2, b.getIndexAttr(1));
    codes = tensor::ExtractSliceOp::create(b, codes, offsets, sizes, strides);
  }
  return {codes, scales, sums};
}
