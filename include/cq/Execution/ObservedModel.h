//===- ObservedModel.h - A compiled loss that shows its values --*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An imported model's @loss, instrumented by cq-observe (and differentiated by
// cq-differentiate where gradients are asked for), compiled, bound to its
// weights. Every run hands the observations to a function.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_OBSERVEDMODEL_H
#define CQ_EXECUTION_OBSERVEDMODEL_H

#include "cq/Execution/ModuleInterface.h"
#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include <memory>

namespace mlir::cq {

struct ObservedModelOptions {
  /// What is run: loss, or divergence (from a reference's hidden states).
  std::string function = "loss";
  /// What gradients are by: weights (that products read) or all.
  std::string wrt = "weights";
  bool moments = true; ///< observe inputs of products with a weight
  bool gram = false;   ///< and their XᵀX
  bool blocks = true;  ///< observe what enters and leaves blocks
  /// Gradients of weights: none, sequence (of the sum of a sequence's losses)
  /// or token (Σ_t g_t²).
  std::string fisher = "none";
  /// Only weights that one of these regular expressions matches have gradients;
  /// empty: all that products read.
  std::vector<std::string> only;
  std::string targetCPU; ///< empty = this machine's
  unsigned threads = 0;  ///< 0 = all
  bool useCache = true;  ///< keep compiled code on disk
};

/// What the observation of one number is of.
struct ObservationInfo {
  std::string statistic; ///< input gram block gradient fisher
  std::vector<std::string> weights;
  int64_t block = -1;
};

/// A matrix of f32, rows [rows, columns], valid during the call.
struct ObservedMatrix {
  const float *data;
  int64_t rows, columns;
};

using ObservationHandler = llvm::function_ref<void(
    const ObservationInfo &info, llvm::ArrayRef<ObservedMatrix> matrices)>;

class ObservedModel {
public:
  /// `path`: a module that `cq import` wrote, or a folder of `cq quantize`.
  static llvm::Expected<std::unique_ptr<ObservedModel>>
  load(llvm::StringRef path, const ObservedModelOptions &options = {});
  ~ObservedModel();

  int64_t tokens() const; ///< T, of a sequence
  int64_t vocabulary() const;
  /// What a run observes, in the order of its numbers.
  llvm::ArrayRef<ObservationInfo> observations() const;

  /// Null where the checkpoint came without one.
  const Tokenizer *tokenizer() const;
  const ParameterArchive &archive() const;
  /// Weights of the compiled function, in the order of the module.
  llvm::ArrayRef<ParameterSlot> parameters() const;
  /// The numbers that runs read now; null where there is no f32 parameter of
  /// that name.
  const float *parameter(llvm::StringRef name) const;
  /// From now on runs read `values` (of the parameter's shape, f32, kept by the
  /// caller) instead of the archive's numbers; null: those again. Errors: no
  /// f32 parameter of that name.
  llvm::Error setParameter(llvm::StringRef name, const float *values);

  /// Runs one sequence of tokens() ids: `losses` [tokens − 1] gets −log p of
  /// every token but the first, `handler` (may be null) the observations, one
  /// after the other, on this thread. Errors: another count, an id outside the
  /// vocabulary.
  llvm::Error run(llvm::ArrayRef<int32_t> tokens,
                  llvm::MutableArrayRef<float> losses,
                  ObservationHandler handler);
  /// The same for function = divergence: `reference` [tokens, width] are final
  /// hidden states, `losses` [tokens] the divergences from their predictions.
  llvm::Error run(llvm::ArrayRef<int32_t> tokens,
                  llvm::ArrayRef<float> reference,
                  llvm::MutableArrayRef<float> losses,
                  ObservationHandler handler);

private:
  struct Implementation;
  explicit ObservedModel(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_OBSERVEDMODEL_H
