//===- TunedModel.cpp - Training a quantized model ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Tuning/TunedModel.h"
#include "cq/Model/QuantizedArchive.h"
#include "cq/Support/ModulePaths.h"

using namespace mlir::cq;
using llvm::StringRef;

llvm::Error TunedModel::load(const PlanEntry &entry,
                             const ParameterArchive *unquantized,
                             bool isTrained) {
  auto fails = [&](llvm::Error error) {
    return llvm::createStringError("weight '" + entry.weight + "' of " +
                                   archive->path() + ": " +
                                   llvm::toString(std::move(error)));
  };
  CherryPositions cherries;
  llvm::Expected<QuantizedWeight> quantized =
      readQuantizedWeight(*archive, entry, cherries);
  if (!quantized)
    return quantized.takeError();
  Parameter &parameter = all.emplace_back();
  parameter.name = entry.weight;
  parameter.values.resize(entry.n * entry.k);
  parameter.isTrained = isTrained;
  if (!isTrained) {
    dequantizeWeight(*quantized, &cherries, parameter.values.data(),
                     options.threads);
    return llvm::Error::success();
  }
  std::vector<float> before;
  if (options.rates.weights > 0) {
    const ParameterInfo *info =
        unquantized ? unquantized->find(entry.weight) : nullptr;
    if (!info || info->numElements() != entry.n * entry.k)
      return llvm::createStringError(
          "weight '" + entry.weight +
          "' is not in the unquantized model, or has another shape there; give "
          "the model that was quantized");
    before.resize(entry.n * entry.k);
    if (llvm::Error error =
            ParameterArchive::readAsF32(*info, before.data(), options.threads))
      return fails(std::move(error));
  }
  auto tuned = TunedWeight::create(std::move(*quantized), std::move(cherries),
                                   before.empty() ? nullptr : before.data());
  if (!tuned)
    return fails(tuned.takeError());
  parameter.weight.emplace(std::move(*tuned));
  parameter.weight->decode(parameter.values.data(), options.threads);
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<TunedModel>>
TunedModel::open(StringRef folder, const ParameterArchive *unquantized,
                 llvm::function_ref<bool(StringRef)> isTrained,
                 const TuningOptions &options) {
  std::unique_ptr<TunedModel> model(new TunedModel());
  model->options = options;
  llvm::Expected<Plan> plan = Plan::read(inFolder(folder, "plan.json"));
  if (!plan)
    return plan.takeError();
  model->plan = std::move(*plan);
  auto archive = ParameterArchive::open(inFolder(folder, "model.safetensors"));
  if (!archive)
    return archive.takeError();
  model->archive = std::move(*archive);
  for (const PlanEntry &entry : model->plan.entries)
    if (!entry.keep)
      if (llvm::Error error =
              model->load(entry, unquantized, isTrained(entry.weight)))
        return std::move(error);
  // What is not packed: norms and biases, and weights the plan keeps.
  for (const ParameterInfo &info : model->archive->parameters()) {
    if (StringRef(info.name).contains(':') || info.type != DType::F32)
      continue;
    Parameter &parameter = model->all.emplace_back();
    parameter.name = info.name;
    parameter.values.resize(info.numElements());
    if (llvm::Error error = ParameterArchive::readAsF32(
            info, parameter.values.data(), options.threads))
      return std::move(error);
    parameter.isTrained = info.shape.size() == 1 && isTrained(info.name);
    if (parameter.isTrained) {
      parameter.gradient.resize(parameter.values.size());
      parameter.moments.resize(parameter.values.size());
    }
  }
  for (size_t i = 0; i < model->all.size(); ++i)
    model->index[model->all[i].name] = i;
  return model;
}

llvm::Error TunedModel::addGradient(StringRef name,
                                    llvm::ArrayRef<float> gradient) {
  auto it = index.find(name);
  if (it == index.end() || !all[it->second].isTrained)
    return llvm::Error::success();
  Parameter &parameter = all[it->second];
  if (gradient.size() != parameter.values.size())
    return llvm::createStringError(
        "the gradient of '" + name + "' has " + llvm::Twine(gradient.size()) +
        " numbers, the parameter " + llvm::Twine(parameter.values.size()) +
        "; folder and module are not of one model");
  if (parameter.weight)
    parameter.weight->addGradient(gradient.data(), options.threads);
  else
    for (size_t i = 0; i < gradient.size(); ++i)
      parameter.gradient[i] += gradient[i];
  return llvm::Error::success();
}

static float rootMeanSquare(llvm::ArrayRef<float> values) {
  double sum = 0;
  for (float value : values)
    sum += static_cast<double>(value) * value;
  return static_cast<float>(
      std::sqrt(sum / static_cast<double>(values.size())));
}

void TunedModel::step(int64_t step, double rateFactor) {
  Adam adam(step, rateFactor);
  for (Parameter &parameter : all) {
    if (!parameter.isTrained)
      continue;
    if (parameter.weight) {
      parameter.weight->step(adam, options.rates, options.threads);
      parameter.weight->decode(parameter.values.data(), options.threads);
      continue;
    }
    float unit = options.norms * rootMeanSquare(parameter.values);
    for (size_t i = 0; i < parameter.values.size(); ++i) {
      parameter.values[i] +=
          unit * adam.move(parameter.moments, i, parameter.gradient[i]);
      parameter.gradient[i] = 0;
    }
  }
}

int64_t TunedModel::changedCodes() const {
  int64_t changed = 0;
  for (const Parameter &parameter : all)
    if (parameter.weight)
      changed += parameter.weight->changedCodes();
  return changed;
}

int64_t TunedModel::trainedCodes() const {
  int64_t count = 0;
  for (const Parameter &parameter : all)
    if (parameter.weight)
      count += parameter.weight->rows() * parameter.weight->columns();
  return count;
}

llvm::Error TunedModel::write(StringRef path) const {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const ParameterInfo &info : archive->parameters())
    entries.push_back({info.name, info.type, info.shape});
  std::vector<std::pair<std::string, std::string>> metadata;
  if (auto format = archive->metadata("format"))
    metadata.push_back({"format", format->str()});
  auto writer = SafetensorsWriter::create(path, entries, metadata);
  if (!writer)
    return writer.takeError();

  // The planes of one weight at a time; they follow one another in the file.
  std::string packedName;
  PackedWeight packed;
  for (const ParameterInfo &info : archive->parameters()) {
    auto [name, plane] = StringRef(info.name).rsplit(':');
    auto it = index.find(name);
    const Parameter *parameter = it == index.end() ? nullptr : &all[it->second];
    llvm::ArrayRef<uint8_t> bytes = info.bytes;
    if (parameter && plane.empty() && parameter->isTrained) {
      bytes = {reinterpret_cast<const uint8_t *>(parameter->values.data()),
               parameter->values.size() * sizeof(float)};
    } else if (parameter && parameter->weight && !plane.empty()) {
      if (packedName != name) {
        const PlanEntry *entry = plan.find(name);
        packed =
            packWeight(parameter->weight->get(),
                       &parameter->weight->positions(), entry->codeLayout());
        packedName = name.str();
      }
      bytes = plane == "codes"            ? packed.codes
              : plane == "scales"         ? packed.scales
              : plane == "zeros"          ? packed.zeros
              : plane == "row_order"      ? packed.rowOrder
              : plane == "cherry_columns" ? packed.cherryColumns
                                          : packed.cherryDeltas;
    }
    if (bytes.size() != info.bytes.size())
      return llvm::createStringError("tensor '" + info.name + "' of " +
                                     archive->path() +
                                     " has another size than its plan says");
    if (llvm::Error error = (*writer)->append(bytes))
      return error;
  }
  return (*writer)->commit();
}
