//===- Translator.cpp - From operations to steps --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

uint32_t gpusim::registerCount(Type type) {
  if (type.isIntOrIndexOrFloat())
    return isa<IndexType>(type) || type.getIntOrFloatBitWidth() <= 64 ? 1 : 0;
  if (isa<LLVM::LLVMPointerType, nvgpu::DeviceAsyncTokenType,
          nvgpu::MBarrierGroupType, nvgpu::MBarrierTokenType>(type))
    return 1;
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.isScalable() || vector.getNumElements() > 1 << 16 ||
                   !registerCount(vector.getElementType())
               ? 0
               : static_cast<uint32_t>(vector.getNumElements());
  if (auto memref = dyn_cast<MemRefType>(type))
    return static_cast<uint32_t>(2 + 2 * memref.getRank());
  auto structType = dyn_cast<LLVM::LLVMStructType>(type);
  if (!structType || structType.isOpaque())
    return 0;
  uint32_t count = 0;
  for (Type member : structType.getBody()) {
    uint32_t members = registerCount(member);
    if (!members)
      return 0;
    count += members;
  }
  return count;
}

unsigned gpusim::elementBits(Type type) {
  if (auto vector = dyn_cast<VectorType>(type))
    type = vector.getElementType();
  return isa<IntegerType, FloatType>(type) ? type.getIntOrFloatBitWidth() : 64;
}

std::optional<FloatKind> gpusim::floatKind(Type type) {
  type = getElementTypeOrSelf(type);
  if (type.isF16())
    return FloatKind::F16;
  if (type.isBF16())
    return FloatKind::BF16;
  if (type.isF32())
    return FloatKind::F32;
  if (type.isF64())
    return FloatKind::F64;
  return std::nullopt;
}

unsigned gpusim::storageBytes(Type type) {
  if (auto vector = dyn_cast<VectorType>(type)) {
    uint64_t bits = elementBits(type) * uint64_t(vector.getNumElements());
    return bits % 8 ? 0 : static_cast<unsigned>(bits / 8);
  }
  if (type.isInteger(1))
    return 1;
  unsigned bits = elementBits(type);
  return bits % 8 ? 0 : bits / 8;
}

std::optional<Space> gpusim::spaceOf(Attribute memorySpace) {
  if (!memorySpace)
    return Space::Global;
  if (auto space = dyn_cast<gpu::AddressSpaceAttr>(memorySpace)) {
    switch (space.getValue()) {
    case gpu::AddressSpace::Global:
      return Space::Global;
    case gpu::AddressSpace::Workgroup:
      return Space::Shared;
    case gpu::AddressSpace::Private:
      return Space::Local;
    default:
      return std::nullopt;
    }
  }
  if (auto space = dyn_cast<IntegerAttr>(memorySpace)) {
    switch (space.getInt()) {
    case 0:
    case 1:
    case 4:
      return Space::Global;
    case 3:
      return Space::Shared;
    case 5:
      return Space::Local;
    }
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Translator
//===----------------------------------------------------------------------===//

Translator::Translator(Machine &machine) : machine(machine) {
  addArithRules(*this);
  addMathRules(*this);
  addVectorRules(*this);
  addMemRefRules(*this);
  addControlRules(*this);
  addGPURules(*this);
  addNVGPURules(*this);
  addMBarrierRules(*this);
  addNVVMRules(*this);
  addLLVMRules(*this);
  addCQNVRules(*this);
  addWgmmaRules(*this);
}

FailureOr<Slot> Translator::slot(Value value) {
  auto it = values.find(value);
  if (it != values.end())
    return it->second;
  uint32_t count = registerCount(value.getType());
  if (count == 0)
    return emitError(value.getLoc())
           << "the interpreter has no registers for " << value.getType();
  Slot slot{machine.slots, count};
  machine.slots += count;
  values[value] = slot;
  return slot;
}

FailureOr<SmallVector<Slot>> Translator::slots(ValueRange range) {
  SmallVector<Slot> result;
  for (Value value : range) {
    FailureOr<Slot> one = slot(value);
    if (failed(one))
      return failure();
    result.push_back(*one);
  }
  return result;
}

FailureOr<const Code *> Translator::translate(Block &block) {
  auto [it, inserted] = blocks.try_emplace(&block, nullptr);
  if (!inserted)
    return it->second;
  Code *code = &machine.codes.emplace_back();
  it->second = code;
  for (Operation &op : block) {
    auto rule = rules.find(op.getName().getStringRef());
    if (rule == rules.end())
      return op.emitError()
             << "the interpreter does not know '" << op.getName() << "'";
    FailureOr<Action> action = rule->second(&op, *this);
    if (failed(action))
      return failure();
    if (*action)
      code->steps.push_back({&op, std::move(*action)});
  }
  return code;
}

FailureOr<Allocation *> Translator::global(Operation *user, StringRef name) {
  auto it = globals.find(name);
  if (it != globals.end())
    return it->second;
  Operation *symbol = nullptr;
  for (Operation *scope = user->getParentOp(); scope && !symbol;
       scope = scope->getParentOp())
    if (scope->hasTrait<OpTrait::SymbolTable>())
      symbol = SymbolTable::lookupSymbolIn(scope, name);
  std::optional<Space> space;
  uint64_t bytes = 0;
  DenseElementsAttr initial;
  if (auto global = dyn_cast_or_null<memref::GlobalOp>(symbol)) {
    MemRefType type = global.getType();
    space = spaceOf(type.getMemorySpace());
    bytes = storageBytes(type.getElementType()) * type.getNumElements();
    if (global.getInitialValue())
      initial = dyn_cast<DenseElementsAttr>(*global.getInitialValue());
  } else if (auto global = dyn_cast_or_null<LLVM::GlobalOp>(symbol)) {
    Type type = global.getGlobalType();
    uint64_t count = 1;
    while (auto array = dyn_cast<LLVM::LLVMArrayType>(type)) {
      count *= array.getNumElements();
      type = array.getElementType();
    }
    space = global.getAddrSpace() == 3 ? Space::Shared : Space::Global;
    bytes = storageBytes(type) * count;
    initial = dyn_cast_or_null<DenseElementsAttr>(global.getValueOrNull());
  }
  if (!space || bytes == 0 || bytes > (uint64_t(1) << 32))
    return user->emitError()
           << "'" << name << "' is no global that the interpreter can allocate";
  Allocation &allocation = machine.memory.allocate(name.str(), *space, bytes);
  if (initial && *space == Space::Global) {
    unsigned size = storageBytes(initial.getElementType());
    uint8_t *out = allocation.data;
    auto put = [&](const APInt &value) {
      uint64_t bits = value.getZExtValue();
      std::memcpy(out, &bits, size);
      out += size;
    };
    if (isa<FloatType>(initial.getElementType()))
      for (const APFloat &value : initial.getValues<APFloat>())
        put(value.bitcastToAPInt());
    else
      for (const APInt &value : initial.getValues<APInt>())
        put(value);
    allocation.readOnly = true;
  }
  globals[name] = &allocation;
  return &allocation;
}

Allocation &Translator::dynamicShared() {
  if (!dynamic)
    dynamic = &machine.memory.allocate(
        "dynamic shared memory", Space::Shared,
        static_cast<uint64_t>(machine.launch.dynamicSharedBytes));
  return *dynamic;
}

//===----------------------------------------------------------------------===//
// The kernel's parameters
//===----------------------------------------------------------------------===//

/// Presets the registers of a memref over `allocation`; `dynamic` sizes in
/// order. Dynamic strides are those of a dense buffer.
static LogicalResult presetMemRef(Translator &translator, Slot slot,
                                  MemRefType type, uint64_t address,
                                  ArrayRef<int64_t> dynamic, Location loc) {
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return emitError(loc) << "only strided memrefs can be parameters";
  SmallVector<int64_t> sizes(type.getShape());
  size_t next = 0;
  for (int64_t &size : sizes)
    if (ShapedType::isDynamic(size)) {
      if (next == dynamic.size())
        return emitError(loc) << "the launch gives " << dynamic.size()
                              << " dynamic sizes, " << type << " has more";
      size = dynamic[next++];
    }
  MemRefSlots slots(slot, type.getRank());
  translator.preset(slots.address(), address);
  translator.preset(slots.offset(), ShapedType::isDynamic(offset) ? 0 : offset);
  int64_t dense = 1;
  for (int d = type.getRank() - 1; d >= 0; --d) {
    int64_t stride = ShapedType::isDynamic(strides[d]) ? dense : strides[d];
    translator.preset(slots.size(d), sizes[d]);
    translator.preset(slots.stride(d), stride);
    dense = stride * sizes[d];
  }
  return success();
}

LogicalResult Machine::prepare() {
  auto function = cast<gpu::GPUFuncOp>(kernel);
  Translator translator(*this);
  Block &body = function.getBody().front();
  unsigned parameters = function.getNumArguments();
  if (launch.arguments.size() != parameters)
    return kernel->emitError()
           << "'" << function.getName() << "' has " << parameters
           << " parameters, the launch passes " << launch.arguments.size();
  for (auto [index, value] : llvm::enumerate(body.getArguments())) {
    FailureOr<Slot> slot = translator.slot(value);
    if (failed(slot))
      return failure();
    auto memref = dyn_cast<MemRefType>(value.getType());
    if (index >= parameters) {
      // A workgroup or private attribution.
      bool shared = index - parameters < function.getNumWorkgroupAttributions();
      int64_t bytes = memref.getNumElements() *
                      int64_t(storageBytes(memref.getElementType()));
      Allocation &allocation = memory.allocate(
          ((shared ? "workgroup " : "private ") +
           Twine(shared ? index - parameters
                        : index - parameters -
                              function.getNumWorkgroupAttributions()))
              .str(),
          shared ? Space::Shared : Space::Local, bytes);
      if (failed(presetMemRef(translator, *slot, memref, allocation.address, {},
                              value.getLoc())))
        return failure();
      continue;
    }
    const GPUArgument &argument = launch.arguments[index];
    if (!memref && !isa<LLVM::LLVMPointerType>(value.getType())) {
      if (slot->count != 1)
        return kernel->emitError() << "parameter " << index << " of type "
                                   << value.getType() << " cannot be passed";
      translator.preset(slot->index, argument.scalar &
                                         lowBits(elementBits(value.getType())));
      continue;
    }
    Allocation &allocation =
        memory.allocate(("argument " + Twine(index)).str(), Space::Global,
                        argument.bytes.size(), argument.bytes.data());
    allocation.readOnly = argument.readOnly;
    allocation.uninitialised = argument.uninitialised;
    if (!memref)
      translator.preset(slot->index, allocation.address);
    else if (failed(presetMemRef(translator, *slot, memref, allocation.address,
                                 argument.dynamicSizes, value.getLoc())))
      return failure();
  }
  FailureOr<const Code *> code = translator.translate(body);
  if (failed(code))
    return failure();
  entry = *code;
  if (memory.sharedBytes() > 227 * 1024)
    return kernel->emitError()
           << "the kernel takes " << memory.sharedBytes()
           << " bytes of shared memory, a block has at most 227 KiB";
  return success();
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

FailureOr<ElementAddress>
ElementAddress::get(Translator &translator, Value memref, ValueRange indices) {
  auto type = cast<MemRefType>(memref.getType());
  FailureOr<Slot> base = translator.slot(memref);
  FailureOr<SmallVector<Slot>> slots = translator.slots(indices);
  if (failed(base) || failed(slots))
    return failure();
  ElementAddress result({*base, unsigned(type.getRank())}, std::move(*slots));
  result.bytes = storageBytes(type.getElementType());
  std::optional<Space> space = spaceOf(type.getMemorySpace());
  if (result.bytes == 0 || !space)
    return emitError(memref.getLoc())
           << "the interpreter has no memory for " << type;
  result.space = *space;
  return result;
}

FailureOr<uint64_t> ElementAddress::at(Warp &warp, unsigned lane,
                                       int64_t run) const {
  auto value = [&](uint32_t slot) {
    return static_cast<int64_t>(warp.lanes(slot)[lane]);
  };
  int64_t element = value(memref.offset());
  for (unsigned d = 0; d != memref.rank; ++d) {
    int64_t index = value(indices[d].index), size = value(memref.size(d));
    int64_t length = d + 1 == memref.rank ? run : 1;
    if (index < 0 || index > size - length) {
      InFlightDiagnostic diagnostic = warp.error(lane);
      diagnostic << "out of bounds: index " << index;
      if (length != 1)
        diagnostic << " to " << index + length - 1;
      return diagnostic << " of dimension " << d << ", which has size " << size;
    }
    element += index * value(memref.stride(d));
  }
  return warp.lanes(memref.address())[lane] +
         static_cast<uint64_t>(element) * bytes;
}

void gpusim::packLane(Warp &warp, unsigned lane, uint32_t slot, unsigned count,
                      unsigned bits, MutableArrayRef<uint8_t> bytes) {
  if (bits == 1 && count == 1) {
    bytes[0] = warp.lanes(slot)[lane] & 1;
    return;
  }
  if (bits % 8 == 0) {
    for (unsigned e = 0; e != count; ++e)
      std::memcpy(bytes.data() + e * (bits / 8), &warp.lanes(slot + e)[lane],
                  bits / 8);
    return;
  }
  std::memset(bytes.data(), 0, bytes.size());
  for (unsigned e = 0; e != count; ++e)
    for (unsigned b = 0; b != bits; ++b)
      if (warp.lanes(slot + e)[lane] >> b & 1)
        bytes[(e * bits + b) / 8] |= uint8_t(1) << ((e * bits + b) % 8);
}

void gpusim::unpackLane(Warp &warp, unsigned lane, uint32_t slot,
                        unsigned count, unsigned bits,
                        ArrayRef<uint8_t> bytes) {
  for (unsigned e = 0; e != count; ++e) {
    uint64_t value = 0;
    if (bits % 8 == 0)
      std::memcpy(&value, bytes.data() + e * (bits / 8), bits / 8);
    else
      for (unsigned b = 0; b != bits; ++b)
        value |= uint64_t(bytes[(e * bits + b) / 8] >> ((e * bits + b) % 8) & 1)
                 << b;
    warp.lanes(slot + e)[lane] = value;
  }
}

Outcome
gpusim::loadLanes(Warp &warp,
                  llvm::function_ref<FailureOr<uint64_t>(unsigned)> address,
                  Slot result, unsigned elementBytes, unsigned elementBits) {
  SmallVector<uint8_t, 64> bytes(elementBytes * result.count);
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    if (!warp.active(lane))
      continue;
    FailureOr<uint64_t> from = address(lane);
    if (failed(from) ||
        failed(warp.machine.memory.load(warp, lane, *from, bytes)))
      return Outcome::Failed;
    unpackLane(warp, lane, result.index, result.count, elementBits, bytes);
  }
  return Outcome::Next;
}

Outcome
gpusim::storeLanes(Warp &warp,
                   llvm::function_ref<FailureOr<uint64_t>(unsigned)> address,
                   Slot value, unsigned elementBytes, unsigned elementBits) {
  SmallVector<uint8_t, 64> bytes(elementBytes * value.count);
  for (unsigned lane = 0; lane != kLanes; ++lane) {
    if (!warp.active(lane))
      continue;
    packLane(warp, lane, value.index, value.count, elementBits, bytes);
    FailureOr<uint64_t> to = address(lane);
    if (failed(to) || failed(warp.machine.memory.store(warp, lane, *to, bytes)))
      return Outcome::Failed;
  }
  return Outcome::Next;
}
