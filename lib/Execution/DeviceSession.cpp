//===- DeviceSession.cpp - A text in a model on a device ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceSession.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>

using namespace mlir::cq;

llvm::Error DeviceSession::bind(const DeviceFunction &function,
                                llvm::ArrayRef<uint64_t> arguments,
                                llvm::ArrayRef<uint64_t> weights, Bound &out) {
  out.function = &function;
  std::vector<uint64_t> addresses;
  size_t nextWeight = 0;
  for (const DeviceBuffer &buffer : function.buffers) {
    switch (buffer.kind) {
    case DeviceBuffer::Argument:
      if (buffer.index < 0 ||
          buffer.index >= static_cast<int64_t>(arguments.size()))
        return llvm::createStringError("@" + function.name +
                                       " does not have the signature that `cq "
                                       "import` writes");
      addresses.push_back(arguments[buffer.index]);
      break;
    case DeviceBuffer::Parameter:
      addresses.push_back(parameters[buffer.index]);
      break;
    case DeviceBuffer::Relaid:
      addresses.push_back(weights[nextWeight++]);
      break;
    case DeviceBuffer::Constant: {
      auto memory = allocate(buffer.bytes);
      if (!memory)
        return memory.takeError();
      if (llvm::Error error =
              backend->upload(*memory, buffer.data.data(), buffer.bytes))
        return error;
      addresses.push_back(*memory);
      break;
    }
    case DeviceBuffer::Temporary:
      addresses.push_back(workspace + buffer.index);
    }
  }
  for (const DeviceLaunch &launch : function.launches) {
    Arguments &list = out.launches.emplace_back();
    for (const DeviceArgument &argument : launch.arguments) {
      if (argument.buffer < 0)
        list.push_back({static_cast<uint64_t>(argument.value), -1});
      else
        list.push_back(
            {addresses[argument.buffer] + argument.value,
             function.buffers[argument.buffer].bytes - argument.value});
    }
  }
  return llvm::Error::success();
}

llvm::Expected<uint64_t> DeviceSession::allocate(int64_t bytes) {
  auto address = backend->allocate(bytes);
  if (address)
    memory[*address] = bytes;
  return address;
}

static const char *const stepFunctions[] = {"forward_1", "logits_1",
                                            "next_token", "advance_position"};

llvm::Error DeviceSession::run(const std::string &name) {
  const Bound &one = bound.at(name);
  for (size_t i = 0; i < one.launches.size(); ++i)
    if (llvm::Error error =
            backend->launch(one.function->launches[i], one.launches[i]))
      return error;
  return llvm::Error::success();
}

int64_t DeviceSession::chooseChunk(int64_t remaining, int64_t room) const {
  // A pass over the weights costs about the same for any chunk up to a few
  // tokens, so two or more smaller passes never beat a padded larger one that
  // is at least a quarter full.
  size_t i = 0;
  while (i + 1 < chunks.size() && chunks[i] < remaining)
    ++i;
  if (i > 0 && chunks[i] > remaining && chunks[i] > 4 * remaining)
    --i;
  while (i > 0 && chunks[i] > room)
    --i;
  return chunks[i];
}

std::string DeviceSession::refuse(const int32_t *ids, int64_t count) const {
  if (count > sizes.context - taken)
    return "the text needs " + std::to_string(taken + count) +
           " positions and the model was imported with --context=" +
           std::to_string(sizes.context);
  for (int64_t i = 0; i < count; ++i)
    if (ids[i] < 0 || ids[i] >= sizes.vocabulary)
      return "token " + std::to_string(ids[i]) +
             " is outside the vocabulary of " +
             std::to_string(sizes.vocabulary);
  return "";
}

llvm::Error DeviceSession::forward(const int32_t *ids, int64_t count,
                                   float *hidden) {
  ready = false;
  for (int64_t done = 0; done < count;) {
    int64_t chunk = chooseChunk(count - done, sizes.context - taken);
    int64_t valid = std::min(chunk, count - done);
    std::vector<int32_t> padded(chunk);
    std::copy_n(ids + done, valid, padded.begin());
    if (llvm::Error error = backend->upload(tokens, padded.data(), 4 * chunk))
      return error;
    if (llvm::Error error = backend->upload(where, &taken, 8))
      return error;
    if (llvm::Error error = run("forward_" + std::to_string(chunk)))
      return error;
    if (llvm::Error error = backend->download(hidden + done * sizes.width,
                                              hiddens, valid * sizes.width * 4))
      return error;
    taken += valid;
    done += valid;
  }
  return llvm::Error::success();
}

llvm::Error DeviceSession::logits(const float *hidden, int64_t count,
                                  float *out) {
  for (int64_t done = 0; done < count;) {
    int64_t chunk = chooseChunk(count - done, count);
    int64_t valid = std::min(chunk, count - done);
    if (llvm::Error error = backend->upload(
            hiddens, hidden + done * sizes.width, valid * sizes.width * 4))
      return error;
    if (llvm::Error error = run("logits_" + std::to_string(chunk)))
      return error;
    if (llvm::Error error =
            backend->download(out + done * sizes.vocabulary, logitRows,
                              valid * sizes.vocabulary * 4))
      return error;
    done += valid;
  }
  return llvm::Error::success();
}

llvm::Expected<int32_t> DeviceSession::step(int32_t token) {
  std::string refusal = refuse(&token, 1);
  if (!refusal.empty())
    return llvm::createStringError(refusal);
  if (!ready || token != last) {
    if (llvm::Error error = backend->upload(tokens, &token, 4))
      return std::move(error);
    if (llvm::Error error = backend->upload(where, &taken, 8))
      return std::move(error);
  }
  auto launches = [&]() -> llvm::Error {
    for (const char *name : stepFunctions)
      if (llvm::Error error = run(name))
        return error;
    return llvm::Error::success();
  };
  // The first step loads every kernel, which a recording must not do.
  if (ready && !recorded) {
    auto graph = backend->record(launches);
    if (!graph)
      return graph.takeError();
    recorded = *graph;
  }
  if (llvm::Error error = recorded ? backend->play() : launches())
    return std::move(error);
  if (llvm::Error error = backend->download(&last, tokens, 4))
    return std::move(error);
  ready = true;
  ++taken;
  return last;
}

llvm::Expected<std::unique_ptr<DeviceSession>> DeviceSession::create(
    std::unique_ptr<DeviceBackend> backend, DeviceProgram program,
    const ModuleInterface &interface, const SessionShape &shape,
    std::vector<int64_t> chunks, void *const *table,
    llvm::function_ref<llvm::Expected<llvm::ArrayRef<uint8_t>>(
        const DeviceWeight &weight, llvm::StringRef plane)>
        plane) {
  auto session = std::make_unique<DeviceSession>();
  DeviceSession &s = *session;
  s.backend = std::move(backend);
  s.program = std::move(program);
  s.sizes = shape;
  s.chunks = std::move(chunks);
  llvm::sort(s.chunks);
  if (s.chunks.empty() || s.chunks.front() != 1)
    return llvm::createStringError(
        "the module has no functions for one token; import it again");
  int64_t most = s.chunks.back(), workspaceBytes = 0;
  for (const DeviceFunction &function : s.program.functions)
    workspaceBytes = std::max(workspaceBytes, function.workspaceBytes);
  const std::pair<uint64_t *, int64_t> buffers[] = {
      {&s.tokens, 4 * most},
      {&s.where, 8},
      {&s.keys, 4 * shape.keys},
      {&s.values, 4 * shape.values},
      {&s.hiddens, 4 * most * shape.width},
      {&s.logitRows, 4 * most * shape.vocabulary},
      {&s.workspace, workspaceBytes}};
  for (auto [address, bytes] : buffers) {
    auto memory = s.allocate(bytes);
    if (!memory)
      return memory.takeError();
    *address = *memory;
  }
  auto place = [&](const void *from,
                   int64_t bytes) -> llvm::Expected<uint64_t> {
    auto memory = s.allocate(bytes);
    if (memory)
      if (llvm::Error error = s.backend->upload(*memory, from, bytes))
        return std::move(error);
    return memory;
  };
  s.parameters.resize(interface.parameters.size());
  std::map<std::pair<int64_t, std::string>, uint64_t> planes;
  for (const DeviceFunction &function : s.program.functions) {
    std::vector<uint64_t> weights;
    for (const DeviceBuffer &buffer : function.buffers) {
      if (buffer.kind == DeviceBuffer::Parameter &&
          !s.parameters[buffer.index]) {
        auto memory = place(table[buffer.index], buffer.bytes);
        if (!memory)
          return memory.takeError();
        s.parameters[buffer.index] = *memory;
      }
      if (buffer.kind != DeviceBuffer::Relaid)
        continue;
      uint64_t &address = planes[{buffer.index, buffer.plane}];
      if (!address) {
        auto bytes = plane(s.program.weights[buffer.index], buffer.plane);
        if (!bytes)
          return bytes.takeError();
        auto memory = place(bytes->data(), static_cast<int64_t>(bytes->size()));
        if (!memory)
          return memory.takeError();
        address = *memory;
      }
      weights.push_back(address);
    }
    std::vector<uint64_t> arguments;
    llvm::StringRef name = function.name;
    if (name.starts_with("forward_"))
      arguments = {s.tokens, s.where, s.keys, s.values, s.hiddens};
    else if (name.starts_with("logits_"))
      arguments = {s.hiddens, s.logitRows};
    else if (name == "next_token")
      arguments = {s.logitRows, s.tokens};
    else
      arguments = {s.where};
    if (llvm::Error error =
            s.bind(function, arguments, weights, s.bound[function.name]))
      return std::move(error);
  }
  return std::move(session);
}

llvm::Error DeviceSession::writeStep(llvm::raw_ostream &text,
                                     llvm::raw_ostream &data) {
  std::map<uint64_t, size_t> numbers;
  uint64_t written = 0;
  for (auto [address, bytes] : memory) {
    std::vector<uint8_t> content(bytes);
    if (llvm::Error error = backend->download(content.data(), address, bytes))
      return error;
    text << "buffer " << numbers.size() << ' ' << bytes << ' ';
    numbers.emplace(address, numbers.size());
    if (llvm::all_of(content, [](uint8_t byte) { return byte == 0; })) {
      text << "-1\n";
      continue;
    }
    text << written << '\n';
    data.write(reinterpret_cast<const char *>(content.data()), bytes);
    written += bytes;
  }
  text << "token " << numbers.at(tokens) << "\nlogits " << numbers.at(logitRows)
       << ' ' << sizes.vocabulary << '\n';
  for (const char *name : stepFunctions) {
    const Bound &one = bound.at(name);
    for (size_t i = 0; i < one.launches.size(); ++i) {
      const DeviceLaunch &launch = one.function->launches[i];
      text << "launch " << launch.kernel;
      for (unsigned size : launch.grid)
        text << ' ' << size;
      for (unsigned size : launch.block)
        text << ' ' << size;
      text << ' ' << launch.sharedBytes << ' ' << one.launches[i].size();
      for (const DeviceBackend::Argument &argument : one.launches[i]) {
        if (argument.bytes < 0) {
          text << " i " << argument.value;
          continue;
        }
        auto buffer = std::prev(numbers.upper_bound(argument.value));
        text << " b " << buffer->second << ' '
             << argument.value - buffer->first;
      }
      text << '\n';
    }
  }
  return llvm::Error::success();
}

llvm::Error DeviceSession::readLogits(float *out) {
  return backend->download(out, logitRows, 4 * sizes.vocabulary);
}
