//===- Memory.h - Memory that knows who wrote it when -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Every byte of shared memory and of writable global memory carries its last
// writer and its readers with the writer's clock. An access that is not ordered
// after a conflicting one by barriers (happens-before, by one vector clock per
// warp) is a race, whatever the schedule made of it. Inside a warp, lanes are
// ordered only by barriers and bar.warp.sync, as since Volta.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_GPUINTERPRETER_MEMORY_H
#define CQ_LIB_GPUINTERPRETER_MEMORY_H

#include "mlir/IR/Operation.h"
#include "llvm/Support/ErrorHandling.h"
#include <cstdlib>
#include <deque>
#include <vector>

namespace mlir::cq::gpusim {

class Warp;

enum class Space : uint8_t { Global = 1, Shared = 3, Local = 5 };

/// Who last wrote a byte. Zero everywhere: nobody.
struct WriteRecord {
  uint32_t thread = 0; ///< (warp of the grid · 32 + lane) + 1
  uint32_t clock = 0;
  uint32_t step = 0; ///< index into Memory's list of operations
  uint32_t flags = 0;
  enum : uint32_t { Atomic = 1, InFlight = 2 };
};

/// Who read a byte last. `lane` is 32 when several lanes did.
struct ReadRecord {
  uint32_t warp = 0; ///< of the grid, + 1; only used in global memory
  uint32_t clock = 0;
  uint32_t step = 0;
  uint32_t lane = 0;
};

/// Zeros that cost nothing until they are touched: a launch sees a few of the
/// bytes of large buffers.
template <typename T> struct ZeroPages {
  using value_type = T;
  ZeroPages() = default;
  template <typename U> ZeroPages(const ZeroPages<U> &) {}
  T *allocate(size_t count) {
    if (void *memory = std::calloc(count, sizeof(T)))
      return static_cast<T *>(memory);
    llvm::report_bad_alloc_error("out of memory");
  }
  void deallocate(T *memory, size_t) { std::free(memory); }
  /// What `resize` adds is zero already.
  void construct(T *) {}
  template <typename... Arguments>
  void construct(T *at, Arguments &&...arguments) {
    ::new (at) T(std::forward<Arguments>(arguments)...);
  }
  bool operator==(const ZeroPages &) const { return true; }
  bool operator!=(const ZeroPages &) const { return false; }
};

struct Allocation {
  std::string name;
  Space space = Space::Global;
  uint64_t address = 0;
  uint64_t size = 0; ///< bytes; of one thread in local memory
  uint8_t *data = nullptr;
  std::vector<uint8_t> owned;
  bool readOnly = false, uninitialised = false;
  std::vector<WriteRecord, ZeroPages<WriteRecord>> writes;
  /// Shared: [byte · warps + warp]. Global: [byte].
  std::vector<ReadRecord, ZeroPages<ReadRecord>> reads;
};

/// What an access does; says which conflicts count.
enum class AccessKind : uint8_t { Plain, Atomic };

/// The memories of one launch.
class Memory {
public:
  explicit Memory(unsigned warpsPerBlock) : warps(warpsPerBlock) {}

  /// Addresses are far apart, so that running out of one allocation never
  /// reaches another.
  Allocation &allocate(std::string name, Space space, uint64_t size,
                       uint8_t *external = nullptr);
  /// Forgets the content of shared memory: a new block starts.
  void resetShared();

  /// Copy bytes between `address` and the host. Failure: an error was reported
  /// at the warp's current operation.
  LogicalResult load(Warp &warp, unsigned lane, uint64_t address,
                     MutableArrayRef<uint8_t> out,
                     AccessKind kind = AccessKind::Plain);
  LogicalResult store(Warp &warp, unsigned lane, uint64_t address,
                      ArrayRef<uint8_t> bytes,
                      AccessKind kind = AccessKind::Plain);
  /// Marks the destination of an asynchronous copy: until `land` every access
  /// to it is an error.
  LogicalResult beginAsync(Warp &warp, unsigned lane, uint64_t address,
                           uint64_t size);
  void land(Warp &warp, unsigned lane, uint64_t address,
            ArrayRef<uint8_t> bytes, Operation *op);
  /// Checks range, space and alignment of an access; reports like load.
  Allocation *find(Warp &warp, unsigned lane, uint64_t address, uint64_t size,
                   StringRef verb);
  LogicalResult checkSpace(Warp &warp, unsigned lane, uint64_t address,
                           Space space, StringRef what);
  LogicalResult checkAligned(Warp &warp, unsigned lane, uint64_t address,
                             uint64_t alignment);

  uint64_t sharedBytes() const;

private:
  bool ordered(const Warp &warp, unsigned lane, uint32_t otherWarp,
               uint32_t otherLane, uint32_t clock) const;
  LogicalResult race(Warp &warp, unsigned lane, const Allocation &allocation,
                     uint64_t offset, StringRef verb, StringRef otherVerb,
                     uint32_t otherWarp, uint32_t otherLane, uint32_t step);
  LogicalResult checkWrites(Warp &warp, unsigned lane, Allocation &allocation,
                            uint64_t offset, uint64_t size, StringRef verb,
                            AccessKind kind, const uint8_t *same);
  LogicalResult checkReads(Warp &warp, unsigned lane, Allocation &allocation,
                           uint64_t offset, uint64_t size);
  void track(Allocation &allocation);
  uint32_t stepIndex(Operation *op);

  unsigned warps;
  std::deque<Allocation> allocations;
  std::vector<Operation *> steps;
  llvm::DenseMap<Operation *, uint32_t> stepOf;
};

} // namespace mlir::cq::gpusim

#endif // CQ_LIB_GPUINTERPRETER_MEMORY_H
