//===- NVVMOps.cpp - nvvm -------------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MBarrier.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

static FailureOr<Action> special(Operation *op, Translator &t,
                                 std::function<int64_t(Warp &, unsigned)> get) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  return Action([get, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      warp.lanes(out)[lane] =
          static_cast<uint64_t>(get(warp, lane)) & lowBits(32);
    return Outcome::Next;
  });
}

/// Registers of fragments given as several operands: scalars and vectors as
/// they are; `packed` integers are unpacked into registers of their own, whose
/// copies come first.
static FailureOr<SmallVector<uint32_t>>
fragment(Translator &t, ValueRange operands, unsigned bits,
         SmallVectorImpl<std::pair<uint32_t, uint32_t>> &unpack,
         uint32_t &scratch) {
  SmallVector<uint32_t> result;
  for (Value value : operands) {
    FailureOr<Slot> slot = t.slot(value);
    if (failed(slot))
      return failure();
    if (elementBits(value.getType()) <= bits) {
      for (uint32_t e = 0; e != slot->count; ++e)
        result.push_back(slot->index + e);
      continue;
    }
    unpack.push_back({slot->index, scratch});
    for (unsigned e = 0; e != 32 / bits; ++e)
      result.push_back(scratch++);
  }
  return result;
}

static FailureOr<Action> translateMma(Operation *operation, Translator &t) {
  auto op = cast<NVVM::MmaOp>(operation);
  using T = NVVM::MMATypes;
  T type = op.getMultiplicandAPtxType().value_or(T::f16);
  NVVM::MMAShapeAttr sizes = op.getShape();
  MmaShape shape{static_cast<unsigned>(sizes.getK()), FloatKind::F16};
  if (type == T::bf16)
    shape.type = FloatKind::BF16;
  else if (type == T::s8 || type == T::u8)
    shape.integer = true, shape.isSigned = type == T::s8;
  else if (type != T::f16)
    return op.emitError() << "the interpreter knows products of f16, bf16 and "
                             "8-bit integers";
  if (sizes.getM() != 16 || sizes.getN() != 8 ||
      op.getMultiplicandBPtxType().value_or(type) != type)
    return op.emitError() << "the interpreter knows m16n8 products of two "
                             "operands of one type";
  unsigned bits = shape.integer ? 8 : 16;
  SmallVector<std::pair<uint32_t, uint32_t>> unpack;
  uint32_t scratch = t.reserve(16 * shape.k / 32 + 8 * shape.k / 32);
  FailureOr<SmallVector<uint32_t>> a = fragment(t, op.getOperandA(), bits,
                                                unpack, scratch),
                                   b = fragment(t, op.getOperandB(), bits,
                                                unpack, scratch),
                                   c = fragment(t, op.getOperandC(), 32, unpack,
                                                scratch);
  FailureOr<Slot> out = t.slot(op.getRes());
  if (failed(a) || failed(b) || failed(c) || failed(out))
    return failure();
  if (a->size() != shape.k / 2 || b->size() != shape.k / 4 || c->size() != 4 ||
      out->count != 4)
    return op.emitError() << "these are not the fragments of m16n8k" << shape.k;
  shape.wide =
      !isa<VectorType>(cast<LLVM::LLVMStructType>(op.getType()).getBody()[0]);
  SmallVector<uint32_t> d;
  for (uint32_t e = 0; e != 4; ++e)
    d.push_back(out->index + e);
  return Action([=, a = *a, b = *b, c = *c](Warp &warp) {
    for (auto [from, to] : unpack)
      for (unsigned e = 0; e != 32 / bits; ++e)
        for (unsigned lane = 0; lane != kLanes; ++lane)
          warp.lanes(to + e)[lane] =
              warp.lanes(from)[lane] >> (e * bits) & lowBits(bits);
    return warpMma(warp, shape, a, b, c, d);
  });
}

static FailureOr<Action> translateLdMatrix(Operation *operation,
                                           Translator &t) {
  auto op = cast<NVVM::LdMatrixOp>(operation);
  FailureOr<Slot> pointer = t.slot(op.getPtr()), out = t.slot(op.getRes());
  if (failed(pointer) || failed(out))
    return failure();
  if (op.getEltType() != NVVM::LdStMatrixEltType::B16 ||
      op.getShape().getM() != 8 || op.getShape().getN() != 8)
    return op.emitError() << "the interpreter knows ldmatrix of 8 × 8 16-bit "
                             "elements";
  SmallVector<uint32_t> registers;
  for (uint32_t e = 0; e != out->count; ++e)
    registers.push_back(out->index + e);
  bool transpose = op.getLayout() == NVVM::MMALayout::col;
  return Action([=, tiles = op.getNum(), pointer = *pointer](Warp &warp) {
    return loadMatrix(warp, ArrayRef(warp.lanes(pointer), kLanes), tiles,
                      transpose, registers, 32);
  });
}

static FailureOr<Action> translateCopy(Operation *operation, Translator &t) {
  auto op = cast<NVVM::CpAsyncOp>(operation);
  FailureOr<Slot> to = t.slot(op.getDst()), from = t.slot(op.getSrc());
  FailureOr<SmallVector<Slot>> count =
      t.slots(op.getCpSize() ? ValueRange(op.getCpSize()) : ValueRange());
  if (failed(to) || failed(from) || failed(count))
    return failure();
  return Action([size = op.getSize(), to = *to, from = *from,
                 count = *count](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (warp.active(lane) &&
          failed(issueCopy(warp, lane, warp.lanes(to)[lane],
                           warp.lanes(from)[lane], size,
                           count.empty() ? size : warp.lanes(count[0])[lane])))
        return Outcome::Failed;
    return Outcome::Next;
  });
}

static FailureOr<Action> translateBarrier(Operation *operation, Translator &t) {
  Value id, threads;
  bool arriveOnly = false;
  if (auto op = dyn_cast<NVVM::BarrierOp>(operation)) {
    if (op.getReductionOp())
      return op.emitError() << "the interpreter knows barriers without a "
                               "reduction";
    id = op.getBarrierId();
    threads = op.getNumberOfThreads();
  } else if (auto op = dyn_cast<NVVM::BarrierArriveOp>(operation)) {
    id = op.getBarrierId();
    threads = op.getNumberOfThreads();
    arriveOnly = true;
  }
  FailureOr<SmallVector<Slot>> idSlot =
                                   t.slots(id ? ValueRange(id) : ValueRange()),
                               threadSlot =
                                   t.slots(threads ? ValueRange(threads)
                                                   : ValueRange());
  if (failed(idSlot) || failed(threadSlot))
    return failure();
  return Action([=, idSlot = *idSlot, threadSlot = *threadSlot](Warp &warp) {
    uint64_t number = 0;
    unsigned warps = warp.machine.warpCount();
    if (!idSlot.empty()) {
      FailureOr<uint64_t> value =
          warp.uniform(idSlot[0], "the number of a barrier");
      if (failed(value))
        return Outcome::Failed;
      if ((number = *value) >= 16)
        return warp.fail(-1,
                         "a block has barriers 0 to 15, not " + Twine(number));
    }
    if (!threadSlot.empty()) {
      FailureOr<uint64_t> value =
          warp.uniform(threadSlot[0], "the threads of a barrier");
      if (failed(value))
        return Outcome::Failed;
      if (*value == 0 || *value % kLanes || *value > warps * kLanes)
        return warp.fail(-1, "a barrier of this block takes a multiple of 32 "
                             "up to " +
                                 Twine(warps * kLanes) + " threads, not " +
                                 Twine(*value));
      warps = static_cast<unsigned>(*value / kLanes);
    }
    return warp.machine.blockBarrier(warp, number, warps, arriveOnly,
                                     threadSlot.empty());
  });
}

static FailureOr<Action> translateSyncWarp(Operation *operation,
                                           Translator &t) {
  FailureOr<Slot> members = t.slot(cast<NVVM::SyncWarpOp>(operation).getMask());
  if (failed(members))
    return failure();
  return Action([members = *members](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (warp.active(lane) &&
          (warp.lanes(members)[lane] & warp.exists) != warp.mask())
        return warp.fail(lane, "bar.warp.sync for lanes 0x" +
                                   Twine::utohexstr(warp.lanes(members)[lane]) +
                                   " where lanes 0x" +
                                   Twine::utohexstr(warp.mask()) +
                                   " are active");
    warp.tick();
    return Outcome::Next;
  });
}

static FailureOr<Action> translateShuffle(Operation *operation, Translator &t) {
  auto op = cast<NVVM::ShflOp>(operation);
  FailureOr<Slot> members = t.slot(op.getThreadMask()),
                  value = t.slot(op.getVal()), offset = t.slot(op.getOffset()),
                  clamp = t.slot(op.getMaskAndClamp()),
                  out = t.slot(op.getRes());
  if (failed(members) || failed(value) || failed(offset) || failed(clamp) ||
      failed(out))
    return failure();
  return Action([=, kind = op.getKind(), members = *members, value = *value,
                 offset = *offset, clamp = *clamp, out = *out](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      uint64_t member = warp.lanes(members)[lane] & warp.exists;
      if (!(member >> lane & 1) || (member & ~uint64_t(warp.mask())))
        return warp.fail(lane,
                         "shuffles among lanes 0x" + Twine::utohexstr(member) +
                             " where lanes 0x" + Twine::utohexstr(warp.mask()) +
                             " are active");
      unsigned packed = static_cast<unsigned>(warp.lanes(clamp)[lane]),
               c = packed & 31, segment = packed >> 8 & 31,
               by = warp.lanes(offset)[lane] & 31;
      int top = int((lane & segment) | (c & ~segment)),
          bottom = int(lane & segment), source = int(lane);
      bool ok = true;
      switch (kind) {
      case NVVM::ShflKind::up:
        source = int(lane) - int(by);
        ok = source >= top;
        break;
      case NVVM::ShflKind::down:
        source = int(lane + by);
        ok = source <= top;
        break;
      case NVVM::ShflKind::bfly:
        source = int(lane ^ by);
        ok = source <= top;
        break;
      case NVVM::ShflKind::idx:
        source = bottom | int(by & ~segment);
        ok = source <= top;
        break;
      }
      if (!ok)
        source = int(lane);
      if (!(member >> source & 1))
        return warp.fail(lane, "shuffles from lane " + Twine(source) +
                                   ", which does not take part");
      warp.lanes(out)[lane] = warp.lanes(value)[source];
      if (out.count == 2)
        warp.lanes(out.index + 1)[lane] = ok;
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateMBarrierInit(Operation *operation,
                                               Translator &t) {
  auto op = cast<NVVM::MBarrierInitOp>(operation);
  FailureOr<Slot> address = t.slot(op.getAddr()), count = t.slot(op.getCount());
  FailureOr<SmallVector<Slot>> predicate =
      t.slots(op.getPredicate() ? ValueRange(op.getPredicate()) : ValueRange());
  if (failed(address) || failed(count) || failed(predicate))
    return failure();
  return Action([=, address = *address, count = *count,
                 predicate = *predicate](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (warp.active(lane) &&
          (predicate.empty() || (warp.lanes(predicate[0])[lane] & 1)) &&
          failed(initMBarrier(warp, lane, warp.lanes(address)[lane],
                              warp.lanes(count)[lane])))
        return Outcome::Failed;
    return Outcome::Next;
  });
}

static FailureOr<Action> translateMBarrierArrive(Operation *operation,
                                                 Translator &t) {
  FailureOr<Slot> address = t.slot(operation->getOperand(0));
  FailureOr<SmallVector<Slot>> results = t.slots(operation->getResults()),
                               predicate = SmallVector<Slot>(),
                               bytes = SmallVector<Slot>();
  if (auto op = dyn_cast<NVVM::MBarrierArriveExpectTxOp>(operation)) {
    bytes = t.slots(op.getTxcount());
    if (op.getPredicate())
      predicate = t.slots(op.getPredicate());
  } else if (operation->getNumOperands() != 1) {
    return operation->emitError() << "the interpreter knows single arrivals";
  }
  if (failed(address) || failed(results) || failed(predicate) || failed(bytes))
    return failure();
  return Action([=, address = *address, results = *results, bytes = *bytes,
                 predicate = *predicate](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane) ||
          !(predicate.empty() || (warp.lanes(predicate[0])[lane] & 1)))
        continue;
      FailureOr<uint64_t> phase =
          arrive(warp, lane, warp.lanes(address)[lane], 1,
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

static FailureOr<Action> translateMBarrierTryWait(Operation *operation,
                                                  Translator &t) {
  auto op = cast<NVVM::MBarrierTryWaitParityOp>(operation);
  FailureOr<Slot> address = t.slot(op.getAddr()),
                  parity = t.slot(op.getPhase());
  if (failed(address) || failed(parity))
    return failure();
  return Action([address = *address, parity = *parity](Warp &warp) {
    return waitParity(
        warp,
        [address](Warp &w, unsigned lane) { return w.lanes(address)[lane]; },
        [parity](Warp &w, unsigned lane) { return w.lanes(parity)[lane]; });
  });
}

/// cp.async.bulk from global to shared memory: one copy per active lane (the
/// kernel elects one), counted by an mbarrier.
static FailureOr<Action> translateBulkCopy(Operation *operation,
                                           Translator &t) {
  auto op = cast<NVVM::CpAsyncBulkGlobalToSharedClusterOp>(operation);
  FailureOr<Slot> to = t.slot(op.getDstMem()), from = t.slot(op.getSrcMem()),
                  barrier = t.slot(op.getMbar()), size = t.slot(op.getSize());
  if (failed(to) || failed(from) || failed(barrier) || failed(size))
    return failure();
  if (op.getMulticastMask())
    return op.emitError() << "the interpreter has clusters of one block";
  return Action([=, to = *to, from = *from, barrier = *barrier,
                 size = *size](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane)
      if (warp.active(lane) &&
          failed(startBulkCopy(
              warp, lane, warp.lanes(to)[lane], warp.lanes(from)[lane],
              warp.lanes(barrier)[lane], warp.lanes(size)[lane])))
        return Outcome::Failed;
    return Outcome::Next;
  });
}

static FailureOr<Action> translateBarrierFence(Operation *, Translator &) {
  return Action([](Warp &warp) {
    for (auto &[address, barrier] : warp.machine.mbarriers)
      if (barrier.warp == warp.index)
        barrier.fenced = true;
    return Outcome::Next;
  });
}

static FailureOr<Action> translateNothing(Operation *, Translator &) {
  return Action();
}

void gpusim::addNVVMRules(Translator &t) {
  for (unsigned d = 0; d != 3; ++d) {
    std::string dimension(1, "xyz"[d]);
    t.add("nvvm.read.ptx.sreg.tid." + dimension,
          [d](Operation *op, Translator &t) {
            return special(op, t, [d](Warp &warp, unsigned lane) {
              return threadIndex(warp, lane, d);
            });
          });
    t.add("nvvm.read.ptx.sreg.ctaid." + dimension,
          [d](Operation *op, Translator &t) {
            return special(op, t, [d](Warp &warp, unsigned) {
              return warp.machine.block[d];
            });
          });
    t.add("nvvm.read.ptx.sreg.ntid." + dimension,
          [d](Operation *op, Translator &t) {
            return special(op, t, [d](Warp &warp, unsigned) {
              return warp.machine.launch.block[d];
            });
          });
    t.add("nvvm.read.ptx.sreg.nctaid." + dimension,
          [d](Operation *op, Translator &t) {
            return special(op, t, [d](Warp &warp, unsigned) {
              return warp.machine.launch.grid[d];
            });
          });
  }
  t.add("nvvm.read.ptx.sreg.laneid", [](Operation *op, Translator &t) {
    return special(op, t, [](Warp &, unsigned lane) { return lane; });
  });
  t.add("nvvm.read.ptx.sreg.warpid", [](Operation *op, Translator &t) {
    return special(op, t, [](Warp &warp, unsigned) { return warp.index; });
  });
  t.add("nvvm.mma.sync", translateMma);
  t.add("nvvm.ldmatrix", translateLdMatrix);
  t.add("nvvm.cp.async.shared.global", translateCopy);
  t.add("nvvm.cp.async.commit.group",
        [](Operation *, Translator &) -> FailureOr<Action> {
          return Action([](Warp &warp) {
            commitGroup(warp);
            return Outcome::Next;
          });
        });
  t.add("nvvm.cp.async.wait.group",
        [](Operation *op, Translator &) -> FailureOr<Action> {
          return Action(
              [n = cast<NVVM::CpAsyncWaitGroupOp>(op).getN()](Warp &warp) {
                waitGroups(warp, n);
                return Outcome::Next;
              });
        });
  t.add("nvvm.cp.async.bulk.shared.cluster.global", translateBulkCopy);
  t.addAll(translateBarrier, "nvvm.barrier0", "nvvm.barrier",
           "nvvm.barrier.arrive");
  t.add("nvvm.bar.warp.sync", translateSyncWarp);
  t.add("nvvm.shfl.sync", translateShuffle);
  t.add("nvvm.mbarrier.init", translateMBarrierInit);
  t.addAll(translateMBarrierArrive, "nvvm.mbarrier.arrive",
           "nvvm.mbarrier.arrive.expect_tx");
  t.add("nvvm.mbarrier.try_wait.parity", translateMBarrierTryWait);
  // Order within a thread is program order here, and clocks know the rest.
  t.add("nvvm.fence.mbarrier.init", translateBarrierFence);
  t.addAll(translateNothing, "nvvm.memory.barrier", "nvvm.fence.proxy",
           "nvvm.prefetch", "nvvm.setmaxregister", "nvvm.nanosleep");
}
