//===- Evaluation.h - Perplexity and KL divergence --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// How a model is judged (methods.md, section 6). Rows of logits go in, one a
// scored position; sums are kept in double, in the order of the rows.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_INFERENCE_EVALUATION_H
#define CQ_INFERENCE_EVALUATION_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <vector>

namespace mlir::cq {

/// Which positions of a window count. Full: every predicted token (the papers'
/// way). LlamaCpp: the second half of each window (comparable with its tables).
enum class EvalProtocol : uint8_t { Full, LlamaCpp };
std::optional<EvalProtocol>
parseEvalProtocol(llvm::StringRef text); // "full" "llama.cpp"
llvm::StringRef stringifyEvalProtocol(EvalProtocol protocol);

/// First position whose logits are scored, in a window of `length` tokens; the
/// last is length − 2 (it predicts the last token).
int64_t firstScoredPosition(EvalProtocol protocol, int64_t length);

/// One scored position, model against reference.
struct PositionScore {
  double nll = 0; ///< −log p(target), nats
  double referenceNll = 0;
  double divergence = 0; ///< KL(reference ‖ model), nats
  double deltaP = 0;     ///< p(target) − reference p(target)
  bool sameTop = false;  ///< equal most likely tokens
};

/// Score of one position; `reference` may be empty (then only nll is set).
PositionScore scorePosition(llvm::ArrayRef<float> logits,
                            llvm::ArrayRef<float> reference, int32_t target);

/// A mean with its standard error.
struct Estimate {
  double value = 0, error = 0;
};

/// Scores of a text.
class Evaluation {
public:
  void add(const PositionScore &score) { scores.push_back(score); }
  int64_t positions() const { return static_cast<int64_t>(scores.size()); }

  Estimate perplexity() const; ///< exp(mean nll)
  Estimate referencePerplexity() const;
  Estimate meanDivergence() const;
  double divergenceQuantile(double q) const; ///< 0.5 = median
  double rmsDeltaP() const;
  double sameTopShare() const;

private:
  std::vector<PositionScore> scores;
};

} // namespace mlir::cq

#endif // CQ_INFERENCE_EVALUATION_H
