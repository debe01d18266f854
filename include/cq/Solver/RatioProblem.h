//===- RatioProblem.h - Which choice for which layer ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The high-impact ratio problem (arXiv 2511.17801; docs/methods.md, section 3)
// and every other allocation of bits to layers:
//
//   minimise    ½ δᵀ M δ  =  Σ_l loss(x_l)  +  Σ_{l<m} M[(l, x_l), (m, x_m)]
//   subject to  offset + Σ_l cost(x_l) ≤ budget
//               x_l = x_m for layers of one group; pins, floors, ceilings
//
// where x_l is the choice of layer l, δ its one-hot form, and a *variable* a
// = (layer, choice). M is symmetric, may be indefinite, and its diagonal is
// twice the loss. Within blocks M is given as matrices; between blocks it is 0
// unless couplings or a Gram matrix say otherwise.
//
// Costs are integers (bytes, everything counted); losses are doubles in any
// unit that adds up.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_RATIOPROBLEM_H
#define CQ_SOLVER_RATIOPROBLEM_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// One way to store a layer.
struct RatioChoice {
  int64_t cost = 0;  ///< exact bytes, 0 ≤ cost ≤ 2^53
  double loss = 0;   ///< M[a, a] / 2
  double bits = 0;   ///< nominal width, what floors and ceilings look at
  std::string label; ///< "b3-g64-symmetric-f16"; equal in equal ways
};

/// One weight and the ways to store it.
struct RatioLayer {
  std::string name;
  int64_t weights = 0; ///< N·K, to say bits per weight
  std::vector<RatioChoice> choices;
  std::optional<unsigned> pin; ///< this choice and no other
  double floor = 0;            ///< choices of fewer bits are not allowed
  double ceiling = std::numeric_limits<double>::infinity();
};

/// Layers that interact: those of one transformer block.
struct RatioBlock {
  std::vector<unsigned> layers;
  /// Symmetric, [V, V] over the variables of `layers` in order, V = Σ choices;
  /// entries of two choices of one layer are not read but for the diagonal,
  /// which is 0 or twice the loss. Empty: no interactions.
  std::vector<double> matrix;
};

/// M[a, c] for two layers that no block's matrix covers; several add up.
struct RatioCoupling {
  unsigned layerA = 0, choiceA = 0, layerB = 0, choiceB = 0;
  double value = 0;
};

/// M[a, c] = 2 · scale · ⟨Δ_a, Δ_c⟩ for all pairs of layers that no block's
/// matrix covers: the change Δ of an output for each variable, so that M is
/// positive semidefinite where the losses are scale · ‖Δ_a‖².
struct RatioGram {
  int64_t dimension = 0;
  double scale = 1;
  std::vector<float> vectors; ///< [variables, dimension], layer by layer
};

/// An answer, and what is known of its quality.
struct RatioSolution {
  std::vector<unsigned> choices; ///< one a layer
  int64_t cost = 0;              ///< Σ cost(x_l), offset not included
  double value = 0;
  /// No feasible answer has a smaller value. −inf from the baselines.
  double bound = -std::numeric_limits<double>::infinity();
  /// What one more byte would save at this budget (λ of the Lagrangian); 0
  /// where the budget does not bind or the method knows no price.
  double price = 0;
  /// value − bound; at most the rounding of doubles (1e-12) where exact.
  double gap() const { return value - bound; }
};

/// Smallest and largest cost that the constraints but the budget leave.
struct RatioRange {
  int64_t smallest = 0, largest = 0;
};

struct RatioProblem {
  std::vector<RatioLayer> layers;
  std::vector<RatioBlock> blocks; ///< disjoint; layers in none stand alone
  std::vector<std::vector<unsigned>> groups; ///< disjoint; one choice each
  std::vector<RatioCoupling> couplings;
  std::optional<RatioGram> gram;
  int64_t budget = 0;
  int64_t offset = 0; ///< what is spent anyway: kept tensors, metadata

  /// Success, or one sentence that names the layer: no choices, non-finite
  /// losses, costs out of range, asymmetric matrices, overlapping blocks or
  /// groups, constraints that leave a layer nothing. Says nothing of the
  /// budget: checkBudget() does.
  llvm::Error check() const;
  /// Success, or a sentence with the reachable range in bytes and bits.
  llvm::Error checkBudget(int64_t budget) const;
  /// Both of a checked problem, offset not included.
  RatioRange range() const;
  /// What pin, floor, ceiling and group leave of a layer's choices, ascending.
  std::vector<unsigned> allowed(unsigned layer) const;
  /// Position of layer l's first variable; the last entry is their number.
  std::vector<size_t> variableOffsets() const;

  int64_t cost(llvm::ArrayRef<unsigned> choices) const;
  double value(llvm::ArrayRef<unsigned> choices) const;

  /// Checks anyone's answer from first principles: choices allowed, groups
  /// equal, cost and value as stated (1e-9), budget kept, bound not above the
  /// value. Shares no code with the solvers.
  llvm::Error verify(const RatioSolution &solution) const;

  /// docs/Plan.md, "The problem as a file". Hostile input is an error.
  static llvm::Expected<RatioProblem> fromJSON(const llvm::json::Value &value,
                                               llvm::StringRef origin);
  llvm::json::Value toJSON() const;
};

} // namespace mlir::cq

#endif // CQ_SOLVER_RATIOPROBLEM_H
