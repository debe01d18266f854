//===- Machine.h - Warps, blocks and their schedule -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_GPUINTERPRETER_MACHINE_H
#define CQ_LIB_GPUINTERPRETER_MACHINE_H

#include "Memory.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "mlir/IR/Diagnostics.h"
#include <functional>
#include <map>

namespace mlir::cq::gpusim {

constexpr unsigned kLanes = 32;
using LaneMask = uint32_t;

/// Registers of one SSA value: element e of lane l is at (index + e) · 32 + l.
/// A scalar has one element, a vector its number, a memref address, offset,
/// sizes and strides, a struct those of its members.
struct Slot {
  uint32_t index = 0;
  uint32_t count = 0;
};

/// What a step did.
enum class Outcome : uint8_t {
  Next,  ///< go on with the next step
  Jump,  ///< it has set frames and program counter itself
  Wait,  ///< not yet: try again once Warp::ready says so
  Failed ///< an error has been reported
};
using Action = std::function<Outcome(Warp &)>;

struct Step {
  Operation *op;
  Action action;
};
struct Code {
  std::vector<Step> steps;
};

/// One activation of a block of code for some lanes of a warp.
struct Frame {
  const Code *code;
  size_t pc = 0;
  LaneMask mask;
  const void *owner = nullptr; ///< set by the control operation that pushed it
};

/// A copy that has been issued and not yet waited for.
struct PendingCopy {
  uint64_t destination;
  std::vector<uint8_t> bytes;
  Operation *op;
};

/// The asynchronous copies of one lane.
struct CopyQueue {
  std::vector<PendingCopy> open; ///< not in a group yet
  std::deque<std::vector<PendingCopy>> groups;
};

/// A product of a warpgroup (wgmma) that has been started and not waited for.
struct PendingProduct {
  SmallVector<uint32_t> slots;  ///< registers it will write
  std::vector<uint64_t> values; ///< and with what
  Operation *op;
  uint64_t start; ///< of B
  unsigned tokens;
};
struct ProductQueue {
  std::vector<PendingProduct> open; ///< not in a group yet
  std::deque<std::vector<PendingProduct>> groups;
  uint64_t history = 0; ///< hash of all that were started
};

using VectorClock = std::vector<uint32_t>;

class Machine;

class Warp {
public:
  Warp(Machine &machine, unsigned index, LaneMask exists);

  uint64_t *lanes(uint32_t slot) { return registers.data() + slot * kLanes; }
  uint64_t *lanes(Slot slot) { return lanes(slot.index); }
  LaneMask mask() const { return frames.back().mask; }
  bool active(unsigned lane) const { return mask() >> lane & 1; }
  bool finished() const { return frames.empty(); }
  Operation *current() const {
    const Frame &frame = frames.back();
    return frame.code->steps[frame.pc].op;
  }
  /// Starts an error at the current operation; says which lane of which block.
  InFlightDiagnostic error(int lane = -1) const;
  Outcome fail(int lane, const Twine &message) const {
    error(lane) << message;
    return Outcome::Failed;
  }
  /// The value of `slot`, which must be the same in all active lanes.
  FailureOr<uint64_t> uniform(Slot slot, StringRef what);
  void tick() { ++clock[index]; }
  void join(const VectorClock &other);

  Machine &machine;
  unsigned index;
  LaneMask exists;
  std::vector<uint64_t> registers;
  std::vector<Frame> frames;
  VectorClock clock;
  std::array<CopyQueue, kLanes> copies;
  ProductQueue products;
  /// While waiting: whether the step may be tried again.
  std::function<bool()> ready;
  uint64_t ticket = 0; ///< of the barrier it waits at, + 1
};

/// One hardware barrier of a block (bar.sync a).
struct BlockBarrier {
  uint64_t generation = 0;
  unsigned arrivedWarps = 0;
  Operation *op = nullptr; ///< where the first one waits
  VectorClock clock, released;
};

/// An mbarrier object; they live beside the shared memory they occupy.
struct MBarrier {
  uint64_t count = 0, pending = 0;
  int64_t transactions = 0;
  uint64_t phase = 0; ///< completed phases
  VectorClock arriving, completed;
  bool fenced = false; ///< bulk copies may count on it
  unsigned warp = 0;   ///< that initialised it
};

/// A bulk copy on its way to shared memory, counted by an mbarrier.
struct BulkCopy {
  uint64_t destination, barrier;
  std::vector<uint8_t> bytes;
  Operation *op;
  unsigned warp, lane;
};

/// A launch: program, memory, the warps of the current block.
class Machine {
public:
  Machine(Operation *kernel, const GPULaunch &launch);
  LogicalResult prepare();
  LogicalResult run();

  uint64_t random();
  unsigned warpCount() const { return warpsPerBlock; }
  uint32_t gridWarp(unsigned warp) const {
    return static_cast<uint32_t>(blockIndex * warpsPerBlock + warp);
  }
  int64_t threads() const {
    return launch.block[0] * launch.block[1] * launch.block[2];
  }
  /// Arrives at hardware barrier `id`, or passes it once all `count` warps did.
  Outcome blockBarrier(Warp &warp, uint64_t id, unsigned count, bool arriveOnly,
                       bool sameOperation);
  /// Ends the phase of `barrier` when everything expected has come.
  void completePhase(MBarrier &barrier);

  Operation *kernel;
  const GPULaunch &launch;
  Memory memory;
  GPULaunchStatistics statistics;
  std::array<int64_t, 3> block{};
  std::map<uint64_t, MBarrier> mbarriers;
  std::vector<BulkCopy> bulkCopies;

private:
  friend class Warp;
  LogicalResult bindArguments();
  LogicalResult runBlock();
  LogicalResult runWarp(Warp &warp, uint64_t quantum);
  LogicalResult finish(Warp &warp);
  LogicalResult compareWarpgroups();
  void landBulkCopy(size_t index);
  LogicalResult reportDeadlock();

  unsigned warpsPerBlock;
  uint64_t blockIndex = 0;
  uint64_t randomState;
  std::map<uint64_t, BlockBarrier> barriers;
  std::vector<std::unique_ptr<Warp>> warps;
  std::deque<Code> codes;
  const Code *entry = nullptr;
  uint32_t slots = 0;
  /// Registers set once: constants, arguments.
  std::vector<std::pair<uint32_t, uint64_t>> presets;
  friend class Translator;
};

} // namespace mlir::cq::gpusim

#endif // CQ_LIB_GPUINTERPRETER_MACHINE_H
