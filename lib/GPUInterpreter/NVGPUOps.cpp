//===- NVGPUOps.cpp - nvgpu and cq.nv -------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

static SmallVector<uint32_t> registersOf(Slot slot) {
  SmallVector<uint32_t> result;
  for (uint32_t e = 0; e != slot.count; ++e)
    result.push_back(slot.index + e);
  return result;
}

static FailureOr<Action> translateLdMatrix(Operation *operation,
                                           Translator &t) {
  auto op = cast<nvgpu::LdMatrixOp>(operation);
  FailureOr<Slot> out = t.slot(op.getRes());
  FailureOr<ElementAddress> element =
      ElementAddress::get(t, op.getSrcMemref(), op.getIndices());
  if (failed(out) || failed(element))
    return failure();
  unsigned bits = elementBits(op.getRes().getType()), tiles = op.getNumTiles();
  if ((bits != 16 && bits != 32) || (tiles != 1 && tiles != 2 && tiles != 4) ||
      out->count * bits != tiles * 32)
    return op.emitError() << "the interpreter knows ldmatrix of 1, 2 or 4 "
                             "tiles of 16-bit and 32-bit elements";
  return Action([=, transpose = op.getTranspose(), out = registersOf(*out),
                 element = *element](Warp &warp) {
    SmallVector<uint64_t, kLanes> addresses(kLanes, 0);
    for (unsigned lane = 0; lane != tiles * 8; ++lane) {
      FailureOr<uint64_t> address =
          element.at(warp, lane, 16 / std::max(1u, bits / 8));
      if (failed(address))
        return Outcome::Failed;
      addresses[lane] = *address;
    }
    return loadMatrix(warp, addresses, tiles, transpose, out, bits);
  });
}

/// nvgpu.mma.sync and cq.nv.mma: operands and result are whole fragments.
static FailureOr<Action> translateMma(Operation *op, Translator &t) {
  FailureOr<SmallVector<Slot>> in = t.slots(op->getOperands());
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(in) || failed(out))
    return failure();
  Type type = getElementTypeOrSelf(op->getOperand(0).getType()),
       sumType = getElementTypeOrSelf(op->getResult(0).getType());
  MmaShape shape{16, FloatKind::F16};
  if (auto mma = dyn_cast<nvgpu::MmaSyncOp>(op)) {
    std::array<int64_t, 3> sizes = mma.getMmaShapeAsArray();
    if (sizes[0] != 16 || sizes[1] != 8)
      return op->emitError() << "the interpreter knows m16n8 products";
    shape.k = static_cast<unsigned>(sizes[2]);
  }
  if (type.isInteger(8) && sumType.isInteger(32))
    shape.integer = true;
  else if (type.isF16() || type.isBF16())
    shape.type = *floatKind(type);
  else
    return op->emitError() << "the interpreter knows products of f16, bf16 and "
                              "i8";
  if (!shape.integer && !sumType.isF32() && !sumType.isF16())
    return op->emitError() << "the interpreter sums in f32 and f16";
  shape.wide = !sumType.isF16();
  // cq.nv.mma has an operand for each register of A and B.
  SmallVector<uint32_t> all;
  for (Slot slot : *in)
    all.append(registersOf(slot));
  size_t aSize = 16 * shape.k / 32, bSize = 8 * shape.k / 32;
  if (all.size() != aSize + bSize + 4 || out->count != 4)
    return op->emitError() << "these are not the fragments of m16n8k"
                           << shape.k;
  ArrayRef<uint32_t> whole(all);
  return Action([shape, a = SmallVector<uint32_t>(whole.take_front(aSize)),
                 b = SmallVector<uint32_t>(whole.slice(aSize, bSize)),
                 c = SmallVector<uint32_t>(whole.take_back(4)),
                 d = registersOf(*out)](Warp &warp) {
    return warpMma(warp, shape, a, b, c, d);
  });
}

static FailureOr<Action> translateCopy(Operation *operation, Translator &t) {
  auto op = cast<nvgpu::DeviceAsyncCopyOp>(operation);
  FailureOr<ElementAddress> to = ElementAddress::get(t, op.getDst(),
                                                     op.getDstIndices()),
                            from = ElementAddress::get(t, op.getSrc(),
                                                       op.getSrcIndices());
  FailureOr<SmallVector<Slot>> count = t.slots(
      op.getSrcElements() ? ValueRange(op.getSrcElements()) : ValueRange());
  if (failed(to) || failed(from) || failed(count) ||
      failed(t.slot(op.getAsyncToken())))
    return failure();
  uint64_t elements = op.getDstElements().getZExtValue(), bytes = from->bytes;
  return Action([=, to = *to, from = *from, count = *count](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      if (!warp.active(lane))
        continue;
      uint64_t read = count.empty() ? elements : warp.lanes(count[0])[lane];
      FailureOr<uint64_t> destination = to.at(warp, lane, elements);
      if (failed(destination))
        return Outcome::Failed;
      // With nothing to read, the source may be anywhere.
      FailureOr<uint64_t> source = uint64_t(0);
      if (read != 0)
        source = from.at(warp, lane, std::min(read, elements));
      if (failed(source) || failed(issueCopy(warp, lane, *destination, *source,
                                             elements * bytes, read * bytes)))
        return Outcome::Failed;
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateGroup(Operation *op, Translator &t) {
  // The copies of a group are those issued before it, whatever tokens it
  // names: so it is lowered. Tokens that say something else would mislead.
  if (failed(t.slots(op->getResults())))
    return failure();
  return Action([](Warp &warp) {
    commitGroup(warp);
    return Outcome::Next;
  });
}

static FailureOr<Action> translateWait(Operation *operation, Translator &) {
  uint64_t allowed =
      cast<nvgpu::DeviceAsyncWaitOp>(operation).getNumGroups().value_or(0);
  return Action([allowed](Warp &warp) {
    waitGroups(warp, allowed);
    return Outcome::Next;
  });
}

void gpusim::addNVGPURules(Translator &t) {
  t.add("nvgpu.ldmatrix", translateLdMatrix);
  t.add("nvgpu.mma.sync", translateMma);
  t.add("nvgpu.device_async_copy", translateCopy);
  t.add("nvgpu.device_async_create_group", translateGroup);
  t.add("nvgpu.device_async_wait", translateWait);
}

//===----------------------------------------------------------------------===//
// cq.nv
//===----------------------------------------------------------------------===//

/// Little-endian words from a byte offset of read-only global memory.
static FailureOr<Action> translateLoadWeights(Operation *op, Translator &t) {
  FailureOr<ElementAddress> element =
      ElementAddress::get(t, op->getOperand(0), op->getOperands().drop_front());
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(element) || failed(out))
    return failure();
  unsigned bits = elementBits(op->getResult(0).getType());
  unsigned bytes = out->count * bits / 8;
  if (element->bytes != 1 || bits % 8)
    return op->emitError() << "weights are loaded from a memref of i8";
  return Action([=, element = *element, out = *out](Warp &warp) {
    Memory &memory = warp.machine.memory;
    return loadLanes(
        warp,
        [&](unsigned lane) -> FailureOr<uint64_t> {
          FailureOr<uint64_t> address = element.at(warp, lane, bytes);
          if (failed(address) ||
              failed(memory.checkSpace(warp, lane, *address, Space::Global,
                                       "the plane")) ||
              failed(memory.checkAligned(warp, lane, *address, bytes)))
            return failure();
          return address;
        },
        out, bits / 8, bits);
  });
}

void gpusim::addCQNVRules(Translator &t) {
  t.add("cq.nv.load_weights", translateLoadWeights);
  t.add("cq.nv.mma", translateMma);
}
