//===- Translator.h - From operations to steps ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_GPUINTERPRETER_TRANSLATOR_H
#define CQ_LIB_GPUINTERPRETER_TRANSLATOR_H

#include "Machine.h"
#include "Numbers.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq::gpusim {

/// Turns the operations of a kernel into steps, once a launch.
class Translator {
public:
  explicit Translator(Machine &machine);

  /// Builds the step of one operation; reports at it when it cannot. A null
  /// action: nothing to do.
  using Rule = std::function<FailureOr<Action>(Operation *, Translator &)>;
  void add(StringRef name, Rule rule) { rules[name] = std::move(rule); }
  template <typename... Names> void addAll(const Rule &rule, Names... names) {
    (add(names, rule), ...);
  }

  /// Registers of a value; asks for them on first use. Failure: its type has
  /// no registers (reported).
  FailureOr<Slot> slot(Value value);
  FailureOr<SmallVector<Slot>> slots(ValueRange values);
  /// Lets `value`, not seen before, be the registers of another one.
  void alias(Value value, Slot slot) { values[value] = slot; }
  FailureOr<const Code *> translate(Block &block);
  /// Sets all lanes of one register before the kernel starts.
  void preset(uint32_t index, uint64_t bits) {
    machine.presets.push_back({index, bits});
  }
  /// The allocation of a memref.global or llvm.mlir.global.
  FailureOr<Allocation *> global(Operation *user, StringRef name);
  Allocation &dynamicShared();
  /// Registers that belong to no value; gives the first.
  uint32_t reserve(uint32_t count) {
    uint32_t first = machine.slots;
    machine.slots += count;
    return first;
  }

  Machine &machine;

private:
  llvm::StringMap<Rule> rules;
  llvm::DenseMap<Value, Slot> values;
  llvm::StringMap<Allocation *> globals;
  llvm::DenseMap<Block *, Code *> blocks;
  Allocation *dynamic = nullptr;
};

/// The number of registers of a type, 0 when it has none.
uint32_t registerCount(Type type);
/// Bits of an element of a scalar or vector type; index is 64, pointers too.
unsigned elementBits(Type type);
std::optional<FloatKind> floatKind(Type type);
/// Bytes of one element in memory; 0 when it has no whole bytes (i4 …).
unsigned storageBytes(Type elementType);
std::optional<Space> spaceOf(Attribute memorySpace);

/// Where the registers of a memref are.
struct MemRefSlots {
  Slot slot;
  unsigned rank;
  MemRefSlots(Slot slot, unsigned rank) : slot(slot), rank(rank) {}
  uint32_t address() const { return slot.index; }
  uint32_t offset() const { return slot.index + 1; }
  uint32_t size(unsigned dim) const { return slot.index + 2 + dim; }
  uint32_t stride(unsigned dim) const { return slot.index + 2 + rank + dim; }
};

/// An operand that is an element of a memref: checks indices, gives addresses.
class ElementAddress {
public:
  static FailureOr<ElementAddress> get(Translator &translator, Value memref,
                                       ValueRange indices);
  /// Address of the element in `lane`; `run` consecutive elements of the last
  /// dimension must lie in the memref.
  FailureOr<uint64_t> at(Warp &warp, unsigned lane, int64_t run = 1) const;
  unsigned bytes; ///< of an element
  Space space;

private:
  ElementAddress(MemRefSlots memref, SmallVector<Slot> indices)
      : memref(memref), indices(std::move(indices)) {}
  MemRefSlots memref;
  SmallVector<Slot> indices;
};

/// Moves `count` elements of `bits` each between registers and bytes.
void packLane(Warp &warp, unsigned lane, uint32_t slot, unsigned count,
              unsigned bits, MutableArrayRef<uint8_t> bytes);
void unpackLane(Warp &warp, unsigned lane, uint32_t slot, unsigned count,
                unsigned bits, ArrayRef<uint8_t> bytes);
/// One aligned access per active lane at addresses given by `address`.
Outcome loadLanes(Warp &warp,
                  llvm::function_ref<FailureOr<uint64_t>(unsigned)> address,
                  Slot result, unsigned elementBytes, unsigned elementBits);
Outcome storeLanes(Warp &warp,
                   llvm::function_ref<FailureOr<uint64_t>(unsigned)> address,
                   Slot value, unsigned elementBytes, unsigned elementBits);

/// The index of a thread in dimension `d` of its block.
int64_t threadIndex(const Warp &warp, unsigned lane, unsigned d);

/// Fragments of mma.sync, m16n8kK. `regBits` per register is 32; elements of
/// `bits` are packed `32 / bits` to one.
struct MmaShape {
  unsigned k;                                         ///< 4, 8, 16, 32
  FloatKind type;                                     ///< of A and B
  bool integer = false, isSigned = true, wide = true; ///< C in f32
};
/// One warp-wide D = C + A · B. Elements of the fragments, in the order of the
/// PTX manual: a[16 · k / 32], b[8 · k / 32], c[4], d[4].
Outcome warpMma(Warp &warp, const MmaShape &shape, ArrayRef<uint32_t> a,
                ArrayRef<uint32_t> b, ArrayRef<uint32_t> c,
                ArrayRef<uint32_t> d);
/// ldmatrix of `tiles` 8 × 8 matrices of 16-bit elements: register `out + i`
/// takes element i, two for each tile. `addresses` are those of the rows.
Outcome loadMatrix(Warp &warp, ArrayRef<uint64_t> addresses, unsigned tiles,
                   bool transpose, ArrayRef<uint32_t> out, unsigned outBits);

// cp.async, for the operations of nvgpu and nvvm.
LogicalResult issueCopy(Warp &warp, unsigned lane, uint64_t destination,
                        uint64_t source, uint64_t size, uint64_t sourceSize);
void commitGroup(Warp &warp);
void waitGroups(Warp &warp, uint64_t allowed);

void addArithRules(Translator &translator);
void addMathRules(Translator &translator);
void addVectorRules(Translator &translator);
void addMemRefRules(Translator &translator);
void addControlRules(Translator &translator);
void addGPURules(Translator &translator);
void addNVGPURules(Translator &translator);
void addMBarrierRules(Translator &translator);
void addNVVMRules(Translator &translator);
void addLLVMRules(Translator &translator);
void addCQNVRules(Translator &translator);
void addWgmmaRules(Translator &translator);

} // namespace mlir::cq::gpusim

#endif // CQ_LIB_GPUINTERPRETER_TRANSLATOR_H
