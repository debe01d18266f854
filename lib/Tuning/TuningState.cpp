//===- TuningState.cpp - Saving a training run and going on ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Tuning/TunedModel.h"
#include <cstring>

using namespace mlir::cq;
using llvm::StringRef;

/// One tensor of the file and where its numbers live.
struct TunedModel::StateTensor {
  std::string name;
  DType type;
  llvm::MutableArrayRef<uint8_t> bytes;
  /// Largest code a row may hold, for each row; empty for floats.
  std::vector<uint8_t> maxCodes;
  int64_t count() const {
    return static_cast<int64_t>(bytes.size()) / blockBytes(type);
  }
};

static llvm::MutableArrayRef<uint8_t>
bytesOf(llvm::MutableArrayRef<float> values) {
  return {reinterpret_cast<uint8_t *>(values.data()),
          values.size() * sizeof(float)};
}

std::vector<TunedModel::StateTensor> TunedModel::stateTensors() {
  std::vector<StateTensor> tensors;
  auto add = [&](StringRef name, StringRef part,
                 llvm::MutableArrayRef<float> values) {
    tensors.push_back(
        {(name + ":" + part).str(), DType::F32, bytesOf(values), {}});
  };
  for (Parameter &parameter : all) {
    if (!parameter.isTrained)
      continue;
    if (!parameter.weight) {
      add(parameter.name, "values", parameter.values);
      add(parameter.name, "mean", parameter.moments.mean);
      add(parameter.name, "square", parameter.moments.square);
      continue;
    }
    TunedWeight::State state = parameter.weight->state();
    if (!state.codes.empty())
      tensors.push_back({parameter.name + ":codes", DType::U8, state.codes,
                         parameter.weight->maxCodes()});
    for (auto [part, values] : state.rest)
      add(parameter.name, part, values);
  }
  return tensors;
}

llvm::Error TunedModel::saveState(StringRef path, const Notes &notes) {
  std::vector<StateTensor> tensors = stateTensors();
  std::vector<SafetensorsWriter::Entry> entries;
  for (const StateTensor &tensor : tensors)
    entries.push_back({tensor.name, tensor.type, {tensor.count()}});
  auto writer = SafetensorsWriter::create(path, entries, notes);
  if (!writer)
    return writer.takeError();
  for (const StateTensor &tensor : tensors)
    if (llvm::Error error = (*writer)->append(tensor.bytes))
      return error;
  return (*writer)->commit();
}

llvm::Expected<std::vector<std::string>>
TunedModel::restoreState(StringRef path, llvm::ArrayRef<StringRef> keys) {
  auto file = ParameterArchive::open(path);
  if (!file)
    return file.takeError();
  auto refuse = [&](const llvm::Twine &why) {
    return llvm::createStringError(path + " " + why);
  };
  std::vector<std::string> notes;
  for (StringRef key : keys) {
    auto note = (*file)->metadata(key);
    if (!note)
      return refuse("says nothing of '" + key +
                    "'; it is no interrupted tuning");
    notes.push_back(note->str());
  }
  std::vector<StateTensor> tensors = stateTensors();
  // All checks first, so that a refusal leaves the model as it was.
  for (const StateTensor &tensor : tensors) {
    const ParameterInfo *info = (*file)->find(tensor.name);
    if (!info || info->packed || info->type != tensor.type ||
        info->bytes.size() != tensor.bytes.size())
      return refuse("has no tensor '" + tensor.name + "' of " +
                    llvm::Twine(tensor.count()) + " numbers");
    size_t columns = tensor.maxCodes.empty()
                         ? 0
                         : tensor.bytes.size() / tensor.maxCodes.size();
    for (auto [row, most] : llvm::enumerate(tensor.maxCodes))
      for (uint8_t code : info->bytes.slice(row * columns, columns))
        if (code > most)
          return refuse("has codes in '" + tensor.name +
                        "' that its width cannot hold");
  }
  for (const StateTensor &tensor : tensors)
    std::memcpy(tensor.bytes.data(), (*file)->find(tensor.name)->bytes.data(),
                tensor.bytes.size());
  for (Parameter &parameter : all)
    if (parameter.weight && parameter.isTrained)
      parameter.weight->decode(parameter.values.data(), options.threads);
  return notes;
}
