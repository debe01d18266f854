//===- DeviceCache.cpp - Compiled device models on disk -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceCache.h"
#include "cq/Execution/ObjectCache.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/CacheFile.h"
#include "llvm/ADT/StringExtras.h"
#include <algorithm>

using namespace mlir::cq;
namespace json = llvm::json;

static json::Value bufferJSON(const DeviceBuffer &buffer) {
  return json::Array{static_cast<int64_t>(buffer.kind), buffer.index,
                     buffer.bytes, buffer.plane, llvm::toHex(buffer.data)};
}

static json::Value launchJSON(const DeviceLaunch &launch) {
  json::Array arguments;
  for (const DeviceArgument &argument : launch.arguments)
    arguments.push_back(json::Array{argument.buffer, argument.value});
  auto sizes = [](const std::array<unsigned, 3> &size) {
    return json::Array{size[0], size[1], size[2]};
  };
  return json::Array{launch.kernel, sizes(launch.grid), sizes(launch.block),
                     launch.sharedBytes, std::move(arguments)};
}

json::Value mlir::cq::toJSON(const DeviceProgram &program) {
  json::Array functions, weights;
  for (const DeviceFunction &function : program.functions) {
    json::Array buffers, launches;
    for (const DeviceBuffer &buffer : function.buffers)
      buffers.push_back(bufferJSON(buffer));
    for (const DeviceLaunch &launch : function.launches)
      launches.push_back(launchJSON(launch));
    functions.push_back(json::Array{function.name, function.workspaceBytes,
                                    std::move(buffers), std::move(launches)});
  }
  for (const DeviceWeight &weight : program.weights)
    weights.push_back(json::Array{weight.n, weight.k, weight.codes,
                                  weight.scales, weight.zeros, weight.scheme,
                                  weight.from, weight.to});
  return json::Object{{"functions", std::move(functions)},
                      {"weights", std::move(weights)}};
}

namespace {
/// Takes the values of an array one after the other; `good` turns false where
/// one is missing or of another type.
class Reader {
public:
  explicit Reader(const json::Value &value) : array(value.getAsArray()) {}
  explicit Reader(const json::Array *array) : array(array) {}

  bool good() const { return fine && array; }
  bool atEnd() const { return !good() || next == array->size(); }
  const json::Value *value() {
    if (atEnd()) {
      fine = false;
      return nullptr;
    }
    return &(*array)[next++];
  }
  void read(std::string &text) {
    const json::Value *one = value();
    auto string = one ? one->getAsString() : std::nullopt;
    if (string)
      text = string->str();
    else
      fine = false;
  }
  template <typename Integer> void read(Integer &number) {
    const json::Value *one = value();
    auto integer = one ? one->getAsInteger() : std::nullopt;
    if (integer &&
        static_cast<int64_t>(static_cast<Integer>(*integer)) == *integer)
      number = static_cast<Integer>(*integer);
    else
      fine = false;
  }
  void read(std::array<unsigned, 3> &sizes) {
    Reader inner = list();
    for (unsigned &size : sizes)
      inner.read(size);
    fine &= inner.good();
  }
  Reader list() {
    const json::Value *one = value();
    return Reader(one ? one->getAsArray() : nullptr);
  }
  void require(bool condition) { fine &= condition; }

private:
  const json::Array *array;
  size_t next = 0;
  bool fine = true;
};
} // namespace

static bool readBuffer(Reader in, DeviceBuffer &buffer, size_t weights) {
  unsigned kind = 0;
  std::string data;
  in.read(kind);
  in.read(buffer.index);
  in.read(buffer.bytes);
  in.read(buffer.plane);
  in.read(data);
  std::string bytes;
  if (!in.good() || kind > DeviceBuffer::Temporary || buffer.index < 0 ||
      buffer.bytes < 0 || !llvm::tryGetFromHex(data, bytes))
    return false;
  buffer.kind = static_cast<DeviceBuffer::Kind>(kind);
  buffer.data.assign(bytes.begin(), bytes.end());
  if (buffer.kind == DeviceBuffer::Constant)
    return static_cast<int64_t>(bytes.size()) == buffer.bytes;
  return buffer.kind != DeviceBuffer::Relaid ||
         buffer.index < static_cast<int64_t>(weights);
}

static bool readLaunch(Reader in, DeviceLaunch &launch,
                       const DeviceFunction &function) {
  in.read(launch.kernel);
  in.read(launch.grid);
  in.read(launch.block);
  in.read(launch.sharedBytes);
  Reader arguments = in.list();
  while (!arguments.atEnd()) {
    DeviceArgument &argument = launch.arguments.emplace_back();
    Reader one = arguments.list();
    one.read(argument.buffer);
    one.read(argument.value);
    int64_t count = static_cast<int64_t>(function.buffers.size());
    if (!one.good() || argument.buffer < -1 || argument.buffer >= count ||
        (argument.buffer >= 0 &&
         (argument.value < 0 ||
          argument.value > function.buffers[argument.buffer].bytes)))
      return false;
  }
  return in.good() && arguments.good();
}

std::optional<DeviceProgram>
mlir::cq::parseDeviceProgram(const json::Value &value) {
  const json::Object *object = value.getAsObject();
  if (!object)
    return std::nullopt;
  DeviceProgram program;
  Reader weights(object->getArray("weights"));
  while (!weights.atEnd()) {
    DeviceWeight &weight = program.weights.emplace_back();
    Reader in = weights.list();
    for (int64_t *number :
         {&weight.n, &weight.k, &weight.codes, &weight.scales, &weight.zeros})
      in.read(*number);
    for (std::string *text : {&weight.scheme, &weight.from, &weight.to})
      in.read(*text);
    if (!in.good())
      return std::nullopt;
  }
  Reader functions(object->getArray("functions"));
  while (!functions.atEnd()) {
    DeviceFunction &function = program.functions.emplace_back();
    Reader in = functions.list();
    in.read(function.name);
    in.read(function.workspaceBytes);
    Reader buffers = in.list(), launches = in.list();
    while (!buffers.atEnd())
      if (!readBuffer(buffers.list(), function.buffers.emplace_back(),
                      program.weights.size()))
        return std::nullopt;
    while (!launches.atEnd())
      if (!readLaunch(launches.list(), function.launches.emplace_back(),
                      function))
        return std::nullopt;
    if (!in.good() || !buffers.good() || !launches.good())
      return std::nullopt;
  }
  if (!weights.good() || !functions.good())
    return std::nullopt;
  return program;
}

/// Whether parameters exist and temporaries lie in the workspace.
static bool fits(const DeviceProgram &program,
                 const ModuleInterface &interface) {
  int64_t count = static_cast<int64_t>(interface.parameters.size());
  for (const DeviceWeight &weight : program.weights)
    if (weight.codes < 0 ||
        std::max({weight.codes, weight.scales, weight.zeros}) >= count)
      return false;
  for (const DeviceFunction &function : program.functions)
    for (const DeviceBuffer &buffer : function.buffers) {
      if (buffer.kind == DeviceBuffer::Parameter &&
          (buffer.index >= count ||
           interface.parameters[buffer.index].type.numBytes() < buffer.bytes))
        return false;
      if (buffer.kind == DeviceBuffer::Temporary &&
          (buffer.index > function.workspaceBytes ||
           buffer.bytes > function.workspaceBytes - buffer.index))
        return false;
    }
  return true;
}

std::string mlir::cq::deviceCacheKey(llvm::StringRef source,
                                     llvm::StringRef chip) {
  return hashKey({"device 1", source, chip, describeCompiler()});
}

std::optional<CompiledDeviceModel>
mlir::cq::loadDeviceModel(llvm::StringRef key) {
  std::optional<std::string> text = loadCachedBytes("device", key);
  if (!text)
    return std::nullopt;
  auto value = parseBoundedJSON(*text, key);
  if (!value) {
    llvm::consumeError(value.takeError());
    return std::nullopt;
  }
  const json::Object *object = value->getAsObject();
  const json::Value *interface = object ? object->get("interface") : nullptr;
  const json::Value *program = object ? object->get("program") : nullptr;
  auto ptx = object ? object->getString("ptx") : std::nullopt;
  if (!interface || !program || !ptx)
    return std::nullopt;
  auto readInterface = ModuleInterface::fromJSON(*interface);
  if (!readInterface) {
    llvm::consumeError(readInterface.takeError());
    return std::nullopt;
  }
  auto readProgram = parseDeviceProgram(*program);
  if (!readProgram || !fits(*readProgram, *readInterface))
    return std::nullopt;
  return CompiledDeviceModel{std::move(*readInterface), std::move(*readProgram),
                             ptx->str()};
}

void mlir::cq::storeDeviceModel(llvm::StringRef key,
                                const CompiledDeviceModel &model) {
  std::string text;
  llvm::raw_string_ostream(text)
      << json::Value(json::Object{{"interface", model.interface.toJSON()},
                                  {"program", toJSON(model.program)},
                                  {"ptx", model.ptx}});
  llvm::consumeError(storeCachedBytes("device", key, text));
}
