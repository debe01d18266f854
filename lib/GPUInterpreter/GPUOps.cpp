//===- GPUOps.cpp - gpu ---------------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

static unsigned dimensionOf(Operation *op) {
  return static_cast<unsigned>(
      op->getAttrOfType<gpu::DimensionAttr>("dimension").getValue());
}

/// An operation whose result is a function of warp and lane.
template <typename Function>
static FailureOr<Action> fromLane(Operation *op, Translator &t,
                                  Function function) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  return Action([function, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      warp.lanes(out)[lane] = static_cast<uint64_t>(function(warp, lane));
    return Outcome::Next;
  });
}

int64_t gpusim::threadIndex(const Warp &warp, unsigned lane, unsigned d) {
  const std::array<int64_t, 3> &size = warp.machine.launch.block;
  int64_t linear = int64_t(warp.index) * kLanes + lane;
  return d == 0   ? linear % size[0]
         : d == 1 ? linear / size[0] % size[1]
                  : linear / size[0] / size[1];
}

static FailureOr<Action> translateThreadId(Operation *op, Translator &t) {
  return fromLane(op, t, [d = dimensionOf(op)](Warp &warp, unsigned lane) {
    return threadIndex(warp, lane, d);
  });
}
static FailureOr<Action> translateBlockId(Operation *op, Translator &t) {
  return fromLane(op, t, [d = dimensionOf(op)](Warp &warp, unsigned) {
    return warp.machine.block[d];
  });
}
static FailureOr<Action> translateGlobalId(Operation *op, Translator &t) {
  return fromLane(op, t, [d = dimensionOf(op)](Warp &warp, unsigned lane) {
    return warp.machine.block[d] * warp.machine.launch.block[d] +
           threadIndex(warp, lane, d);
  });
}
static FailureOr<Action> translateLaneId(Operation *op, Translator &t) {
  return fromLane(op, t, [](Warp &, unsigned lane) { return lane; });
}
static FailureOr<Action> translateSubgroupId(Operation *op, Translator &t) {
  return fromLane(op, t, [](Warp &warp, unsigned) { return warp.index; });
}
/// A number the launch gives.
static FailureOr<Action> number(Operation *op, Translator &t, int64_t value) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  t.preset(out->index, static_cast<uint64_t>(value));
  return Action();
}

static FailureOr<Action> translateBarrier(Operation *, Translator &) {
  return Action([](Warp &warp) {
    return warp.machine.blockBarrier(warp, 0, warp.machine.warpCount(), false,
                                     true);
  });
}

static FailureOr<Action> translateShuffle(Operation *operation, Translator &t) {
  auto op = cast<gpu::ShuffleOp>(operation);
  FailureOr<Slot> value = t.slot(op.getValue()),
                  offset = t.slot(op.getOffset()),
                  width = t.slot(op.getWidth()),
                  out = t.slot(op.getShuffleResult()),
                  valid = t.slot(op.getValid());
  if (failed(value) || failed(offset) || failed(width) || failed(out) ||
      failed(valid))
    return failure();
  return Action([=, mode = op.getMode(), value = *value, offset = *offset,
                 width = *width, out = *out, valid = *valid](Warp &warp) {
    FailureOr<uint64_t> uniform = warp.uniform(width, "the width of a shuffle");
    if (failed(uniform))
      return Outcome::Failed;
    uint64_t size = *uniform;
    if (size == 0 || size > kLanes || !llvm::isPowerOf2_64(size))
      return warp.fail(-1, "the width of a shuffle must be a power of two up "
                           "to 32, not " +
                               Twine(size));
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      unsigned base = lane & ~unsigned(size - 1), top = base + size - 1;
      uint32_t by = static_cast<uint32_t>(warp.lanes(offset)[lane]);
      int64_t source = lane;
      bool ok = true;
      switch (mode) {
      case gpu::ShuffleMode::XOR:
        source = lane ^ (by & 31);
        ok = source <= top;
        break;
      case gpu::ShuffleMode::UP:
        source = int64_t(lane) - (by & 31);
        ok = source >= base;
        break;
      case gpu::ShuffleMode::DOWN:
        source = int64_t(lane) + (by & 31);
        ok = source <= top;
        break;
      case gpu::ShuffleMode::IDX:
        source = base | (by & (size - 1));
        break;
      }
      if (!ok)
        source = lane;
      if (!(warp.mask() >> source & 1))
        return warp.fail(lane, "shuffles from lane " + Twine(source) +
                                   ", which is not there");
      warp.lanes(valid)[lane] = ok;
      for (uint32_t e = 0; e != out.count; ++e)
        warp.lanes(out.index + e)[lane] = warp.lanes(value.index + e)[source];
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateDynamicShared(Operation *op, Translator &t) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  Allocation &allocation = t.dynamicShared();
  MemRefSlots slots(*out, 1);
  t.preset(slots.address(), allocation.address);
  t.preset(slots.offset(), 0);
  t.preset(slots.size(0), allocation.size);
  t.preset(slots.stride(0), 1);
  return Action();
}

void gpusim::addGPURules(Translator &t) {
  t.add("gpu.thread_id", translateThreadId);
  t.add("gpu.block_id", translateBlockId);
  t.add("gpu.global_id", translateGlobalId);
  t.add("gpu.lane_id", translateLaneId);
  t.add("gpu.subgroup_id", translateSubgroupId);
  t.add("gpu.block_dim", [](Operation *op, Translator &t) {
    return number(op, t, t.machine.launch.block[dimensionOf(op)]);
  });
  t.add("gpu.grid_dim", [](Operation *op, Translator &t) {
    return number(op, t, t.machine.launch.grid[dimensionOf(op)]);
  });
  t.add("gpu.subgroup_size",
        [](Operation *op, Translator &t) { return number(op, t, kLanes); });
  t.add("gpu.num_subgroups", [](Operation *op, Translator &t) {
    return number(op, t, t.machine.warpCount());
  });
  t.add("gpu.barrier", translateBarrier);
  t.add("gpu.shuffle", translateShuffle);
  t.add("gpu.dynamic_shared_memory", translateDynamicShared);
}
