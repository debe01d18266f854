//===- WgmmaOps.cpp - Products of a warpgroup -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A product is in flight from its start to the wait that has seen its group.
// Until then its sums are garbage and it reads B: it reads it once when it
// starts and again when it lands, so that whoever overwrites B in between races
// with one of the two. Each warp works for its own 16 rows; the four of a
// warpgroup must have started the same products when the block ends.
//
//===----------------------------------------------------------------------===//

#include "MBarrier.h"
#include "cq/Dialect/CQ/IR/CQNV.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

namespace {
/// Registers of a product.
struct ProductSlots {
  SmallVector<uint32_t> a, c, d; ///< 8, 4 · N / 8 (or none), 4 · N / 8
  FloatKind type;
  unsigned tokens() const { return static_cast<unsigned>(2 * d.size()); }
};
} // namespace

static SmallVector<uint32_t> registersOf(ArrayRef<Slot> slots) {
  SmallVector<uint32_t> result;
  for (Slot slot : slots)
    for (uint32_t e = 0; e != slot.count; ++e)
      result.push_back(slot.index + e);
  return result;
}

/// The product in flight that writes register `slot`, null if none does.
static PendingProduct *inFlight(Warp &warp, uint32_t slot) {
  auto find = [&](std::vector<PendingProduct> &group) -> PendingProduct * {
    for (PendingProduct &product : group)
      if (llvm::is_contained(product.slots, slot))
        return &product;
    return nullptr;
  };
  if (PendingProduct *product = find(warp.products.open))
    return product;
  for (std::vector<PendingProduct> &group : warp.products.groups)
    if (PendingProduct *product = find(group))
      return product;
  return nullptr;
}

/// The 16 elements of each token: two pieces of a row of 128 bytes.
static LogicalResult readB(Warp &warp, uint64_t start, unsigned tokens,
                           MutableArrayRef<uint8_t> bytes) {
  for (unsigned token = 0; token != tokens; ++token)
    for (unsigned piece = 0; piece != 2; ++piece) {
      uint64_t address = start + token * 128 + piece * 16;
      // The hardware swizzles addresses, whatever the tile.
      address ^= (address >> 7 & 7) << 4;
      if (failed(warp.machine.memory.load(
              warp, token % kLanes, address,
              bytes.slice((token * 2 + piece) * 16, 16))))
        return failure();
    }
  return success();
}

static Outcome startProduct(Warp &warp, const ProductSlots &slots,
                            uint64_t start) {
  Memory &memory = warp.machine.memory;
  if (warp.mask() != ~LaneMask(0) ||
      warp.index / 4 * 4 + 4 > warp.machine.warpCount())
    return warp.fail(-1, "all 128 threads of a warpgroup must take part in its "
                         "products");
  if (start % 32 || start % 1024 >= 128)
    return warp.fail(-1, "a tile of B starts at a multiple of 1024 bytes, a "
                         "step at a multiple of 32 in its first row");
  unsigned tokens = slots.tokens();
  std::vector<uint8_t> bytes(tokens * 32);
  if (failed(memory.checkSpace(warp, 0, start, Space::Shared, "B")) ||
      failed(readB(warp, start, tokens, bytes)))
    return Outcome::Failed;

  std::vector<double> left(16 * 16), right(tokens * 16);
  for (size_t i = 0; i != right.size(); ++i)
    right[i] =
        decodeFloat(bytes[2 * i] | uint64_t(bytes[2 * i + 1]) << 8, slots.type);
  for (unsigned lane = 0; lane != kLanes; ++lane)
    for (unsigned i = 0; i != 8; ++i)
      left[(lane / 4 + i / 2 % 2 * 8) * 16 + lane % 4 * 2 + i % 2 + i / 4 * 8] =
          decodeFloat(warp.lanes(slots.a[i])[lane], slots.type);

  PendingProduct *before =
      slots.c.empty() ? nullptr : inFlight(warp, slots.c.front());
  PendingProduct product{slots.d,
                         std::vector<uint64_t>(slots.d.size() * kLanes),
                         warp.current(), start, tokens};
  for (unsigned i = 0; i != slots.d.size(); ++i)
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      unsigned row = lane / 4 + i / 2 % 2 * 8,
               token = i / 4 * 8 + lane % 4 * 2 + i % 2;
      float sum = 0;
      if (!slots.c.empty())
        sum = static_cast<float>(
            decodeFloat(before ? before->values[i * kLanes + lane]
                               : warp.lanes(slots.c[i])[lane],
                        FloatKind::F32));
      for (unsigned k = 0; k != 16; ++k)
        sum += static_cast<float>(left[row * 16 + k] * right[token * 16 + k]);
      product.values[i * kLanes + lane] = encodeFloat(sum, FloatKind::F32);
    }
  for (uint32_t slot : slots.d)
    std::fill_n(warp.lanes(slot), kLanes, 0xffffffff);
  // What its warpgroup must have in common.
  warp.products.history =
      (warp.products.history ^ reinterpret_cast<uintptr_t>(warp.current()) ^
       start) *
      0x9e3779b97f4a7c15;
  warp.products.open.push_back(std::move(product));
  return Outcome::Next;
}

static FailureOr<Action> translateProduct(Operation *operation, Translator &t) {
  auto op = cast<nv::WgmmaOp>(operation);
  FailureOr<SmallVector<Slot>> a = t.slots({op.getA0(), op.getA1(), op.getA2(),
                                            op.getA3()}),
                               c = t.slots(op.getC()), d = t.slots(op.getD());
  FailureOr<ElementAddress> b =
      ElementAddress::get(t, op.getB(), ValueRange(op.getIndex()));
  if (failed(a) || failed(b) || failed(c) || failed(d))
    return failure();
  ProductSlots slots{registersOf(*a), registersOf(*c), registersOf(*d),
                     *floatKind(op.getB().getType().getElementType())};
  return Action([slots, b = *b](Warp &warp) {
    FailureOr<uint64_t> start = b.at(warp, 0, 16);
    for (unsigned lane = 1; lane != kLanes && succeeded(start); ++lane) {
      FailureOr<uint64_t> other = b.at(warp, lane, 16);
      if (failed(other) || *other != *start)
        return warp.fail(lane, "B must be the same in all lanes");
    }
    if (failed(start))
      return Outcome::Failed;
    return startProduct(warp, slots, *start);
  });
}

static FailureOr<Action> translateFence(Operation *op, Translator &t) {
  // Which registers it orders is for the verifier of the products.
  for (auto [value, fenced] : llvm::zip(op->getOperands(), op->getResults())) {
    FailureOr<Slot> slot = t.slot(value);
    if (failed(slot))
      return failure();
    t.alias(fenced, *slot);
  }
  return Action();
}

static FailureOr<Action> translateCommit(Operation *, Translator &) {
  return Action([](Warp &warp) {
    warp.products.groups.push_back(std::move(warp.products.open));
    warp.products.open.clear();
    return Outcome::Next;
  });
}

static FailureOr<Action> translateWait(Operation *operation, Translator &t) {
  auto op = cast<nv::WgmmaWaitOp>(operation);
  FailureOr<SmallVector<Slot>> in = t.slots(op.getSums()),
                               out = t.slots(op.getResults());
  if (failed(in) || failed(out))
    return failure();
  return Action([in = registersOf(*in), out = registersOf(*out),
                 pending = size_t(op.getPending())](Warp &warp) {
    std::deque<std::vector<PendingProduct>> &groups = warp.products.groups;
    while (groups.size() > pending) {
      for (PendingProduct &product : groups.front()) {
        std::vector<uint8_t> bytes(product.tokens * 32);
        if (failed(readB(warp, product.start, product.tokens, bytes)))
          return Outcome::Failed;
        for (size_t i = 0; i != product.slots.size(); ++i)
          std::copy_n(product.values.data() + i * kLanes, kLanes,
                      warp.lanes(product.slots[i]));
      }
      groups.pop_front();
    }
    for (uint32_t slot : in)
      if (PendingProduct *product = inFlight(warp, slot)) {
        InFlightDiagnostic diagnostic = warp.error();
        diagnostic << "takes the sums of a product that is still in flight "
                      "after this wait";
        diagnostic.attachNote(product->op->getLoc()) << "it is started here";
        return Outcome::Failed;
      }
    for (size_t i = 0; i != in.size(); ++i)
      std::copy_n(warp.lanes(in[i]), kLanes, warp.lanes(out[i]));
    return Outcome::Next;
  });
}

/// Bytes of global memory to shared memory, counted by an mbarrier.
static FailureOr<Action> translateBulkCopy(Operation *operation,
                                           Translator &t) {
  auto op = cast<nv::BulkCopyOp>(operation);
  FailureOr<ElementAddress> from = ElementAddress::get(
                                t, op.getSource(), ValueRange(op.getFrom())),
                            to = ElementAddress::get(t, op.getDestination(),
                                                     ValueRange(op.getTo()));
  FailureOr<Slot> bytes = t.slot(op.getBytes()),
                  group = t.slot(op.getBarriers()),
                  id = t.slot(op.getBarrier());
  if (failed(from) || failed(to) || failed(bytes) || failed(group) ||
      failed(id))
    return failure();
  return Action([from = *from, to = *to, bytes = *bytes, group = *group,
                 id = *id](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      uint64_t count = warp.lanes(bytes)[lane];
      FailureOr<uint64_t> source =
          from.at(warp, lane, static_cast<int64_t>(count / from.bytes));
      FailureOr<uint64_t> target =
          to.at(warp, lane, static_cast<int64_t>(count / to.bytes));
      if (failed(source) || failed(target) ||
          failed(startBulkCopy(
              warp, lane, *target, *source,
              warp.lanes(group)[lane] + 8 * warp.lanes(id)[lane], count)))
        return Outcome::Failed;
    }
    return Outcome::Next;
  });
}

void gpusim::addWgmmaRules(Translator &t) {
  t.add("cq.nv.wgmma", translateProduct);
  t.add("cq.nv.wgmma_fence", translateFence);
  t.add("cq.nv.wgmma_commit", translateCommit);
  t.add("cq.nv.wgmma_wait", translateWait);
  t.add("cq.nv.bulk_copy", translateBulkCopy);
}
