//===- ModuleInterface.cpp - What a driver must know of compiled code -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/ModuleInterface.h"
#include "cq/Transforms/CallInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace mlir::cq;
using llvm::json::Array;
using llvm::json::Object;

int64_t ValueInfo::numElements() const {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

int64_t ValueInfo::numBytes() const {
  llvm::StringRef text = elementType;
  unsigned bits = 64;
  if (text == "bf16")
    bits = 16;
  else if (text != "index" && text.size() > 1)
    (void)text.drop_while([](char c) { return !llvm::isDigit(c); })
        .getAsInteger(10, bits);
  return numElements() * ((bits + 7) / 8);
}

const FunctionInfo *ModuleInterface::find(llvm::StringRef name) const {
  for (const FunctionInfo &function : functions)
    if (function.name == name)
      return &function;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// From a module
//===----------------------------------------------------------------------===//

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

static std::optional<ValueInfo> describe(Type type) {
  ValueInfo info;
  if (auto tensor = dyn_cast<RankedTensorType>(type)) {
    if (!tensor.hasStaticShape())
      return std::nullopt;
    info.isTensor = true;
    info.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
    type = tensor.getElementType();
  }
  if (!type.isIntOrIndexOrFloat())
    return std::nullopt;
  llvm::raw_string_ostream(info.elementType) << type;
  return info;
}

static std::optional<llvm::json::Value> describe(Attribute attribute) {
  if (auto flag = dyn_cast<BoolAttr>(attribute))
    return llvm::json::Value(flag.getValue());
  if (auto integer = dyn_cast<IntegerAttr>(attribute))
    return llvm::json::Value(integer.getValue().getSExtValue());
  if (auto number = dyn_cast<FloatAttr>(attribute))
    return llvm::json::Value(number.getValueAsDouble());
  if (auto text = dyn_cast<StringAttr>(attribute))
    return llvm::json::Value(text.getValue().str());
  if (auto list = dyn_cast<ArrayAttr>(attribute)) {
    Array array;
    for (Attribute entry : list)
      if (auto value = describe(entry))
        array.push_back(std::move(*value));
    return llvm::json::Value(std::move(array));
  }
  if (auto dictionary = dyn_cast<DictionaryAttr>(attribute)) {
    Object object;
    for (NamedAttribute entry : dictionary)
      if (auto value = describe(entry.getValue()))
        object[entry.getName().str()] = std::move(*value);
    return llvm::json::Value(std::move(object));
  }
  return std::nullopt;
}

llvm::Expected<ModuleInterface> ModuleInterface::of(ModuleOp module) {
  ModuleInterface interface;
  for (ml_program::GlobalOp global : getParameterGlobals(module)) {
    auto info = describe(global.getType());
    if (!info)
      return makeError("parameter '" + global.getSymName() +
                       "' has no static tensor type");
    interface.parameters.push_back({global.getSymName().str(), *info});
  }
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal() || !function.isPublic())
      continue;
    FunctionInfo info;
    info.name = function.getSymName().str();
    info.entryPoint = getEntryPointName(function.getSymName());
    auto add = [&](Type type, std::vector<ValueInfo> &list) {
      auto value = describe(type);
      if (value)
        list.push_back(*value);
      return value.has_value();
    };
    for (Type type : function.getArgumentTypes())
      if (!add(type, info.arguments))
        return makeError("function '" + info.name +
                         "' has an argument without a C counterpart");
    auto updated = getUpdatedArguments(function);
    for (auto [type, argument] :
         llvm::zip(function.getResultTypes(), updated)) {
      if (!add(type, info.results) || !info.results.back().isTensor)
        return makeError("function '" + info.name +
                         "' has a result that is no tensor of static shape");
      info.results.back().argument = argument;
    }
    interface.functions.push_back(std::move(info));
  }
  for (NamedAttribute entry : module->getAttrs())
    if (entry.getName().strref().starts_with("cq."))
      if (auto value = describe(entry.getValue()))
        // JSON only refers to a StringRef: the context may go before it.
        interface.attributes[entry.getName().strref().drop_front(3).str()] =
            std::move(*value);
  return interface;
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static llvm::json::Value toJSON(const ValueInfo &info) {
  Object object{{"type", info.elementType}};
  if (info.isTensor)
    object["shape"] = Array(info.shape);
  if (info.argument)
    object["argument"] = static_cast<int64_t>(*info.argument);
  return object;
}

static bool parse(const llvm::json::Value &value, ValueInfo &info);
static bool parse(const llvm::json::Value &value, FunctionInfo &info);
static bool parse(const llvm::json::Value &value, ParameterSlot &slot);

static bool parse(const llvm::json::Value &value, ValueInfo &info) {
  const Object *object = value.getAsObject();
  if (!object)
    return false;
  auto type = object->getString("type");
  if (!type)
    return false;
  info.elementType = type->str();
  if (const Array *shape = object->getArray("shape")) {
    info.isTensor = true;
    for (const llvm::json::Value &size : *shape) {
      auto integer = size.getAsInteger();
      if (!integer)
        return false;
      info.shape.push_back(*integer);
    }
  }
  if (auto argument = object->getInteger("argument"))
    info.argument = static_cast<unsigned>(*argument);
  return true;
}

template <typename T>
static bool parse(const Array *array, std::vector<T> &list) {
  if (!array)
    return false;
  for (const llvm::json::Value &value : *array)
    if (!parse(value, list.emplace_back()))
      return false;
  return true;
}

static bool parse(const llvm::json::Value &value, FunctionInfo &info) {
  const Object *object = value.getAsObject();
  if (!object)
    return false;
  auto name = object->getString("name"), entry = object->getString("entry");
  if (!name || !entry)
    return false;
  info.name = name->str();
  info.entryPoint = entry->str();
  return parse(object->getArray("arguments"), info.arguments) &&
         parse(object->getArray("results"), info.results);
}

static bool parse(const llvm::json::Value &value, ParameterSlot &slot) {
  const Object *object = value.getAsObject();
  if (!object)
    return false;
  auto name = object->getString("name");
  const llvm::json::Value *type = object->get("of");
  if (!name || !type)
    return false;
  slot.name = name->str();
  return parse(*type, slot.type);
}

llvm::json::Value ModuleInterface::toJSON() const {
  auto list = [](const std::vector<ValueInfo> &values) {
    Array array;
    for (const ValueInfo &value : values)
      array.push_back(::toJSON(value));
    return array;
  };
  Array functionArray, parameterArray;
  for (const FunctionInfo &function : functions)
    functionArray.push_back(Object{{"name", function.name},
                                   {"entry", function.entryPoint},
                                   {"arguments", list(function.arguments)},
                                   {"results", list(function.results)}});
  for (const ParameterSlot &slot : parameters)
    parameterArray.push_back(
        Object{{"name", slot.name}, {"of", ::toJSON(slot.type)}});
  return Object{{"functions", std::move(functionArray)},
                {"parameters", std::move(parameterArray)},
                {"attributes", Object(attributes)}};
}

llvm::Expected<ModuleInterface>
ModuleInterface::fromJSON(const llvm::json::Value &value) {
  ModuleInterface interface;
  const Object *object = value.getAsObject();
  if (!object || !parse(object->getArray("functions"), interface.functions) ||
      !parse(object->getArray("parameters"), interface.parameters) ||
      !object->getObject("attributes"))
    return makeError("no interface of a compiled module");
  interface.attributes = *object->getObject("attributes");
  return interface;
}
