//===- BuildDeviceProgram.cpp - From launches in MLIR to a program --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BuildDeviceProgram.h"
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/DenseMap.h"
#include <map>

using namespace mlir;
using namespace mlir::cq;

namespace {

llvm::Error fail(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

int64_t elementBytes(Type type) {
  return (cast<MemRefType>(type).getElementType().getIntOrFloatBitWidth() + 7) /
         8;
}

std::string textOf(Attribute attribute) {
  std::string text;
  llvm::raw_string_ostream(text) << attribute;
  return text;
}

class FunctionReader {
public:
  FunctionReader(DeviceProgram &program, const ModuleInterface &interface,
                 const FunctionInfo &info)
      : program(program), interface(interface), info(info) {
    function.name = info.name;
  }

  llvm::Expected<DeviceFunction> build(func::FuncOp source);

private:
  struct Place {
    int64_t buffer = 0, bytes = 0; ///< from its start
  };
  llvm::Expected<Place> find(Value value);
  llvm::Expected<int64_t> findPointer(Value pointer);
  llvm::Expected<int64_t> findPlane(UnrealizedConversionCastOp cast);
  llvm::Expected<int64_t> findConstant(memref::GetGlobalOp op);
  int64_t add(Value key, DeviceBuffer buffer);
  int64_t argument(unsigned number);
  int64_t parameter(int64_t slot);
  void placeTemporaries();

  DeviceProgram &program;
  const ModuleInterface &interface;
  const FunctionInfo &info;
  DeviceFunction function;
  llvm::DenseMap<Value, int64_t> known;
  std::map<std::pair<int, int64_t>, int64_t> shared; ///< (kind, index)
};

int64_t FunctionReader::add(Value key, DeviceBuffer buffer) {
  function.buffers.push_back(std::move(buffer));
  int64_t number = static_cast<int64_t>(function.buffers.size()) - 1;
  if (key)
    known[key] = number;
  return number;
}

/// Numbers of the C interface: the table of parameters is argument 0.
int64_t FunctionReader::argument(unsigned number) {
  auto [entry, isNew] = shared.try_emplace({DeviceBuffer::Argument, number}, 0);
  if (!isNew)
    return entry->second;
  DeviceBuffer buffer;
  buffer.kind = DeviceBuffer::Argument;
  buffer.index = number - 1;
  // Results that update an argument have no number.
  std::vector<const ValueInfo *> values;
  for (const ValueInfo &value : info.arguments)
    values.push_back(&value);
  for (const ValueInfo &value : info.results)
    if (!value.argument)
      values.push_back(&value);
  const ValueInfo &value = *values[buffer.index];
  buffer.bytes = value.isTensor ? value.numBytes() : 8;
  return entry->second = add({}, std::move(buffer));
}

int64_t FunctionReader::parameter(int64_t slot) {
  auto [entry, isNew] = shared.try_emplace({DeviceBuffer::Parameter, slot}, 0);
  if (!isNew)
    return entry->second;
  DeviceBuffer buffer;
  buffer.kind = DeviceBuffer::Parameter;
  buffer.index = slot;
  buffer.bytes = interface.parameters[slot].type.numBytes();
  return entry->second = add({}, std::move(buffer));
}

llvm::Expected<int64_t> FunctionReader::findPointer(Value pointer) {
  if (auto number = dyn_cast<BlockArgument>(pointer))
    return argument(number.getArgNumber());
  if (auto load = pointer.getDefiningOp<LLVM::LoadOp>()) {
    if (isa<BlockArgument>(load.getAddr()))
      return parameter(0);
    if (auto entry = load.getAddr().getDefiningOp<LLVM::GEPOp>())
      if (entry.getRawConstantIndices().size() == 1)
        return parameter(entry.getRawConstantIndices().front());
  }
  return fail("@" + function.name + " uses a pointer of unknown origin");
}

llvm::Expected<int64_t>
FunctionReader::findPlane(UnrealizedConversionCastOp cast) {
  auto say = cast->getAttrOfType<DictionaryAttr>(kWeightAttrName);
  DeviceWeight weight;
  weight.n = say.getAs<IntegerAttr>("n").getInt();
  weight.k = say.getAs<IntegerAttr>("k").getInt();
  weight.scheme = textOf(say.get("scheme"));
  weight.from = textOf(say.get("from"));
  weight.to = textOf(say.get("to"));
  int64_t *slots[] = {&weight.codes, &weight.scales, &weight.zeros};
  for (auto [operand, slot] : llvm::zip(cast.getInputs(), slots)) {
    auto place = find(operand);
    if (!place)
      return place.takeError();
    const DeviceBuffer &stored = function.buffers[place->buffer];
    if (stored.kind != DeviceBuffer::Parameter || place->bytes != 0)
      return fail("@" + function.name +
                  " multiplies with a packed weight that is no parameter");
    *slot = stored.index;
  }
  int64_t number = 0, count = static_cast<int64_t>(program.weights.size());
  while (number < count && (program.weights[number].codes != weight.codes ||
                            program.weights[number].to != weight.to))
    ++number;
  if (number == count)
    program.weights.push_back(weight);
  DeviceBuffer buffer;
  buffer.kind = DeviceBuffer::Relaid;
  buffer.index = number;
  buffer.plane = say.getAs<StringAttr>("plane").getValue().str();
  auto type = cast.getResult(0).getType();
  buffer.bytes =
      llvm::cast<MemRefType>(type).getNumElements() * elementBytes(type);
  return add(cast.getResult(0), std::move(buffer));
}

llvm::Expected<int64_t> FunctionReader::findConstant(memref::GetGlobalOp op) {
  auto global = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(
      op, op.getNameAttr());
  auto values =
      global
          ? dyn_cast_or_null<DenseElementsAttr>(global.getConstantInitValue())
          : DenseElementsAttr();
  if (!values)
    return fail("@" + function.name + " reads the constant '" + op.getName() +
                "', whose numbers the module does not have");
  DeviceBuffer buffer;
  buffer.kind = DeviceBuffer::Constant;
  buffer.bytes = values.getNumElements() * elementBytes(op.getType());
  ArrayRef<char> raw = values.getRawData();
  for (int64_t i = 0; i < buffer.bytes; ++i)
    buffer.data.push_back(static_cast<uint8_t>(raw[i % raw.size()]));
  return add(op, std::move(buffer));
}

llvm::Expected<FunctionReader::Place> FunctionReader::find(Value value) {
  if (auto it = known.find(value); it != known.end())
    return Place{it->second, 0};
  if (auto number = dyn_cast<BlockArgument>(value)) // a scalar
    return Place{argument(number.getArgNumber()), 0};
  auto at = [](llvm::Expected<int64_t> buffer) -> llvm::Expected<Place> {
    if (!buffer)
      return buffer.takeError();
    return Place{*buffer, 0};
  };
  Operation *op = value.getDefiningOp();
  if (auto cast = dyn_cast<UnrealizedConversionCastOp>(op)) {
    if (cast->hasAttr(kWeightAttrName))
      return at(findPlane(cast));
    Value input = cast.getInputs().front();
    if (!isa<LLVM::LLVMStructType>(input.getType())) {
      auto place = find(input);
      auto offset = cast->getAttrOfType<IntegerAttr>(kOffsetAttrName);
      if (place && offset)
        place->bytes += offset.getInt() * elementBytes(value.getType());
      return place;
    }
    while (auto insert = input.getDefiningOp<LLVM::InsertValueOp>()) {
      if (insert.getPosition() == ArrayRef<int64_t>{1})
        return at(findPointer(insert.getValue()));
      input = insert.getContainer();
    }
  }
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return find(cast.getSource());
  if (auto cast = dyn_cast<memref::ReinterpretCastOp>(op)) {
    std::optional<int64_t> offset =
        getConstantIntValue(cast.getMixedOffsets().front());
    Value source = cast.getSource();
    while (Operation *above = source.getDefiningOp()) {
      if (!isa<memref::ReinterpretCastOp, memref::CastOp>(above))
        break;
      source = above->getOperand(0);
    }
    auto place = find(source);
    if (place && offset) {
      place->bytes += *offset * elementBytes(value.getType());
      return place;
    }
    if (!place)
      return place;
  }
  if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
    DeviceBuffer buffer;
    buffer.bytes =
        alloc.getType().getNumElements() * elementBytes(alloc.getType());
    return at(add(value, std::move(buffer)));
  }
  if (auto global = dyn_cast<memref::GetGlobalOp>(op))
    return at(findConstant(global));
  return fail("@" + function.name + " hands '" + op->getName().getStringRef() +
              "' to a kernel, which is no buffer that a device has");
}

void FunctionReader::placeTemporaries() {
  struct Life {
    int64_t buffer, first, last;
  };
  std::vector<Life> lives;
  std::map<int64_t, size_t> index;
  for (size_t i = 0; i < function.launches.size(); ++i)
    for (const DeviceArgument &argument : function.launches[i].arguments) {
      if (argument.buffer < 0 ||
          function.buffers[argument.buffer].kind != DeviceBuffer::Temporary)
        continue;
      auto [entry, isNew] = index.try_emplace(argument.buffer, lives.size());
      int64_t now = static_cast<int64_t>(i);
      if (isNew)
        lives.push_back({argument.buffer, now, now});
      lives[entry->second].last = now;
    }
  // First fit, in the order of first use: launches run one after the other.
  std::vector<Life> placed;
  for (const Life &life : lives) {
    DeviceBuffer &buffer = function.buffers[life.buffer];
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (const Life &other : placed)
      if (other.last >= life.first)
        taken.push_back({function.buffers[other.buffer].index,
                         function.buffers[other.buffer].bytes});
    llvm::sort(taken);
    int64_t at = 0;
    for (auto [start, bytes] : taken) {
      if (at + buffer.bytes <= start)
        break;
      at = std::max(at, (start + bytes + 255) / 256 * 256);
    }
    buffer.index = at;
    function.workspaceBytes =
        std::max(function.workspaceBytes, at + buffer.bytes);
    placed.push_back(life);
  }
}

llvm::Expected<DeviceFunction> FunctionReader::build(func::FuncOp source) {
  for (Operation &op : source.front()) {
    auto launch = dyn_cast<gpu::LaunchFuncOp>(op);
    if (!launch) {
      if (isa<func::ReturnOp, memref::AllocOp, memref::DeallocOp, LLVM::LoadOp>(
              op) ||
          isMemoryEffectFree(&op))
        continue;
      return fail("@" + function.name + " has '" + op.getName().getStringRef() +
                  "', which runs on no device: it should have become a kernel");
    }
    DeviceLaunch out;
    out.kernel = launch.getKernelName().str();
    auto read = [&](gpu::KernelDim3 from, std::array<unsigned, 3> &to) {
      Value values[] = {from.x, from.y, from.z};
      for (auto [value, size] : llvm::zip(values, to)) {
        std::optional<int64_t> constant = getConstantIntValue(value);
        if (!constant)
          return false;
        size = static_cast<unsigned>(*constant);
      }
      return true;
    };
    if (!read(launch.getGridSizeOperandValues(), out.grid) ||
        !read(launch.getBlockSizeOperandValues(), out.block))
      return fail("@" + function.name + " launches '" + out.kernel +
                  "' with a size that is not known before it runs");
    if (Value bytes = launch.getDynamicSharedMemorySize())
      out.sharedBytes =
          static_cast<unsigned>(getConstantIntValue(bytes).value_or(0));
    for (Value operand : launch.getKernelOperands()) {
      DeviceArgument argument;
      if (isa<MemRefType>(operand.getType())) {
        auto place = find(operand);
        if (!place)
          return place.takeError();
        argument = {place->buffer, place->bytes};
      } else {
        std::optional<int64_t> constant = getConstantIntValue(operand);
        if (!constant || !operand.getType().isInteger(32))
          return fail("@" + function.name + " launches '" + out.kernel +
                      "' with a number that is not known before it runs");
        argument.value = *constant;
      }
      out.arguments.push_back(argument);
    }
    function.launches.push_back(std::move(out));
  }
  placeTemporaries();
  return std::move(function);
}

} // namespace

llvm::Expected<DeviceProgram>
mlir::cq::buildDeviceProgram(ModuleOp module,
                             const ModuleInterface &interface) {
  DeviceProgram program;
  for (const FunctionInfo &info : interface.functions) {
    auto source = module.lookupSymbol<func::FuncOp>(info.entryPoint);
    if (!source)
      return fail("@" + info.name + " was lost on the way to the device");
    auto function = FunctionReader(program, interface, info).build(source);
    if (!function)
      return function.takeError();
    program.functions.push_back(std::move(*function));
  }
  return program;
}
