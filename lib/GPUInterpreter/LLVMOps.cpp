//===- LLVMOps.cpp - The few llvm operations beside nvvm ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

/// The registers of a member of a struct, at a position of one index.
static std::optional<Slot> member(Slot whole, Type type,
                                  ArrayRef<int64_t> position) {
  auto structType = dyn_cast<LLVM::LLVMStructType>(type);
  if (!structType || position.size() != 1)
    return std::nullopt;
  uint32_t index = whole.index;
  for (int64_t i = 0; i != position[0]; ++i)
    index += registerCount(structType.getBody()[i]);
  return Slot{index, registerCount(structType.getBody()[position[0]])};
}

static FailureOr<Action> translateExtractValue(Operation *operation,
                                               Translator &t) {
  auto op = cast<LLVM::ExtractValueOp>(operation);
  FailureOr<Slot> in = t.slot(op.getContainer());
  if (failed(in))
    return failure();
  std::optional<Slot> part =
      member(*in, op.getContainer().getType(), op.getPosition());
  if (!part)
    return op.emitError() << "the interpreter knows members of flat structs";
  t.alias(op.getResult(), *part);
  return Action();
}

static FailureOr<Action> translateInsertValue(Operation *operation,
                                              Translator &t) {
  auto op = cast<LLVM::InsertValueOp>(operation);
  FailureOr<Slot> in = t.slot(op.getContainer()), out = t.slot(op.getResult()),
                  value = t.slot(op.getValue());
  if (failed(in) || failed(out) || failed(value))
    return failure();
  std::optional<Slot> part =
      member(*out, op.getResult().getType(), op.getPosition());
  if (!part)
    return op.emitError() << "the interpreter knows members of flat structs";
  return Action([=, in = *in, out = *out, value = *value,
                 part = *part](Warp &warp) {
    for (uint32_t e = 0; e != out.count; ++e)
      std::copy_n(warp.lanes(in.index + e), kLanes, warp.lanes(out.index + e));
    for (uint32_t e = 0; e != part.count; ++e)
      std::copy_n(warp.lanes(value.index + e), kLanes,
                  warp.lanes(part.index + e));
    return Outcome::Next;
  });
}

static FailureOr<Action> translateGEP(Operation *operation, Translator &t) {
  auto op = cast<LLVM::GEPOp>(operation);
  FailureOr<Slot> base = t.slot(op.getBase()), out = t.slot(op.getRes());
  FailureOr<SmallVector<Slot>> dynamic = t.slots(op.getDynamicIndices());
  if (failed(base) || failed(out) || failed(dynamic))
    return failure();
  Type type = op.getElemType();
  unsigned bytes = registerCount(type) ? storageBytes(type) : 0;
  ArrayRef<int32_t> indices = op.getRawConstantIndices();
  if (bytes == 0 || indices.size() != 1)
    return op.emitError() << "the interpreter knows pointers plus one index of "
                             "scalars and vectors";
  unsigned bits =
      dynamic->empty() ? 64 : elementBits(op.getDynamicIndices()[0].getType());
  return Action([=, fixed = int64_t(indices[0]), base = *base, out = *out,
                 dynamic = *dynamic](Warp &warp) {
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      int64_t index = dynamic.empty()
                          ? fixed
                          : signExtend(warp.lanes(dynamic[0])[lane], bits);
      warp.lanes(out)[lane] =
          warp.lanes(base)[lane] + static_cast<uint64_t>(index * bytes);
    }
    return Outcome::Next;
  });
}

template <bool isLoad>
static FailureOr<Action> translateAccess(Operation *op, Translator &t) {
  Value value = isLoad ? op->getResult(0) : op->getOperand(0),
        pointer = op->getOperand(isLoad ? 0 : 1);
  FailureOr<Slot> slot = t.slot(value), from = t.slot(pointer);
  if (failed(slot) || failed(from))
    return failure();
  unsigned bits = elementBits(value.getType());
  if (bits % 8 || isa<LLVM::LLVMStructType>(value.getType()))
    return op->emitError() << "the interpreter has no memory for "
                           << value.getType();
  return Action([=, slot = *slot, from = *from](Warp &warp) {
    auto address = [&](unsigned lane) -> FailureOr<uint64_t> {
      return warp.lanes(from)[lane];
    };
    return isLoad ? loadLanes(warp, address, slot, bits / 8, bits)
                  : storeLanes(warp, address, slot, bits / 8, bits);
  });
}

static FailureOr<Action> translateAlias(Operation *op, Translator &t) {
  FailureOr<Slot> in = t.slot(op->getOperand(0));
  if (failed(in))
    return failure();
  t.alias(op->getResult(0), *in);
  return Action();
}

static FailureOr<Action> translateUndefined(Operation *op, Translator &t) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  for (uint32_t e = 0; e != out->count; ++e)
    t.preset(out->index + e, op->getName().getStringRef() == "llvm.mlir.zero"
                                 ? 0
                                 : 0xcdcdcdcdcdcdcdcd);
  return Action();
}

static FailureOr<Action> translateAddressOf(Operation *operation,
                                            Translator &t) {
  auto op = cast<LLVM::AddressOfOp>(operation);
  FailureOr<Slot> out = t.slot(op.getResult());
  FailureOr<Allocation *> allocation = t.global(op, op.getGlobalName());
  if (failed(out) || failed(allocation))
    return failure();
  t.preset(out->index, (*allocation)->address);
  return Action();
}

void gpusim::addLLVMRules(Translator &t) {
  t.add("llvm.extractvalue", translateExtractValue);
  t.add("llvm.insertvalue", translateInsertValue);
  t.add("llvm.getelementptr", translateGEP);
  t.add("llvm.load", translateAccess<true>);
  t.add("llvm.store", translateAccess<false>);
  t.addAll(translateAlias, "llvm.inttoptr", "llvm.ptrtoint",
           "llvm.addrspacecast");
  t.addAll(translateUndefined, "llvm.mlir.undef", "llvm.mlir.poison",
           "llvm.mlir.zero", "ub.poison");
  t.add("llvm.mlir.addressof", translateAddressOf);
}
