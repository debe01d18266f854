//===- Machine.cpp - The schedule of blocks and warps ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "Translator.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

Warp::Warp(Machine &machine, unsigned index, LaneMask exists)
    : machine(machine), index(index), exists(exists),
      registers(size_t(machine.slots) * kLanes),
      clock(machine.warpCount() + 1, 0) {
  clock[index] = 1;
  frames.push_back({machine.entry, 0, exists, nullptr});
  for (auto [slot, bits] : machine.presets)
    std::fill_n(lanes(slot), kLanes, bits);
}

InFlightDiagnostic Warp::error(int lane) const {
  InFlightDiagnostic diagnostic = current()->emitError();
  diagnostic << "warp " << index;
  if (lane >= 0)
    diagnostic << ", lane " << lane;
  diagnostic << " of block (" << machine.block[0] << ", " << machine.block[1]
             << ", " << machine.block[2] << "): ";
  return diagnostic;
}

FailureOr<uint64_t> Warp::uniform(Slot slot, StringRef what) {
  const uint64_t *values = lanes(slot);
  LaneMask active = mask();
  unsigned first = llvm::countr_zero(active);
  for (unsigned lane = first; lane != kLanes; ++lane)
    if (active >> lane & 1 && values[lane] != values[first])
      return error(lane) << what << " must be the same in all lanes";
  return values[first];
}

void Warp::join(const VectorClock &other) {
  for (size_t i = 0; i != clock.size(); ++i)
    clock[i] = std::max(clock[i], other[i]);
}

Machine::Machine(Operation *kernel, const GPULaunch &launch)
    : kernel(kernel), launch(launch),
      memory(static_cast<unsigned>(
          llvm::divideCeil(launch.block[0] * launch.block[1] * launch.block[2],
                           int64_t(kLanes)))),
      warpsPerBlock(static_cast<unsigned>(
          llvm::divideCeil(launch.block[0] * launch.block[1] * launch.block[2],
                           int64_t(kLanes)))),
      randomState(launch.seed) {}

uint64_t Machine::random() {
  // SplitMix64
  uint64_t z = (randomState += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Outcome Machine::blockBarrier(Warp &warp, uint64_t id, unsigned count,
                              bool arriveOnly, bool sameOperation) {
  BlockBarrier &barrier = barriers[id];
  if (warp.ticket == 0) {
    if (warp.mask() != warp.exists)
      return warp.fail(-1, "divergent barrier: only lanes of mask 0x" +
                               Twine::utohexstr(warp.mask()) +
                               " of the warp reach it");
    if (barrier.arrivedWarps == 0) {
      barrier.op = warp.current();
      barrier.clock.assign(warp.clock.size(), 0);
    } else if (sameOperation && barrier.op != warp.current()) {
      InFlightDiagnostic diagnostic = warp.error();
      diagnostic << "divergent barrier: other warps of the block wait at "
                    "another one";
      diagnostic.attachNote(barrier.op->getLoc()) << "they wait here";
      return Outcome::Failed;
    }
    for (size_t i = 0; i != barrier.clock.size(); ++i)
      barrier.clock[i] = std::max(barrier.clock[i], warp.clock[i]);
    warp.tick();
    warp.ticket = barrier.generation + 1;
    if (++barrier.arrivedWarps == count) {
      barrier.arrivedWarps = 0;
      ++barrier.generation;
      ++statistics.barriers;
      barrier.released = barrier.clock;
    }
    if (arriveOnly) {
      warp.ticket = 0;
      return Outcome::Next;
    }
  }
  if (barrier.generation < warp.ticket) {
    warp.ready = [&barrier, &warp] {
      return barrier.generation >= warp.ticket;
    };
    return Outcome::Wait;
  }
  warp.ticket = 0;
  warp.join(barrier.released);
  return Outcome::Next;
}

void Machine::completePhase(MBarrier &barrier) {
  if (barrier.pending != 0 || barrier.transactions != 0)
    return;
  barrier.pending = barrier.count;
  ++barrier.phase;
  barrier.completed = barrier.arriving;
  barrier.arriving.assign(barrier.arriving.size(), 0);
}

void Machine::landBulkCopy(size_t index) {
  BulkCopy copy = std::move(bulkCopies[index]);
  bulkCopies.erase(bulkCopies.begin() + index);
  MBarrier &barrier = mbarriers[copy.barrier];
  memory.land(*warps[copy.warp], copy.lane, copy.destination, copy.bytes,
              copy.op);
  // Whoever waits for the barrier sees what the copy has written.
  Warp &issuer = *warps[copy.warp];
  barrier.arriving[copy.warp] =
      std::max(barrier.arriving[copy.warp], issuer.clock[copy.warp]);
  issuer.tick();
  barrier.transactions -= static_cast<int64_t>(copy.bytes.size());
  completePhase(barrier);
}

LogicalResult Machine::finish(Warp &warp) {
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    const CopyQueue &queue = warp.copies[lane];
    const PendingCopy *left =
        queue.open.empty() ? nullptr : &queue.open.front();
    for (const std::vector<PendingCopy> &group : queue.groups)
      if (!left && !group.empty())
        left = &group.front();
    if (left)
      return left->op->emitError()
             << "warp " << warp.index << ", lane " << lane << " of block ("
             << block[0] << ", " << block[1] << ", " << block[2]
             << "): the kernel ends without having waited for this copy";
  }
  const PendingProduct *product = nullptr;
  if (!warp.products.open.empty())
    product = &warp.products.open.front();
  for (const std::vector<PendingProduct> &group : warp.products.groups)
    if (!product && !group.empty())
      product = &group.front();
  if (product)
    return product->op->emitError()
           << "warp " << warp.index << " of block (" << block[0] << ", "
           << block[1] << ", " << block[2]
           << "): the kernel ends without having waited for this product";
  return success();
}

LogicalResult Machine::runWarp(Warp &warp, uint64_t quantum) {
  warp.ready = nullptr;
  while (quantum-- != 0 && !warp.finished()) {
    size_t depth = warp.frames.size() - 1;
    Frame &frame = warp.frames[depth];
    const Step &step = frame.code->steps[frame.pc];
    ++statistics.steps;
    switch (step.action(warp)) {
    case Outcome::Next:
      ++warp.frames[depth].pc;
      break;
    case Outcome::Jump:
      break;
    case Outcome::Wait:
      return success();
    case Outcome::Failed:
      return failure();
    }
  }
  if (statistics.steps > launch.maxSteps)
    return kernel->emitError()
           << "the launch has taken more than " << launch.maxSteps
           << " operations: it hangs, or raise the limit";
  return warp.finished() ? finish(warp) : success();
}

LogicalResult Machine::reportDeadlock() {
  for (const std::unique_ptr<Warp> &warp : warps)
    if (!warp->finished()) {
      InFlightDiagnostic diagnostic = warp->error();
      diagnostic << "waits for ever";
      for (const std::unique_ptr<Warp> &other : warps) {
        if (other == warp)
          continue;
        if (other->finished())
          diagnostic.attachNote(kernel->getLoc())
              << "warp " << other->index << " has ended";
        else if (other->current() != warp->current())
          diagnostic.attachNote(other->current()->getLoc())
              << "warp " << other->index << " waits here";
      }
      return diagnostic;
    }
  return failure();
}

LogicalResult Machine::compareWarpgroups() {
  for (const std::unique_ptr<Warp> &warp : warps)
    if (warp->products.history != warps[warp->index / 4 * 4]->products.history)
      return kernel->emitError()
             << "warp " << warp->index << " of block (" << block[0] << ", "
             << block[1] << ", " << block[2]
             << "): has not started the products that its warpgroup has";
  return success();
}

LogicalResult Machine::runBlock() {
  memory.resetShared();
  barriers.clear();
  mbarriers.clear();
  bulkCopies.clear();
  warps.clear();
  int64_t left = threads();
  for (unsigned w = 0; w != warpsPerBlock; ++w, left -= kLanes)
    warps.push_back(std::make_unique<Warp>(
        *this, w,
        left >= int64_t(kLanes) ? ~LaneMask(0) : (LaneMask(1) << left) - 1));
  SmallVector<Warp *> runnable;
  while (true) {
    runnable.clear();
    bool unfinished = false;
    for (const std::unique_ptr<Warp> &warp : warps) {
      unfinished |= !warp->finished();
      if (!warp->finished() && (!warp->ready || warp->ready()))
        runnable.push_back(warp.get());
    }
    if (!unfinished)
      break;
    // A bulk copy lands at any moment, at the latest when all wait for it.
    if (!bulkCopies.empty() && (runnable.empty() || random() % 4 == 0)) {
      landBulkCopy(random() % bulkCopies.size());
      continue;
    }
    if (runnable.empty())
      return reportDeadlock();
    // Mostly long runs, so that one warp gets far ahead of the others; some
    // short ones, which interleave single operations.
    uint64_t quantum = random() % 4 ? 1 + random() % 4096 : 1 + random() % 8;
    if (failed(runWarp(*runnable[random() % runnable.size()], quantum)))
      return failure();
  }
  if (!bulkCopies.empty())
    return bulkCopies.front().op->emitError()
           << "the block ends before this bulk copy has landed";
  return compareWarpgroups();
}

LogicalResult Machine::run() {
  int64_t blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(blocks));
  for (int64_t i = blocks - 1; i > 0; --i)
    std::swap(order[i], order[random() % (i + 1)]);
  for (int64_t linear : order) {
    blockIndex = static_cast<uint64_t>(linear);
    block = {linear % launch.grid[0], linear / launch.grid[0] % launch.grid[1],
             linear / launch.grid[0] / launch.grid[1]};
    if (failed(runBlock()))
      return failure();
  }
  return success();
}

static LogicalResult checkLaunch(Operation *kernel, const GPULaunch &launch) {
  int64_t threads = 1, blocks = 1;
  for (unsigned d = 0; d != 3; ++d) {
    if (launch.block[d] < 1 || launch.block[d] > 1024 || launch.grid[d] < 1 ||
        launch.grid[d] > (int64_t(1) << 31))
      return kernel->emitError() << "a launch needs grid sizes from 1 to 2^31 "
                                    "and block sizes from 1 to 1024";
    threads *= launch.block[d];
    if (__builtin_mul_overflow(blocks, launch.grid[d], &blocks))
      return kernel->emitError() << "the grid has too many blocks";
  }
  if (threads > 1024)
    return kernel->emitError()
           << "a block of " << threads << " threads; the limit is 1024";
  if (blocks * threads / 32 >= (int64_t(1) << 27) - 1)
    return kernel->emitError() << "the interpreter takes grids of at most "
                                  "2^27 warps, this one has more";
  // sm_90; sm_80 has 164 KB.
  if (launch.dynamicSharedBytes < 0 || launch.dynamicSharedBytes > 227 * 1024)
    return kernel->emitError() << "a block has at most 227 KiB of shared "
                                  "memory, the launch asks for "
                               << launch.dynamicSharedBytes << " bytes";
  return success();
}

LogicalResult mlir::cq::runGPUKernel(Operation *kernel, const GPULaunch &launch,
                                     GPULaunchStatistics *statistics) {
  if (!isa<gpu::GPUFuncOp>(kernel))
    return kernel->emitError() << "only a gpu.func can be launched";
  if (failed(checkLaunch(kernel, launch)))
    return failure();
  Machine machine(kernel, launch);
  if (failed(machine.prepare()) || failed(machine.run()))
    return failure();
  if (statistics) {
    *statistics = machine.statistics;
    statistics->sharedBytes =
        static_cast<int64_t>(machine.memory.sharedBytes());
  }
  return success();
}
