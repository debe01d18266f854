//===- DivergenceMeter.cpp - One weight changed, everything run -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/DivergenceMeter.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::cq;

llvm::Expected<std::unique_ptr<DivergenceMeter>>
DivergenceMeter::create(llvm::StringRef module,
                        const ObservedModelOptions &given) {
  std::unique_ptr<DivergenceMeter> meter(new DivergenceMeter);
  ObservedModelOptions options = given;
  options.function = "divergence";
  options.gram = options.blocks = false;
  options.fisher = "none";
  // Once with observations, for the hidden states that the head reads; then
  // without, which is faster.
  options.moments = true;
  auto observed = ObservedModel::load(module, options);
  if (!observed)
    return observed.takeError();
  meter->observed = std::move(*observed);
  options.moments = false;
  auto model = ObservedModel::load(module, options);
  if (!model)
    return model.takeError();
  meter->model = std::move(*model);

  // The head alone is read twice: for the model's predictions and for those of
  // the reference.
  std::vector<std::string> head;
  llvm::ArrayRef<ObservationInfo> infos = meter->observed->observations();
  for (size_t i = 0; i < infos.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (infos[i].statistic == "input" && infos[j].statistic == "input" &&
          infos[i].weights == infos[j].weights)
        head = infos[i].weights;
  if (head.empty())
    return llvm::createStringError(
        module + " has no head that @divergence reads twice; import it anew");
  for (const ObservationInfo &info : infos)
    for (const std::string &weight : info.weights)
      if (info.statistic == "input" && !llvm::is_contained(head, weight) &&
          !llvm::is_contained(meter->names, weight))
        meter->names.push_back(weight);
  for (size_t i = 0; i < infos.size(); ++i)
    if (infos[i].weights == head) {
      meter->headObservation = i;
      break;
    }
  return std::move(meter);
}

llvm::Error
DivergenceMeter::setSequences(std::vector<std::vector<int32_t>> tokens) {
  sequences = std::move(tokens);
  references.clear();
  std::vector<float> losses(model->tokens());
  llvm::ArrayRef<ObservationInfo> infos = observed->observations();
  const std::vector<std::string> &head = infos[headObservation].weights;
  const ParameterInfo *embedding = observed->archive().find(head.front());
  if (!embedding || embedding->shape.size() != 2)
    return llvm::createStringError("the head is no matrix of the archive");
  int64_t width = embedding->shape[1];
  std::vector<float> nothing(model->tokens() * width);
  for (const std::vector<int32_t> &sequence : sequences) {
    std::vector<float> hidden;
    if (llvm::Error error = observed->run(
            sequence, nothing, losses,
            [&](const ObservationInfo &info,
                llvm::ArrayRef<ObservedMatrix> matrices) {
              if (info.statistic != "input" || info.weights != head)
                return;
              const ObservedMatrix &x = matrices.front();
              llvm::ArrayRef<float> numbers(x.data, x.rows * x.columns);
              // The other one of the two is the reference, all zeros.
              if (llvm::any_of(numbers, [](float v) { return v != 0; }))
                hidden = numbers;
            }))
      return error;
    if (hidden.size() != nothing.size())
      return llvm::createStringError(
          "the final hidden states were not observed");
    references.push_back(std::move(hidden));
  }
  return llvm::Error::success();
}

llvm::Expected<double> DivergenceMeter::runAll() {
  double sum = 0;
  std::vector<float> losses(model->tokens());
  for (auto [sequence, reference] : llvm::zip_equal(sequences, references)) {
    if (llvm::Error error = model->run(sequence, reference, losses, nullptr))
      return std::move(error);
    for (float loss : losses)
      sum += static_cast<double>(loss);
  }
  return sum / static_cast<double>(sequences.size() * losses.size());
}

llvm::Expected<double> DivergenceMeter::measure(llvm::StringRef weight,
                                                const float *numbers) {
  if (llvm::Error error = model->setParameter(weight, numbers))
    return std::move(error);
  auto divergence = runAll();
  if (llvm::Error error = model->setParameter(weight, nullptr)) {
    if (!divergence)
      llvm::consumeError(divergence.takeError());
    return std::move(error);
  }
  return divergence;
}
