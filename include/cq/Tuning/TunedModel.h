//===- TunedModel.h - Training a quantized model ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The folder that `cq quantize` wrote as numbers that can be trained: packed
// weights through their scales, cherries and codes, norms (and biases) as they
// are. Whoever calls it has the gradients.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TUNING_TUNEDMODEL_H
#define CQ_TUNING_TUNEDMODEL_H

#include "cq/Model/Parameters.h"
#include "cq/Solver/Plan.h"
#include "cq/Tuning/TunedWeight.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {

struct TuningOptions {
  TuningRates rates;
  /// Of norms and biases, in units of the tensor's root mean square.
  float norms = 1e-3f;
  unsigned threads = 0;
};

class TunedModel {
public:
  /// `folder` holds plan.json and model.safetensors. `unquantized` has the
  /// weights as they were; it is read only where codes are trained
  /// (rates.weights > 0) and may be null otherwise. `isTrained` says which
  /// parameters get gradients; the others stay as they are.
  static llvm::Expected<std::unique_ptr<TunedModel>>
  open(llvm::StringRef folder, const ParameterArchive *unquantized,
       llvm::function_ref<bool(llvm::StringRef)> isTrained,
       const TuningOptions &options);

  /// What the model computes with now. `values` keeps its address.
  struct Parameter {
    std::string name;
    std::vector<float> values;
    std::optional<TunedWeight> weight; ///< packed and trained
    AdamMoments moments;               ///< not packed and trained
    std::vector<float> gradient;
    bool isTrained = false;
  };
  llvm::ArrayRef<Parameter> parameters() const { return all; }

  /// Adds dL/d(values) [count]; ignored for what is not trained. Error: another
  /// count.
  llvm::Error addGradient(llvm::StringRef name, llvm::ArrayRef<float> gradient);
  /// One step of Adam for every trained parameter; `values` follow.
  void step(int64_t step, double rateFactor);

  /// Codes that training has changed, and how many there are.
  int64_t changedCodes() const;
  int64_t trainedCodes() const;

  /// The archive with the planes as they are now; the rest is copied.
  llvm::Error write(llvm::StringRef path) const;

  /// The state of training after a step, to go on from: safetensors, a tensor
  /// for each number that steps change, `notes` in the metadata.
  using Notes = std::vector<std::pair<std::string, std::string>>;
  llvm::Error saveState(llvm::StringRef path, const Notes &notes);
  /// Takes a saved state, where `path` is one of this model's; the notes' texts
  /// follow in the order of `keys`. Error: tensors that are not there, have
  /// another size or cannot be.
  llvm::Expected<std::vector<std::string>>
  restoreState(llvm::StringRef path, llvm::ArrayRef<llvm::StringRef> keys);

private:
  TunedModel() = default;
  struct StateTensor;
  std::vector<StateTensor> stateTensors();
  llvm::Error load(const PlanEntry &entry, const ParameterArchive *unquantized,
                   bool isTrained);

  TuningOptions options;
  Plan plan;
  std::unique_ptr<ParameterArchive> archive;
  std::vector<Parameter> all;
  llvm::StringMap<size_t> index;
};

} // namespace mlir::cq

#endif // CQ_TUNING_TUNEDMODEL_H
