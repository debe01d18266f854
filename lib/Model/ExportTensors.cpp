//===- ExportTensors.cpp - What all exports share -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExportTensors.h"
#include "cq/Model/QuantizedArchive.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

using namespace mlir::cq;
using llvm::StringRef;

llvm::Expected<std::vector<ModelTensor>>
mlir::cq::listModelTensors(const ExportInput &input, const TensorNames &names) {
  std::vector<ModelTensor> tensors;
  llvm::StringSet<> seen;
  for (const ParameterInfo &info : input.archive.parameters()) {
    auto [weight, plane] = StringRef(info.name).split(':');
    if (!seen.insert(weight).second)
      continue;
    ModelTensor tensor;
    tensor.source = weight.str();
    tensor.name = renamedTensor(weight, names);
    if (tensor.name.empty())
      return fail("tensor " + quoted(weight) + " of " +
                  quoted(input.archive.path()) +
                  " has no place in a Llama-family checkpoint; only models "
                  "that `cq import` read can be exported");
    if (plane.empty()) {
      tensor.kept = &info;
    } else {
      tensor.entry = input.plan.find(weight);
      if (!tensor.entry || tensor.entry->keep)
        return fail("the plan does not say how weight " + quoted(weight) +
                    " of " + quoted(input.archive.path()) +
                    " is stored; plan.json belongs to another folder");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<uint32_t> mlir::cq::movedRows(const ModelTensor &tensor,
                                          const ModelConfig &config,
                                          bool interleaved) {
  RotatedRows rows = rotatedRows(tensor.source);
  if (rows == RotatedRows::None || config.interleavedRope == interleaved)
    return {};
  int64_t heads = rows == RotatedRows::Q ? config.heads : config.kvHeads;
  int64_t size = config.headDim, half = size / 2;
  std::vector<uint32_t> places(heads * size);
  for (int64_t head = 0; head < heads; ++head)
    for (int64_t i = 0; i < half; ++i)
      for (int64_t part = 0; part < 2; ++part) {
        int64_t neighbours = head * size + 2 * i + part;
        int64_t halves = head * size + part * half + i;
        if (interleaved)
          places[halves] = uint32_t(neighbours);
        else
          places[neighbours] = uint32_t(halves);
      }
  return places;
}

llvm::Expected<ExportWeight>
mlir::cq::readForExport(const ExportInput &input, const ModelTensor &tensor,
                        llvm::ArrayRef<uint32_t> moved,
                        const ExportOptions &options) {
  ExportWeight result;
  auto weight =
      readQuantizedWeight(input.archive, *tensor.entry, result.cherries);
  if (!weight)
    return weight.takeError();
  result.weight = std::move(*weight);
  QuantizedWeight &q = result.weight;
  if (!moved.empty() && int64_t(moved.size()) != q.n)
    return fail("weight " + quoted(tensor.source) + " has " + llvm::Twine(q.n) +
                " rows, but the model's heads make " +
                llvm::Twine(moved.size()));
  if (!moved.empty()) {
    std::vector<uint32_t> order(q.n);
    for (int64_t row = 0; row < q.n; ++row)
      order[row] = moved[q.originOf(row)];
    q.order = std::move(order);
  }
  result.values.resize(q.n * q.k);
  dequantizeWeight(q, &result.cherries, result.values.data(), options.threads);
  if (options.dropCherries && result.cherries.spec.form != CherryForm::None) {
    result.dropped = true;
    result.cherries = {};
    q.deltas.clear();
  }
  return result;
}

llvm::Expected<std::vector<float>>
mlir::cq::readKept(const ModelTensor &tensor, llvm::ArrayRef<uint32_t> moved) {
  const ParameterInfo &info = *tensor.kept;
  std::vector<float> values(info.numElements());
  if (llvm::Error error = ParameterArchive::readAsF32(info, values.data()))
    return std::move(error);
  if (moved.empty())
    return values;
  if (info.shape.empty() || int64_t(moved.size()) != info.shape.front())
    return fail("tensor " + quoted(tensor.source) + " has the shape " +
                printShape(info.shape) + ", but the model's heads make " +
                llvm::Twine(moved.size()) + " rows");
  size_t row = values.size() / moved.size();
  std::vector<float> result(values.size());
  for (size_t i = 0; i < moved.size(); ++i)
    std::copy_n(values.begin() + i * row, row, result.begin() + moved[i] * row);
  return result;
}

double mlir::cq::relativeError(llvm::ArrayRef<float> wanted,
                               llvm::ArrayRef<float> got) {
  double difference = 0, square = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    double delta = double(got[i]) - double(wanted[i]);
    difference += delta * delta;
    square += double(wanted[i]) * double(wanted[i]);
  }
  return square > 0 ? std::sqrt(difference / square) : std::sqrt(difference);
}
