//===- VectorOps.cpp - vector ---------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "Translator.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

/// Most operations on vectors only move elements: register out + i takes
/// `sources[i]`.
static Action move(uint32_t out, SmallVector<uint32_t> sources) {
  return [=](Warp &warp) {
    for (size_t e = 0; e != sources.size(); ++e)
      std::copy_n(warp.lanes(sources[e]), kLanes, warp.lanes(out + e));
    return Outcome::Next;
  };
}

static FailureOr<Action> moveFrom(Operation *op, Translator &t,
                                  ArrayRef<uint32_t> sources) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  return move(out->index, SmallVector<uint32_t>(sources));
}

static ArrayRef<int64_t> shapeOf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? vector.getShape() : ArrayRef<int64_t>();
}

static FailureOr<Action> translateAlias(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  t.alias(op->getResult(0), *in);
  return Action();
}

static FailureOr<Action> translateBroadcast(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  ArrayRef<int64_t> from = shapeOf(op->getOperand(0).getType()),
                    to = shapeOf(op->getResult(0).getType());
  SmallVector<int64_t> strides = computeStrides(to);
  SmallVector<uint32_t> sources;
  for (int64_t i = 0, e = computeProduct(to); i != e; ++i) {
    // Trailing dimensions correspond; those of size 1 repeat.
    int64_t source = 0, scale = 1;
    SmallVector<int64_t> position = delinearize(i, strides);
    for (int d = int(from.size()) - 1; d >= 0; --d) {
      int64_t p = position[d + to.size() - from.size()];
      source += from[d] == 1 ? 0 : p * scale;
      scale *= from[d];
    }
    sources.push_back(in->index + source);
  }
  return moveFrom(op, t, sources);
}

/// The first register of the slice that a static position names.
static uint32_t slice(ArrayRef<int64_t> shape, ArrayRef<int64_t> position) {
  int64_t index = 0;
  for (auto [d, size] : llvm::enumerate(shape))
    index = index * size + (d < position.size() ? position[d] : 0);
  return static_cast<uint32_t>(index);
}

namespace {
/// A position in a vector with dynamic parts.
struct DynamicPosition {
  SmallVector<int64_t> shape, fixed;
  SmallVector<Slot> slots;

  FailureOr<uint32_t> at(Warp &warp, unsigned lane) const {
    SmallVector<int64_t> position;
    size_t next = 0;
    for (auto [d, p] : llvm::enumerate(fixed)) {
      position.push_back(ShapedType::isDynamic(p)
                             ? int64_t(warp.lanes(slots[next++])[lane])
                             : p);
      if (position.back() < 0 || position.back() >= shape[d])
        return warp.error(lane)
               << "out of bounds: index " << position.back() << " of dimension "
               << d << " of a vector, which has size " << shape[d];
    }
    return slice(shape, position);
  }
};
} // namespace

static FailureOr<Action> translateExtract(Operation *operation, Translator &t) {
  auto op = cast<vector::ExtractOp>(operation);
  FailureOr<Slot> in = t.slot(op.getSource());
  FailureOr<SmallVector<Slot>> dynamic = t.slots(op.getDynamicPosition());
  if (failed(in) || failed(dynamic))
    return failure();
  ArrayRef<int64_t> shape = op.getSourceVectorType().getShape();
  if (!op.hasDynamicPosition()) {
    t.alias(op.getResult(), {in->index + slice(shape, op.getStaticPosition()),
                             registerCount(op.getResult().getType())});
    return Action();
  }
  FailureOr<Slot> out = t.slot(op.getResult());
  if (failed(out))
    return failure();
  DynamicPosition position{SmallVector<int64_t>(shape),
                           SmallVector<int64_t>(op.getStaticPosition()),
                           *dynamic};
  return Action([=, in = *in, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      FailureOr<uint32_t> first = position.at(warp, lane);
      if (failed(first))
        return Outcome::Failed;
      for (uint32_t e = 0; e != out.count; ++e)
        warp.lanes(out.index + e)[lane] =
            warp.lanes(in.index + *first + e)[lane];
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateInsert(Operation *operation, Translator &t) {
  auto op = cast<vector::InsertOp>(operation);
  FailureOr<Slot> value = t.slot(op.getValueToStore()),
                  in = t.slot(op.getDest()), out = t.slot(op.getResult());
  FailureOr<SmallVector<Slot>> dynamic = t.slots(op.getDynamicPosition());
  if (failed(value) || failed(in) || failed(out) || failed(dynamic))
    return failure();
  DynamicPosition position{
      SmallVector<int64_t>(op.getDestVectorType().getShape()),
      SmallVector<int64_t>(op.getStaticPosition()), *dynamic};
  return Action([=, value = *value, in = *in, out = *out](Warp &warp) {
    for (uint32_t e = 0; e != out.count; ++e)
      std::copy_n(warp.lanes(in.index + e), kLanes, warp.lanes(out.index + e));
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      FailureOr<uint32_t> first = position.at(warp, lane);
      if (failed(first))
        return Outcome::Failed;
      for (uint32_t e = 0; e != value.count; ++e)
        warp.lanes(out.index + *first + e)[lane] =
            warp.lanes(value.index + e)[lane];
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateStridedSlice(Operation *operation,
                                               Translator &t) {
  auto op = cast<vector::ExtractStridedSliceOp>(operation);
  FailureOr<Slot> in = t.slot(op.getSource());
  if (failed(in))
    return failure();
  ArrayRef<int64_t> from = op.getSourceVectorType().getShape(),
                    to = op.getType().getShape();
  SmallVector<uint32_t> sources;
  SmallVector<int64_t> strides = computeStrides(to);
  for (int64_t i = 0, e = computeProduct(to); i != e; ++i) {
    SmallVector<int64_t> position = delinearize(i, strides);
    for (auto [d, offset] :
         llvm::enumerate(op.getOffsets().getAsValueRange<IntegerAttr>()))
      position[d] += offset.getSExtValue();
    sources.push_back(in->index + slice(from, position));
  }
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateInsertStridedSlice(Operation *operation,
                                                     Translator &t) {
  auto op = cast<vector::InsertStridedSliceOp>(operation);
  FailureOr<Slot> value = t.slot(op.getValueToStore()),
                  in = t.slot(op.getDest());
  if (failed(value) || failed(in))
    return failure();
  ArrayRef<int64_t> from = op.getSourceVectorType().getShape(),
                    to = op.getDestVectorType().getShape();
  SmallVector<uint32_t> sources;
  for (uint32_t e = 0; e != in->count; ++e)
    sources.push_back(in->index + e);
  SmallVector<int64_t> strides = computeStrides(from);
  for (int64_t i = 0, e = computeProduct(from); i != e; ++i) {
    SmallVector<int64_t> small = delinearize(i, strides), position;
    for (auto [d, offset] :
         llvm::enumerate(op.getOffsets().getAsValueRange<IntegerAttr>()))
      position.push_back(offset.getSExtValue());
    for (size_t d = 0; d != small.size(); ++d)
      position[d + to.size() - from.size()] += small[d];
    sources[slice(to, position)] = value->index + i;
  }
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateShuffle(Operation *operation, Translator &t) {
  auto op = cast<vector::ShuffleOp>(operation);
  FailureOr<Slot> a = t.slot(op.getV1()), b = t.slot(op.getV2());
  if (failed(a) || failed(b))
    return failure();
  int64_t leading = std::max<int64_t>(1, op.getV1VectorType().getShape()[0]);
  uint32_t inner = a->count / static_cast<uint32_t>(leading);
  SmallVector<uint32_t> sources;
  for (int64_t index : op.getMask())
    for (uint32_t e = 0; e != inner; ++e) {
      // A poison index may be anything.
      uint32_t element =
          static_cast<uint32_t>(std::max<int64_t>(index, 0)) * inner + e;
      sources.push_back(element < a->count ? a->index + element
                                           : b->index + element - a->count);
    }
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateTranspose(Operation *operation,
                                            Translator &t) {
  auto op = cast<vector::TransposeOp>(operation);
  FailureOr<Slot> in = t.slot(op.getVector());
  if (failed(in))
    return failure();
  ArrayRef<int64_t> from = op.getSourceVectorType().getShape(),
                    to = op.getResultVectorType().getShape();
  SmallVector<int64_t> strides = computeStrides(to);
  SmallVector<uint32_t> sources;
  for (int64_t i = 0, e = computeProduct(to); i != e; ++i) {
    SmallVector<int64_t> position = delinearize(i, strides),
                         source(position.size());
    for (auto [d, p] : llvm::enumerate(op.getPermutation()))
      source[p] = position[d];
    sources.push_back(in->index + slice(from, source));
  }
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateFromElements(Operation *op, Translator &t) {
  FailureOr<SmallVector<Slot>> in = t.slots(op->getOperands());
  if (failed(in))
    return failure();
  SmallVector<uint32_t> sources;
  for (Slot slot : *in)
    sources.push_back(slot.index);
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateToElements(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  for (auto [e, result] : llvm::enumerate(op->getResults()))
    t.alias(result, {in->index + static_cast<uint32_t>(e), 1});
  return Action();
}

static FailureOr<Action> translateInterleave(Operation *op, Translator &t) {
  FailureOr<SmallVector<Slot>> in = t.slots(op->getOperands());
  if (failed(in))
    return failure();
  SmallVector<uint32_t> sources;
  for (uint32_t e = 0; e != (*in)[0].count; ++e)
    sources.append({(*in)[0].index + e, (*in)[1].index + e});
  return moveFrom(op, t, sources);
}

static FailureOr<Action> translateDeinterleave(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0)),
                  odd = t.slot(op->getResult(1)),
                  even = t.slot(op->getResult(0));
  if (failed(in) || failed(even) || failed(odd))
    return failure();
  return Action([=, in = *in, even = *even, odd = *odd](Warp &warp) {
    for (uint32_t e = 0; e != in.count; ++e)
      std::copy_n(warp.lanes(in.index + e), kLanes,
                  warp.lanes((e % 2 ? odd : even).index + e / 2));
    return Outcome::Next;
  });
}

/// Regroups the bits of a vector (or of an integer, for llvm.bitcast), lowest
/// first.
static FailureOr<Action> translateBitcast(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0)),
                  out = t.slot(op->getResult(0));
  if (failed(in) || failed(out))
    return failure();
  unsigned from = elementBits(op->getOperand(0).getType()),
           to = elementBits(op->getResult(0).getType());
  return Action([=, in = *in, out = *out](Warp &warp) {
    if (from >= to) {
      unsigned parts = from / to;
      for (uint32_t e = 0; e != out.count; ++e) {
        const uint64_t *source = warp.lanes(in.index + e / parts);
        uint64_t *result = warp.lanes(out.index + e);
        for (unsigned lane = 0; lane != kLanes; ++lane)
          result[lane] = source[lane] >> (e % parts * to) & lowBits(to);
      }
      return Outcome::Next;
    }
    unsigned parts = to / from;
    for (uint32_t e = 0; e != out.count; ++e)
      for (unsigned lane = 0; lane != kLanes; ++lane) {
        uint64_t value = 0;
        for (unsigned p = 0; p != parts; ++p)
          value |= warp.lanes(in.index + e * parts + p)[lane] << (p * from);
        warp.lanes(out.index + e)[lane] = value;
      }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateReduction(Operation *operation,
                                            Translator &t) {
  auto op = cast<vector::ReductionOp>(operation);
  FailureOr<Slot> in = t.slot(op.getVector()), out = t.slot(op.getResult());
  FailureOr<SmallVector<Slot>> start =
      t.slots(op.getAcc() ? ValueRange(op.getAcc()) : ValueRange());
  if (failed(in) || failed(out) || failed(start))
    return failure();
  std::optional<FloatKind> kind = floatKind(op.getResult().getType());
  unsigned bits = elementBits(op.getResult().getType());
  using K = vector::CombiningKind;
  K combine = op.getKind();
  if (!llvm::is_contained({K::ADD, K::MUL, K::AND, K::OR, K::XOR, K::MAXNUMF,
                           K::MAXIMUMF, K::MINNUMF, K::MINIMUMF},
                          combine))
    return op.emitError() << "the interpreter does not know this reduction";
  auto apply = [=](uint64_t a, uint64_t b) -> uint64_t {
    if (!kind) {
      uint64_t r = combine == K::ADD   ? a + b
                   : combine == K::MUL ? a * b
                   : combine == K::AND ? (a & b)
                   : combine == K::OR  ? (a | b)
                                       : (a ^ b);
      return r & lowBits(bits);
    }
    double x = decodeFloat(a, *kind), y = decodeFloat(b, *kind);
    double r = combine == K::ADD   ? x + y
               : combine == K::MUL ? x * y
               : combine == K::MAXNUMF || combine == K::MAXIMUMF
                   ? std::fmax(x, y)
                   : std::fmin(x, y);
    return encodeFloat(r, *kind);
  };
  // One element after the other, as the lowering without `reassoc` does.
  return Action([=, in = *in, out = *out, start = *start](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      uint32_t e = start.empty() ? 1 : 0;
      uint64_t sum = warp.lanes(start.empty() ? in : start[0])[lane];
      for (; e != in.count; ++e)
        sum = apply(sum, warp.lanes(in.index + e)[lane]);
      warp.lanes(out)[lane] = sum;
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateStep(Operation *op, Translator &t) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  for (uint32_t e = 0; e != out->count; ++e)
    t.preset(out->index + e, e);
  return Action();
}

/// vector.load and vector.store of consecutive elements.
template <typename OpTy, bool isLoad>
static FailureOr<Action> translateAccess(Operation *operation, Translator &t) {
  auto op = cast<OpTy>(operation);
  Value vector;
  if constexpr (isLoad)
    vector = op.getResult();
  else
    vector = op.getValueToStore();
  auto type = cast<VectorType>(vector.getType());
  FailureOr<Slot> value = t.slot(vector);
  FailureOr<ElementAddress> element =
      ElementAddress::get(t, op.getBase(), op.getIndices());
  if (failed(value) || failed(element))
    return failure();
  unsigned bits = elementBits(type);
  if (bits % 8)
    return op.emitError() << "the interpreter has no memory for " << type;
  // A memref of vectors: one element is a whole vector.
  int64_t run = isa<VectorType>(op.getBase().getType().getElementType())
                    ? 1
                    : type.getNumElements();
  if (type.getRank() > 1 && run != 1)
    return op.emitError() << "the interpreter knows vectors of rank 1 here";
  auto alignment = op->template getAttrOfType<IntegerAttr>("alignment");
  uint64_t aligned = alignment ? alignment.getInt() : bits / 8;
  return Action([=, value = *value, element = *element](Warp &warp) {
    auto address = [&](unsigned lane) -> FailureOr<uint64_t> {
      FailureOr<uint64_t> result = element.at(warp, lane, run);
      if (failed(result) || failed(warp.machine.memory.checkAligned(
                                warp, lane, *result, aligned)))
        return failure();
      return result;
    };
    return isLoad ? loadLanes(warp, address, value, bits / 8, bits)
                  : storeLanes(warp, address, value, bits / 8, bits);
  });
}

void gpusim::addVectorRules(Translator &t) {
  t.add("vector.broadcast", translateBroadcast);
  t.add("vector.extract", translateExtract);
  t.add("vector.insert", translateInsert);
  t.add("vector.extract_strided_slice", translateStridedSlice);
  t.add("vector.insert_strided_slice", translateInsertStridedSlice);
  t.add("vector.shape_cast", translateAlias);
  t.add("vector.shuffle", translateShuffle);
  t.add("vector.transpose", translateTranspose);
  t.add("vector.from_elements", translateFromElements);
  t.add("vector.to_elements", translateToElements);
  t.add("vector.interleave", translateInterleave);
  t.add("vector.deinterleave", translateDeinterleave);
  t.addAll(translateBitcast, "vector.bitcast", "llvm.bitcast");
  t.add("vector.reduction", translateReduction);
  t.add("vector.step", translateStep);
  t.add("vector.load", translateAccess<vector::LoadOp, true>);
  t.add("vector.store", translateAccess<vector::StoreOp, false>);
}
