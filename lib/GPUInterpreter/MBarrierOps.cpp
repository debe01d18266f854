//===- MBarrierOps.cpp - mbarrier objects ---------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// An mbarrier counts arrivals and bytes of bulk copies; a phase ends when both
// are in. Arriving releases what the lane's warp did before, waiting acquires.
//
//===----------------------------------------------------------------------===//

#include "MBarrier.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

LogicalResult gpusim::initMBarrier(Warp &warp, unsigned lane, uint64_t address,
                                   uint64_t count) {
  if (count == 0 || count >= 1 << 20)
    return warp.error(lane) << "an mbarrier expects 1 to 2^20 - 1 arrivals, "
                               "not "
                            << count;
  uint8_t zeros[8] = {};
  Memory &memory = warp.machine.memory;
  if (failed(memory.checkSpace(warp, lane, address, Space::Shared,
                               "the mbarrier")) ||
      failed(memory.checkAligned(warp, lane, address, 8)) ||
      failed(memory.store(warp, lane, address, zeros)))
    return failure();
  MBarrier &barrier = warp.machine.mbarriers[address];
  barrier = MBarrier();
  barrier.count = barrier.pending = count;
  barrier.arriving.assign(warp.clock.size(), 0);
  barrier.completed = barrier.arriving;
  barrier.warp = warp.index;
  return success();
}

MBarrier *gpusim::findMBarrier(Warp &warp, unsigned lane, uint64_t address) {
  auto it = warp.machine.mbarriers.find(address);
  if (it == warp.machine.mbarriers.end()) {
    warp.error(lane) << "uses an mbarrier that nothing has initialised";
    return nullptr;
  }
  // Reading its bytes checks that the initialisation is ordered before.
  uint8_t bytes[8];
  if (failed(warp.machine.memory.load(warp, lane, address, bytes)))
    return nullptr;
  return &it->second;
}

FailureOr<uint64_t> gpusim::arrive(Warp &warp, unsigned lane, uint64_t address,
                                   uint64_t count, int64_t transactions) {
  MBarrier *barrier = findMBarrier(warp, lane, address);
  if (!barrier)
    return failure();
  uint64_t phase = barrier->phase;
  if (count > barrier->pending)
    return warp.error(lane)
           << "arrives " << count << " times at an mbarrier "
           << "whose phase expects " << barrier->pending << " more";
  for (size_t i = 0; i != barrier->arriving.size(); ++i)
    barrier->arriving[i] = std::max(barrier->arriving[i], warp.clock[i]);
  barrier->pending -= count;
  barrier->transactions += transactions;
  warp.machine.completePhase(*barrier);
  return phase;
}

/// Whether every active lane's barrier has passed the phase of parity
/// `parity(lane)`: acquires if so.
FailureOr<bool>
gpusim::testParity(Warp &warp, llvm::function_ref<uint64_t(unsigned)> address,
                   llvm::function_ref<uint64_t(unsigned)> parity) {
  SmallVector<MBarrier *> done;
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    if (!warp.active(lane))
      continue;
    MBarrier *barrier = findMBarrier(warp, lane, address(lane));
    if (!barrier)
      return failure();
    if ((barrier->phase & 1) == (parity(lane) & 1))
      return false;
    done.push_back(barrier);
  }
  for (MBarrier *barrier : done)
    warp.join(barrier->completed);
  return true;
}

LogicalResult gpusim::startBulkCopy(Warp &warp, unsigned lane, uint64_t target,
                                    uint64_t source, uint64_t barrier,
                                    uint64_t bytes) {
  Memory &memory = warp.machine.memory;
  if (bytes % 16)
    return warp.error(lane)
           << "a bulk copy moves a multiple of 16 bytes, not " << bytes;
  MBarrier *counter = findMBarrier(warp, lane, barrier);
  if (!counter)
    return failure();
  if (!counter->fenced)
    return warp.error(lane) << "an mbarrier that counts bulk copies needs "
                               "nvvm.fence.mbarrier.init after its "
                               "initialisation";
  BulkCopy copy{target,         barrier,    std::vector<uint8_t>(bytes),
                warp.current(), warp.index, lane};
  if (failed(memory.checkAligned(warp, lane, target, 16)) ||
      failed(memory.checkAligned(warp, lane, source, 16)) ||
      failed(memory.checkSpace(warp, lane, source, Space::Global,
                               "the source of the copy")) ||
      failed(memory.beginAsync(warp, lane, target, bytes)) ||
      failed(memory.load(warp, lane, source, copy.bytes)))
    return failure();
  warp.machine.bulkCopies.push_back(std::move(copy));
  return success();
}

//===----------------------------------------------------------------------===//
// nvgpu
//===----------------------------------------------------------------------===//

static FailureOr<Action> translateCreate(Operation *operation, Translator &t) {
  auto op = cast<nvgpu::MBarrierCreateOp>(operation);
  FailureOr<Slot> out = t.slot(op.getBarriers());
  if (failed(out))
    return failure();
  Allocation &allocation = t.machine.memory.allocate(
      "mbarriers", Space::Shared,
      8 * op.getBarriers().getType().getNumBarriers());
  t.preset(out->index, allocation.address);
  return Action();
}

namespace {
/// Slots of the operands of an nvgpu.mbarrier operation; absent ones have none.
struct MBarrierOperands {
  Slot group, id;
  std::optional<Slot> predicate;
  uint64_t address(Warp &warp, unsigned lane) const {
    return warp.lanes(group)[lane] + 8 * warp.lanes(id)[lane];
  }
  bool acts(Warp &warp, unsigned lane) const {
    return warp.active(lane) &&
           (!predicate || (warp.lanes(*predicate)[lane] & 1));
  }
};
} // namespace

static FailureOr<MBarrierOperands> get(Translator &t, Value group, Value id,
                                       Value predicate = {}) {
  FailureOr<Slot> groupSlot = t.slot(group), idSlot = t.slot(id);
  if (failed(groupSlot) || failed(idSlot))
    return failure();
  MBarrierOperands result{*groupSlot, *idSlot, std::nullopt};
  if (predicate) {
    FailureOr<Slot> slot = t.slot(predicate);
    if (failed(slot))
      return failure();
    result.predicate = *slot;
  }
  return result;
}

static FailureOr<Action> translateInit(Operation *operation, Translator &t) {
  auto op = cast<nvgpu::MBarrierInitOp>(operation);
  FailureOr<MBarrierOperands> operands =
      get(t, op.getBarriers(), op.getMbarId(), op.getPredicate());
  FailureOr<Slot> count = t.slot(op.getCount());
  if (failed(operands) || failed(count))
    return failure();
  return Action([o = *operands, count = *count](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (o.acts(warp, lane) &&
          failed(initMBarrier(warp, lane, o.address(warp, lane),
                              warp.lanes(count)[lane])))
        return Outcome::Failed;
    return Outcome::Next;
  });
}

/// arrive, arrive.nocomplete and arrive.expect_tx.
static FailureOr<Action> translateArrive(Operation *operation, Translator &t) {
  FailureOr<MBarrierOperands> operands = failure();
  FailureOr<SmallVector<Slot>> results = t.slots(operation->getResults()),
                               count = SmallVector<Slot>(),
                               bytes = SmallVector<Slot>();
  if (auto op = dyn_cast<nvgpu::MBarrierArriveOp>(operation)) {
    operands = get(t, op.getBarriers(), op.getMbarId());
  } else if (auto op = dyn_cast<nvgpu::MBarrierArriveNoCompleteOp>(operation)) {
    operands = get(t, op.getBarriers(), op.getMbarId());
    count = t.slots(op.getCount());
  } else {
    auto expect = cast<nvgpu::MBarrierArriveExpectTxOp>(operation);
    operands =
        get(t, expect.getBarriers(), expect.getMbarId(), expect.getPredicate());
    bytes = t.slots(expect.getTxcount());
  }
  if (failed(operands) || failed(results) || failed(count) || failed(bytes))
    return failure();
  return Action([o = *operands, results = *results, count = *count,
                 bytes = *bytes](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!o.acts(warp, lane))
        continue;
      FailureOr<uint64_t> phase =
          arrive(warp, lane, o.address(warp, lane),
                 count.empty() ? 1 : warp.lanes(count[0])[lane],
                 bytes.empty() ? 0 : int64_t(warp.lanes(bytes[0])[lane]));
      if (failed(phase))
        return Outcome::Failed;
      if (!results.empty())
        warp.lanes(results[0])[lane] = *phase;
    }
    warp.tick();
    return Outcome::Next;
  });
}

static FailureOr<Action> translateTestWait(Operation *operation,
                                           Translator &t) {
  auto op = cast<nvgpu::MBarrierTestWaitOp>(operation);
  FailureOr<MBarrierOperands> operands =
      get(t, op.getBarriers(), op.getMbarId());
  FailureOr<Slot> token = t.slot(op.getToken()),
                  out = t.slot(op.getWaitComplete());
  if (failed(operands) || failed(token) || failed(out))
    return failure();
  return Action([o = *operands, token = *token, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      MBarrier *barrier = findMBarrier(warp, lane, o.address(warp, lane));
      if (!barrier)
        return Outcome::Failed;
      bool done = barrier->phase > warp.lanes(token)[lane];
      if (done)
        warp.join(barrier->completed);
      warp.lanes(out)[lane] = done;
    }
    return Outcome::Next;
  });
}

Outcome
gpusim::waitParity(Warp &warp,
                   const std::function<uint64_t(Warp &, unsigned)> &address,
                   const std::function<uint64_t(Warp &, unsigned)> &parity) {
  FailureOr<bool> done = testParity(
      warp, [&](unsigned lane) { return address(warp, lane); },
      [&](unsigned lane) { return parity(warp, lane); });
  if (failed(done))
    return Outcome::Failed;
  if (*done)
    return Outcome::Next;
  warp.ready = [&warp, address, parity] {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (warp.active(lane) &&
          (warp.machine.mbarriers[address(warp, lane)].phase & 1) ==
              (parity(warp, lane) & 1))
        return false;
    return true;
  };
  return Outcome::Wait;
}

static FailureOr<Action> translateTryWait(Operation *operation, Translator &t) {
  auto op = cast<nvgpu::MBarrierTryWaitParityOp>(operation);
  FailureOr<MBarrierOperands> operands =
      get(t, op.getBarriers(), op.getMbarId());
  FailureOr<Slot> parity = t.slot(op.getPhaseParity());
  if (failed(operands) || failed(parity))
    return failure();
  // The lowering repeats the instruction until the phase is over.
  return Action([o = *operands, parity = *parity](Warp &warp) {
    return waitParity(
        warp, [o](Warp &w, unsigned lane) { return o.address(w, lane); },
        [parity](Warp &w, unsigned lane) { return w.lanes(parity)[lane]; });
  });
}

static FailureOr<Action> translateGet(Operation *operation, Translator &t) {
  auto op = cast<nvgpu::MBarrierGetOp>(operation);
  FailureOr<MBarrierOperands> operands =
      get(t, op.getBarriers(), op.getMbarId());
  FailureOr<Slot> out = t.slot(op.getMbarrierPointer());
  if (failed(operands) || failed(out))
    return failure();
  if (!op.getMbarrierPointer().getType().isInteger(64))
    return op.emitError() << "addresses of the interpreter have 64 bits";
  return Action([o = *operands, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      warp.lanes(out)[lane] = o.address(warp, lane);
    return Outcome::Next;
  });
}

void gpusim::addMBarrierRules(Translator &t) {
  t.add("nvgpu.mbarrier.create", translateCreate);
  t.add("nvgpu.mbarrier.get", translateGet);
  t.add("nvgpu.mbarrier.init", translateInit);
  t.addAll(translateArrive, "nvgpu.mbarrier.arrive",
           "nvgpu.mbarrier.arrive.nocomplete",
           "nvgpu.mbarrier.arrive.expect_tx");
  t.add("nvgpu.mbarrier.test.wait", translateTestWait);
  t.add("nvgpu.mbarrier.try_wait.parity", translateTryWait);
}
