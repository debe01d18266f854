//===- Memory.cpp - Memory that knows who wrote it when -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include <cstring>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

static constexpr unsigned kOffsetBits = 36, kIdBits = 20;

static StringRef spaceName(Space space) {
  switch (space) {
  case Space::Global:
    return "global";
  case Space::Shared:
    return "shared";
  case Space::Local:
    return "local";
  }
  return "";
}

Allocation &Memory::allocate(std::string name, Space space, uint64_t size,
                             uint8_t *external) {
  uint64_t id = allocations.size() + 1;
  Allocation &result = allocations.emplace_back();
  result.name = std::move(name);
  result.space = space;
  result.size = size;
  result.address =
      uint64_t(space) << (kOffsetBits + kIdBits) | id << kOffsetBits;
  result.uninitialised = space == Space::Shared;
  result.data = external;
  if (!external) {
    // Each thread has its own copy of local memory.
    result.owned.resize(space == Space::Local ? size * warps * kLanes : size);
    result.data = result.owned.data();
  }
  return result;
}

void Memory::resetShared() {
  for (Allocation &allocation : allocations) {
    if (allocation.space != Space::Shared)
      continue;
    // Whatever was there: numbers that nobody would take for right ones.
    std::memset(allocation.data, 0xcd, allocation.size);
    allocation.writes.assign(allocation.size, {});
    allocation.reads.assign(allocation.size * warps, {});
  }
}

uint64_t Memory::sharedBytes() const {
  uint64_t result = 0;
  for (const Allocation &allocation : allocations)
    if (allocation.space == Space::Shared)
      result += allocation.size;
  return result;
}

void Memory::track(Allocation &allocation) {
  if (allocation.writes.empty()) {
    allocation.writes.resize(allocation.size);
    allocation.reads.resize(allocation.size);
  }
}

uint32_t Memory::stepIndex(Operation *op) {
  auto [it, inserted] =
      stepOf.try_emplace(op, static_cast<uint32_t>(steps.size()));
  if (inserted)
    steps.push_back(op);
  return it->second;
}

Allocation *Memory::find(Warp &warp, unsigned lane, uint64_t address,
                         uint64_t size, StringRef verb) {
  uint64_t id = address >> kOffsetBits & ((uint64_t(1) << kIdBits) - 1);
  uint64_t offset = address & ((uint64_t(1) << kOffsetBits) - 1);
  if (id == 0 || id > allocations.size() ||
      (allocations[id - 1].address ^ address) >> kOffsetBits) {
    warp.error(lane) << verb << " " << size
                     << " bytes at an address outside of every allocation";
    return nullptr;
  }
  Allocation &allocation = allocations[id - 1];
  // Half of the range of offsets stands for addresses before the start.
  int64_t shown = offset >> (kOffsetBits - 1) ? static_cast<int64_t>(offset) -
                                                    (int64_t(1) << kOffsetBits)
                                              : static_cast<int64_t>(offset);
  if (offset > allocation.size || size > allocation.size - offset) {
    warp.error(lane) << "out of bounds: " << verb << " " << size
                     << " bytes at byte " << shown << " of "
                     << spaceName(allocation.space) << " memory '"
                     << allocation.name << "' of " << allocation.size
                     << " bytes";
    return nullptr;
  }
  return &allocation;
}

LogicalResult Memory::checkSpace(Warp &warp, unsigned lane, uint64_t address,
                                 Space space, StringRef what) {
  if (Space(address >> (kOffsetBits + kIdBits)) == space)
    return success();
  return warp.error(lane) << what << " is not in " << spaceName(space)
                          << " memory";
}

LogicalResult Memory::checkAligned(Warp &warp, unsigned lane, uint64_t address,
                                   uint64_t alignment) {
  if (address % alignment == 0)
    return success();
  return warp.error(lane) << "misaligned: byte "
                          << (address & ((uint64_t(1) << kOffsetBits) - 1))
                          << " of its buffer is not a multiple of " << alignment
                          << " bytes";
}

bool Memory::ordered(const Warp &warp, unsigned lane, uint32_t otherWarp,
                     uint32_t otherLane, uint32_t clock) const {
  uint32_t self = warp.machine.gridWarp(warp.index);
  // Blocks of one launch have no order.
  if (otherWarp / warps != self / warps)
    return false;
  if (otherWarp == self)
    return otherLane == lane || warp.clock[warp.index] > clock;
  return warp.clock[otherWarp % warps] >= clock;
}

LogicalResult Memory::race(Warp &warp, unsigned lane,
                           const Allocation &allocation, uint64_t offset,
                           StringRef verb, StringRef otherVerb,
                           uint32_t otherWarp, uint32_t otherLane,
                           uint32_t step) {
  InFlightDiagnostic diagnostic = warp.error(lane);
  diagnostic << "race: " << verb << " byte " << offset << " of "
             << spaceName(allocation.space) << " memory '" << allocation.name
             << "', which ";
  if (otherWarp / warps != warp.machine.gridWarp(warp.index) / warps)
    diagnostic << "block " << otherWarp / warps << ", ";
  diagnostic << "warp " << otherWarp % warps;
  if (otherLane < kLanes)
    diagnostic << ", lane " << otherLane;
  diagnostic << " " << otherVerb << " without synchronisation in between";
  diagnostic.attachNote(steps[step]->getLoc()) << "the other access is here";
  return diagnostic;
}

LogicalResult Memory::checkWrites(Warp &warp, unsigned lane,
                                  Allocation &allocation, uint64_t offset,
                                  uint64_t size, StringRef verb,
                                  AccessKind kind, const uint8_t *same) {
  bool reads = verb.starts_with("reads");
  for (uint64_t i = offset; i != offset + size; ++i) {
    const WriteRecord &record = allocation.writes[i];
    if (record.thread == 0) {
      if (reads && allocation.uninitialised)
        return warp.error(lane)
               << "reads byte " << i << " of " << spaceName(allocation.space)
               << " memory '" << allocation.name
               << "', which nothing has written";
      continue;
    }
    uint32_t otherWarp = (record.thread - 1) / kLanes,
             otherLane = (record.thread - 1) % kLanes;
    if (record.flags & WriteRecord::InFlight) {
      InFlightDiagnostic diagnostic = warp.error(lane);
      diagnostic << verb << " byte " << i << " of "
                 << spaceName(allocation.space) << " memory '"
                 << allocation.name
                 << "', the destination of an asynchronous copy that warp "
                 << otherWarp % warps << ", lane " << otherLane
                 << " has not waited for";
      diagnostic.attachNote(steps[record.step]->getLoc())
          << "the copy is issued here";
      return diagnostic;
    }
    if (ordered(warp, lane, otherWarp, otherLane, record.clock) ||
        (kind == AccessKind::Atomic && record.flags & WriteRecord::Atomic))
      continue;
    // Lanes of one store that agree about the value.
    if (same && otherWarp == warp.machine.gridWarp(warp.index) &&
        steps[record.step] == warp.current() &&
        same[i - offset] == allocation.data[i])
      continue;
    return race(warp, lane, allocation, i, verb, "wrote", otherWarp, otherLane,
                record.step);
  }
  return success();
}

LogicalResult Memory::checkReads(Warp &warp, unsigned lane,
                                 Allocation &allocation, uint64_t offset,
                                 uint64_t size) {
  uint32_t self = warp.machine.gridWarp(warp.index);
  for (uint64_t i = offset; i != offset + size; ++i) {
    if (allocation.space == Space::Shared) {
      for (unsigned w = 0; w != warps; ++w) {
        const ReadRecord &record = allocation.reads[i * warps + w];
        uint32_t other = self - self % warps + w;
        if (record.clock &&
            !ordered(warp, lane, other, record.lane, record.clock))
          return race(warp, lane, allocation, i, "writes", "read", other,
                      record.lane, record.step);
      }
      continue;
    }
    const ReadRecord &record = allocation.reads[i];
    if (record.warp &&
        !ordered(warp, lane, record.warp - 1, record.lane, record.clock))
      return race(warp, lane, allocation, i, "writes", "read", record.warp - 1,
                  record.lane, record.step);
  }
  return success();
}

LogicalResult Memory::load(Warp &warp, unsigned lane, uint64_t address,
                           MutableArrayRef<uint8_t> out, AccessKind kind) {
  Allocation *allocation = find(warp, lane, address, out.size(), "reads");
  if (!allocation)
    return failure();
  uint64_t offset = address - allocation->address;
  if (allocation->space == Space::Local) {
    offset += (warp.index * kLanes + lane) * allocation->size;
  } else if (!allocation->readOnly) {
    track(*allocation);
    if (failed(checkWrites(warp, lane, *allocation, offset, out.size(), "reads",
                           kind, nullptr)))
      return failure();
    uint32_t self = warp.machine.gridWarp(warp.index),
             clock = warp.clock[warp.index], step = stepIndex(warp.current());
    bool shared = allocation->space == Space::Shared;
    for (uint64_t i = offset; i != offset + out.size(); ++i) {
      ReadRecord &record =
          allocation->reads[shared ? i * warps + warp.index : i];
      bool again = record.clock == clock &&
                   (shared || record.warp == self + 1) && record.lane != lane;
      record = {self + 1, clock, step, again ? kLanes : lane};
    }
  }
  std::memcpy(out.data(), allocation->data + offset, out.size());
  return success();
}

LogicalResult Memory::store(Warp &warp, unsigned lane, uint64_t address,
                            ArrayRef<uint8_t> bytes, AccessKind kind) {
  Allocation *allocation = find(warp, lane, address, bytes.size(), "writes");
  if (!allocation)
    return failure();
  if (allocation->readOnly)
    return warp.error(lane) << "writes to '" << allocation->name
                            << "', which the launch passes as read-only";
  uint64_t offset = address - allocation->address;
  if (allocation->space == Space::Local) {
    offset += (warp.index * kLanes + lane) * allocation->size;
  } else {
    track(*allocation);
    if (failed(checkWrites(warp, lane, *allocation, offset, bytes.size(),
                           "writes", kind, bytes.data())) ||
        (kind == AccessKind::Plain &&
         failed(checkReads(warp, lane, *allocation, offset, bytes.size()))))
      return failure();
    WriteRecord record{warp.machine.gridWarp(warp.index) * kLanes + lane + 1,
                       warp.clock[warp.index], stepIndex(warp.current()),
                       kind == AccessKind::Atomic ? WriteRecord::Atomic : 0u};
    std::fill_n(allocation->writes.begin() + offset, bytes.size(), record);
  }
  std::memcpy(allocation->data + offset, bytes.data(), bytes.size());
  return success();
}

LogicalResult Memory::beginAsync(Warp &warp, unsigned lane, uint64_t address,
                                 uint64_t size) {
  Allocation *allocation = find(warp, lane, address, size, "writes");
  if (!allocation || failed(checkSpace(warp, lane, address, Space::Shared,
                                       "the destination of the copy")))
    return failure();
  uint64_t offset = address - allocation->address;
  if (failed(checkWrites(warp, lane, *allocation, offset, size, "writes",
                         AccessKind::Plain, nullptr)) ||
      failed(checkReads(warp, lane, *allocation, offset, size)))
    return failure();
  WriteRecord record{warp.machine.gridWarp(warp.index) * kLanes + lane + 1,
                     warp.clock[warp.index], stepIndex(warp.current()),
                     WriteRecord::InFlight};
  std::fill_n(allocation->writes.begin() + offset, size, record);
  std::memset(allocation->data + offset, 0xcd, size);
  return success();
}

void Memory::land(Warp &warp, unsigned lane, uint64_t address,
                  ArrayRef<uint8_t> bytes, Operation *op) {
  Allocation *allocation = find(warp, lane, address, bytes.size(), "writes");
  uint64_t offset = address - allocation->address;
  WriteRecord record{warp.machine.gridWarp(warp.index) * kLanes + lane + 1,
                     warp.clock[warp.index], stepIndex(op), 0};
  std::fill_n(allocation->writes.begin() + offset, bytes.size(), record);
  std::memcpy(allocation->data + offset, bytes.data(), bytes.size());
}
