//===- MemRefOps.cpp - memref ---------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

template <bool isLoad>
static FailureOr<Action> translateAccess(Operation *op, Translator &t) {
  Value value = isLoad ? op->getResult(0) : op->getOperand(0);
  Value memref = op->getOperand(isLoad ? 0 : 1);
  FailureOr<Slot> slot = t.slot(value);
  FailureOr<ElementAddress> element = ElementAddress::get(
      t, memref, op->getOperands().drop_front(isLoad ? 1 : 2));
  if (failed(slot) || failed(element))
    return failure();
  unsigned bits = elementBits(value.getType());
  unsigned bytes = std::max(1u, bits / 8);
  return Action([=, slot = *slot, element = *element](Warp &warp) {
    auto address = [&](unsigned lane) { return element.at(warp, lane); };
    return isLoad ? loadLanes(warp, address, slot, bytes, bits)
                  : storeLanes(warp, address, slot, bytes, bits);
  });
}

static FailureOr<Action> translateAtomic(Operation *operation, Translator &t) {
  auto op = cast<memref::AtomicRMWOp>(operation);
  FailureOr<Slot> value = t.slot(op.getValue()), out = t.slot(op.getResult());
  FailureOr<ElementAddress> element =
      ElementAddress::get(t, op.getMemref(), op.getIndices());
  if (failed(value) || failed(out) || failed(element))
    return failure();
  unsigned bits = elementBits(op.getType());
  std::optional<FloatKind> kind = floatKind(op.getType());
  using K = arith::AtomicRMWKind;
  K what = op.getKind();
  if (!llvm::is_contained({K::addf, K::addi, K::assign, K::maxs, K::maxu,
                           K::mins, K::minu, K::ori, K::andi, K::maximumf,
                           K::minimumf},
                          what))
    return op.emitError() << "the interpreter does not know this atomic";
  auto apply = [=](uint64_t a, uint64_t b) -> uint64_t {
    int64_t x = signExtend(a, bits), y = signExtend(b, bits);
    switch (what) {
    case K::addf:
      return encodeFloat(decodeFloat(a, *kind) + decodeFloat(b, *kind), *kind);
    case K::maximumf:
      return decodeFloat(a, *kind) > decodeFloat(b, *kind) ? a : b;
    case K::minimumf:
      return decodeFloat(a, *kind) < decodeFloat(b, *kind) ? a : b;
    case K::addi:
      return (a + b) & lowBits(bits);
    case K::maxs:
      return x > y ? a : b;
    case K::mins:
      return x < y ? a : b;
    case K::maxu:
      return std::max(a, b);
    case K::minu:
      return std::min(a, b);
    case K::ori:
      return a | b;
    case K::andi:
      return a & b;
    default:
      return b;
    }
  };
  return Action([=, value = *value, out = *out,
                 element = *element](Warp &warp) {
    SmallVector<uint8_t, 8> bytes(element.bytes);
    // The lanes of a warp get their turn in any order.
    unsigned start = warp.machine.random() % kLanes;
    for (unsigned i = 0; i != kLanes; ++i) {
      unsigned lane = (start + i) % kLanes;
      if (!warp.active(lane))
        continue;
      FailureOr<uint64_t> address = element.at(warp, lane);
      Memory &memory = warp.machine.memory;
      if (failed(address) ||
          failed(memory.load(warp, lane, *address, bytes, AccessKind::Atomic)))
        return Outcome::Failed;
      unpackLane(warp, lane, out.index, 1, bits, bytes);
      uint64_t old = warp.lanes(out)[lane],
               updated = apply(old, warp.lanes(value)[lane]);
      std::memcpy(bytes.data(), &updated, bytes.size());
      if (failed(memory.store(warp, lane, *address, bytes, AccessKind::Atomic)))
        return Outcome::Failed;
    }
    return Outcome::Next;
  });
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

namespace {
/// A number that is an attribute or a value of its own per lane.
struct Number {
  int64_t fixed = 0;
  std::optional<Slot> slot;
  int64_t at(Warp &warp, unsigned lane) const {
    return slot ? static_cast<int64_t>(warp.lanes(*slot)[lane]) : fixed;
  }
};
} // namespace

static FailureOr<SmallVector<Number>> numbers(Translator &t,
                                              ArrayRef<OpFoldResult> values) {
  SmallVector<Number> result;
  for (OpFoldResult value : values) {
    Number number;
    if (auto attribute = dyn_cast<Attribute>(value)) {
      number.fixed = cast<IntegerAttr>(attribute).getInt();
    } else {
      FailureOr<Slot> slot = t.slot(cast<Value>(value));
      if (failed(slot))
        return failure();
      number.slot = *slot;
    }
    result.push_back(number);
  }
  return result;
}

static FailureOr<Action> translateView(Operation *operation, Translator &t) {
  auto op = cast<memref::ViewOp>(operation);
  MemRefType type = op.getType();
  FailureOr<Slot> in = t.slot(op.getSource()), out = t.slot(op.getResult()),
                  shift = t.slot(op.getByteShift());
  FailureOr<SmallVector<Number>> sizes = numbers(
      t, getMixedValues(type.getShape(), op.getSizes(), op.getContext()));
  if (failed(in) || failed(out) || failed(shift) || failed(sizes))
    return failure();
  unsigned bytes = storageBytes(type.getElementType());
  return Action([=, shift = *shift, sizes = *sizes, from = MemRefSlots(*in, 1),
                 to = MemRefSlots(*out, type.getRank())](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      int64_t offset = int64_t(warp.lanes(shift)[lane]), dense = 1;
      warp.lanes(to.address())[lane] = warp.lanes(from.address())[lane] +
                                       warp.lanes(from.offset())[lane] + offset;
      warp.lanes(to.offset())[lane] = 0;
      for (int d = int(to.rank) - 1; d >= 0; --d) {
        int64_t size = sizes[d].at(warp, lane);
        warp.lanes(to.size(d))[lane] = size;
        warp.lanes(to.stride(d))[lane] = dense;
        dense *= size;
      }
      if (int64_t available = int64_t(warp.lanes(from.size(0))[lane]);
          offset < 0 || dense * bytes > available - offset)
        return warp.fail(lane, "out of bounds: the view takes bytes " +
                                   Twine(offset) + " to " +
                                   Twine(offset + dense * bytes) + " of " +
                                   Twine(available));
      if (failed(warp.machine.memory.checkAligned(
              warp, lane, warp.lanes(to.address())[lane], bytes)))
        return Outcome::Failed;
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateSubView(Operation *operation, Translator &t) {
  auto op = cast<memref::SubViewOp>(operation);
  FailureOr<Slot> in = t.slot(op.getSource()), out = t.slot(op.getResult());
  FailureOr<SmallVector<Number>> offsets = numbers(t, op.getMixedOffsets()),
                                 sizes = numbers(t, op.getMixedSizes()),
                                 strides = numbers(t, op.getMixedStrides());
  if (failed(in) || failed(out) || failed(offsets) || failed(sizes) ||
      failed(strides))
    return failure();
  llvm::SmallBitVector dropped = op.getDroppedDims();
  unsigned rank = op.getSourceType().getRank();
  return Action([=, offsets = *offsets, sizes = *sizes, strides = *strides,
                 from = MemRefSlots(*in, rank),
                 to = MemRefSlots(*out, op.getType().getRank())](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      int64_t offset = int64_t(warp.lanes(from.offset())[lane]);
      unsigned kept = 0;
      for (unsigned d = 0; d != rank; ++d) {
        int64_t first = offsets[d].at(warp, lane),
                size = sizes[d].at(warp, lane),
                step = strides[d].at(warp, lane),
                available = int64_t(warp.lanes(from.size(d))[lane]),
                stride = int64_t(warp.lanes(from.stride(d))[lane]);
        if (first < 0 || size < 0 ||
            (size > 0 && first + (size - 1) * step >= available))
          return warp.fail(lane, "out of bounds: the view takes " +
                                     Twine(size) + " from " + Twine(first) +
                                     " of dimension " + Twine(d) +
                                     ", which has size " + Twine(available));
        offset += first * stride;
        if (dropped.test(d))
          continue;
        warp.lanes(to.size(kept))[lane] = size;
        warp.lanes(to.stride(kept++))[lane] = stride * step;
      }
      warp.lanes(to.address())[lane] = warp.lanes(from.address())[lane];
      warp.lanes(to.offset())[lane] = offset;
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateReinterpretCast(Operation *operation,
                                                  Translator &t) {
  auto op = cast<memref::ReinterpretCastOp>(operation);
  auto source = dyn_cast<MemRefType>(op.getSource().getType());
  FailureOr<Slot> in = t.slot(op.getSource()), out = t.slot(op.getResult());
  FailureOr<SmallVector<Number>> offsets = numbers(t, op.getMixedOffsets()),
                                 sizes = numbers(t, op.getMixedSizes()),
                                 strides = numbers(t, op.getMixedStrides());
  if (!source || failed(in) || failed(out) || failed(offsets) ||
      failed(sizes) || failed(strides))
    return failure();
  return Action([=, offset = (*offsets)[0], sizes = *sizes, strides = *strides,
                 from = MemRefSlots(*in, source.getRank()),
                 to = MemRefSlots(*out, op.getType().getRank())](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      warp.lanes(to.address())[lane] = warp.lanes(from.address())[lane];
      warp.lanes(to.offset())[lane] = offset.at(warp, lane);
      for (unsigned d = 0; d != to.rank; ++d) {
        warp.lanes(to.size(d))[lane] = sizes[d].at(warp, lane);
        warp.lanes(to.stride(d))[lane] = strides[d].at(warp, lane);
      }
    }
    return Outcome::Next;
  });
}

/// collapse_shape and expand_shape: sizes as given, strides by group.
static FailureOr<Action> reshape(Translator &t, Value source, Value result,
                                 SmallVector<ReassociationIndices> groups,
                                 bool collapse, ArrayRef<OpFoldResult> shape) {
  FailureOr<Slot> in = t.slot(source), out = t.slot(result);
  FailureOr<SmallVector<Number>> sizes = numbers(t, shape);
  if (failed(in) || failed(out) || failed(sizes))
    return failure();
  MemRefSlots from(*in, cast<MemRefType>(source.getType()).getRank()),
      to(*out, cast<MemRefType>(result.getType()).getRank());
  return Action([=, sizes = *sizes](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      warp.lanes(to.address())[lane] = warp.lanes(from.address())[lane];
      warp.lanes(to.offset())[lane] = warp.lanes(from.offset())[lane];
      for (auto [index, group] : llvm::enumerate(groups)) {
        unsigned g = static_cast<unsigned>(index);
        if (collapse) {
          uint64_t size = 1;
          for (int64_t d : group)
            size *= warp.lanes(from.size(d))[lane];
          warp.lanes(to.size(g))[lane] = size;
          warp.lanes(to.stride(g))[lane] =
              warp.lanes(from.stride(group.back()))[lane];
          continue;
        }
        uint64_t stride = warp.lanes(from.stride(g))[lane];
        for (int64_t d : llvm::reverse(group)) {
          warp.lanes(to.size(d))[lane] = sizes[d].at(warp, lane);
          warp.lanes(to.stride(d))[lane] = stride;
          stride *= warp.lanes(to.size(d))[lane];
        }
      }
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateCollapse(Operation *operation,
                                           Translator &t) {
  auto op = cast<memref::CollapseShapeOp>(operation);
  return reshape(t, op.getSrc(), op.getResult(), op.getReassociationIndices(),
                 true, {});
}

static FailureOr<Action> translateExpand(Operation *operation, Translator &t) {
  auto op = cast<memref::ExpandShapeOp>(operation);
  return reshape(t, op.getSrc(), op.getResult(), op.getReassociationIndices(),
                 false,
                 getMixedValues(op.getStaticOutputShape(), op.getOutputShape(),
                                op.getContext()));
}

static FailureOr<Action> translateCast(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  if (registerCount(op->getResult(0).getType()) != in->count)
    return op->emitError() << "the interpreter does not know this cast";
  t.alias(op->getResult(0), *in);
  return Action();
}

//===----------------------------------------------------------------------===//
// Where memrefs come from, and what they are made of
//===----------------------------------------------------------------------===//

/// Presets a dense memref of static shape.
static FailureOr<Action> presetDense(Translator &t, Value value,
                                     uint64_t address) {
  FailureOr<Slot> out = t.slot(value);
  if (failed(out))
    return failure();
  auto type = cast<MemRefType>(value.getType());
  MemRefSlots slots(*out, type.getRank());
  t.preset(slots.address(), address);
  int64_t dense = 1;
  for (int d = type.getRank() - 1; d >= 0; --d) {
    t.preset(slots.size(d), type.getDimSize(d));
    t.preset(slots.stride(d), dense);
    dense *= type.getDimSize(d);
  }
  return Action();
}

static FailureOr<Action> translateGetGlobal(Operation *operation,
                                            Translator &t) {
  auto op = cast<memref::GetGlobalOp>(operation);
  FailureOr<Allocation *> allocation = t.global(op, op.getName());
  if (failed(allocation))
    return failure();
  return presetDense(t, op.getResult(), (*allocation)->address);
}

static FailureOr<Action> translateAlloca(Operation *operation, Translator &t) {
  auto op = cast<memref::AllocaOp>(operation);
  MemRefType type = op.getType();
  if (!type.hasStaticShape() || !type.getLayout().isIdentity())
    return op.emitError() << "the interpreter allocates static shapes only";
  std::optional<Space> space = spaceOf(type.getMemorySpace());
  Allocation &allocation = t.machine.memory.allocate(
      "alloca", space == Space::Shared ? Space::Shared : Space::Local,
      type.getNumElements() * storageBytes(type.getElementType()));
  return presetDense(t, op.getResult(), allocation.address);
}

static FailureOr<Action> translateDim(Operation *operation, Translator &t) {
  auto op = cast<memref::DimOp>(operation);
  auto type = dyn_cast<MemRefType>(op.getSource().getType());
  std::optional<int64_t> index = op.getConstantIndex();
  FailureOr<Slot> in = t.slot(op.getSource());
  if (failed(in))
    return failure();
  if (!type || !index || *index < 0 || *index >= type.getRank())
    return op.emitError() << "the interpreter knows constant dimensions only";
  t.alias(op.getResult(),
          {MemRefSlots(*in, type.getRank()).size(unsigned(*index)), 1});
  return Action();
}

static FailureOr<Action> translateMetadata(Operation *operation,
                                           Translator &t) {
  auto op = cast<memref::ExtractStridedMetadataOp>(operation);
  auto type = cast<MemRefType>(op.getSource().getType());
  FailureOr<Slot> in = t.slot(op.getSource()),
                  base = t.slot(op.getBaseBuffer());
  if (failed(in) || failed(base))
    return failure();
  MemRefSlots slots(*in, type.getRank());
  t.alias(op.getOffset(), {slots.offset(), 1});
  for (auto [d, size] : llvm::enumerate(op.getSizes()))
    t.alias(size, {slots.size(d), 1});
  for (auto [d, stride] : llvm::enumerate(op.getStrides()))
    t.alias(stride, {slots.stride(d), 1});
  // The buffer as a memref of rank 0.
  return Action([from = slots.address(), to = base->index](Warp &warp) {
    std::copy_n(warp.lanes(from), kLanes, warp.lanes(to));
    std::fill_n(warp.lanes(to + 1), kLanes, 0);
    return Outcome::Next;
  });
}

static FailureOr<Action> translatePointer(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  // As the lowering has it: the aligned pointer without the offset.
  t.alias(op->getResult(0), {in->index, 1});
  return Action();
}

static FailureOr<Action> translateNothing(Operation *op, Translator &t) {
  if (op->getNumResults() == 1)
    return translateCast(op, t);
  return Action();
}

void gpusim::addMemRefRules(Translator &t) {
  t.add("memref.load", translateAccess<true>);
  t.add("memref.store", translateAccess<false>);
  t.add("memref.atomic_rmw", translateAtomic);
  t.add("memref.view", translateView);
  t.add("memref.subview", translateSubView);
  t.add("memref.reinterpret_cast", translateReinterpretCast);
  t.add("memref.collapse_shape", translateCollapse);
  t.add("memref.expand_shape", translateExpand);
  t.addAll(translateCast, "memref.cast", "memref.memory_space_cast");
  t.add("memref.get_global", translateGetGlobal);
  t.add("memref.alloca", translateAlloca);
  t.add("memref.dim", translateDim);
  t.add("memref.extract_strided_metadata", translateMetadata);
  t.add("memref.extract_aligned_pointer_as_index", translatePointer);
  t.addAll(translateNothing, "memref.assume_alignment", "memref.prefetch");
}
