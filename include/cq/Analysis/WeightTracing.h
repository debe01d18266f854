//===- WeightTracing.h - A model's weights and their readers ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Finds every constant, global or argument that reaches a product as its
// weight, through reshapes, transposes, broadcasts, casts and the arguments of
// private functions. Only looks; knows nothing of quantization.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_ANALYSIS_WEIGHTTRACING_H
#define CQ_ANALYSIS_WEIGHTTRACING_H

#include "cq/Analysis/WeightDims.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"
#include <string>
#include <vector>

namespace mlir::cq {

/// Where a weight's numbers are.
enum class WeightSource {
  Inline,   ///< arith.constant, dense or dense_resource
  Global,   ///< immutable ml_program.global: inline value or parameter archive
  Argument, ///< an argument of a public function: no numbers here
  Opaque    ///< a global of another dialect (util.global.load)
};
llvm::StringRef stringifyWeightSource(WeightSource source);

/// One weight.
struct TracedWeight {
  std::string name;
  WeightSource source;
  /// What it is the same as: value attribute, symbol, or block argument.
  const void *identity = nullptr;
  /// arith.constant ops or the ml_program.global; empty for arguments.
  llvm::SmallVector<Operation *, 2> sourceOps;
  RankedTensorType type;
  /// The matrix it is read as. Loop numbers are those of the first use.
  int64_t batch = 1, n = 0, k = 0;
  bool transposed = false;
  unsigned numProducts = 0, numGathers = 0;
  bool isHead = false;
  /// Why it must stay as it is; empty when it can be quantized.
  std::string obstacle;
  bool canQuantize() const { return obstacle.empty(); }
};

/// A product with a weight.
struct WeightUse {
  Operation *op;
  WeightConsumption consumption;
  /// All weights that arrive here: several when a private function is called
  /// with different ones.
  llvm::SmallVector<unsigned, 1> weights;
};

/// An embedding: rows of a weight picked by index inside a linalg.generic.
struct GatherUse {
  Operation *op;      ///< linalg.generic
  Operation *extract; ///< tensor.extract in its body
  llvm::SmallVector<unsigned, 1> weights;
};

/// A product, or an op like one, that reads numbers of the module which cannot
/// be followed to it as a weight.
struct UnreadUse {
  Operation *op;
  std::string why; ///< "its weight comes from …"
};

/// A value at the end of a trace, inside or outside of the function of the use.
struct WeightLeaf {
  Value root;
  WeightDims dims;
};

class WeightTracing {
public:
  explicit WeightTracing(Operation *module);
  ~WeightTracing();

  /// Traces everything; idempotent.
  void solve();

  llvm::ArrayRef<TracedWeight> getWeights() const { return weights; }
  llvm::ArrayRef<WeightUse> getUses() const { return uses; }
  llvm::ArrayRef<GatherUse> getGathers() const { return gathers; }
  llvm::ArrayRef<UnreadUse> getUnread() const { return unread; }

  /// Follows a value to the op or argument where its trace ends *in this
  /// function*.
  static WeightLeaf traceLocally(Value value, WeightDims dims);
  /// A gather reads W [N, K] like a product whose loops are (n, k).
  static WeightConsumption getGatherConsumption(RankedTensorType type);
  static WeightDims getGatherDims(RankedTensorType type);

private:
  class Impl;
  std::vector<TracedWeight> weights;
  std::vector<WeightUse> uses;
  std::vector<GatherUse> gathers;
  std::vector<UnreadUse> unread;
  Operation *module;
  bool solved = false;
};

} // namespace mlir::cq

#endif // CQ_ANALYSIS_WEIGHTTRACING_H
