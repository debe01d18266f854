//===- BlockRunner.h - One transformer block at a time ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An imported model whose blocks run alone (pass cq-expose-blocks), on the
// hidden states that enter them in the unchanged model: what changes when a
// weight changes costs one block, not the whole model.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_BLOCKRUNNER_H
#define CQ_EXECUTION_BLOCKRUNNER_H

#include "cq/Execution/ObservedModel.h"

namespace mlir::cq {

class BlockRunner {
public:
  struct Block {
    int64_t number = 0;
    std::vector<std::string> weights; ///< that its products read, in order
  };

  /// Needs @divergence of `cq import`. Errors: a model without marked blocks.
  static llvm::Expected<std::unique_ptr<BlockRunner>>
  create(llvm::StringRef module, const ObservedModelOptions &options);
  ~BlockRunner();

  int64_t tokens() const; ///< T, of a sequence
  int64_t width() const;  ///< D, of hidden states
  int64_t vocabulary() const;
  const Tokenizer *tokenizer() const;
  const ParameterArchive &archive() const;
  llvm::ArrayRef<Block> blocks() const { return allBlocks; }
  /// The matrix that makes predictions of final hidden states.
  llvm::StringRef head() const { return headName; }
  /// Its numbers as the archive has them, [n, k]; null if there is none.
  const float *values(llvm::StringRef weight) const;

  /// Runs the unchanged model on sequences of tokens() ids each and keeps what
  /// enters every block: 4 · (blocks + 1) · T · D bytes a sequence.
  llvm::Error setSequences(llvm::ArrayRef<std::vector<int32_t>> sequences);
  size_t numSequences() const { return states.size(); }
  /// [T, D] entering block `index`, leaving the last one at blocks().size().
  llvm::ArrayRef<float> input(size_t sequence, size_t index) const {
    return states[sequence][index];
  }

  /// From now on blocks read `numbers` (of the weight's shape, kept by the
  /// caller); null: the archive's again.
  llvm::Error setWeight(llvm::StringRef weight, const float *numbers);
  /// `in` and `out` are [T, D] and may be one.
  void runBlock(size_t index, const float *in, float *out);
  /// From the last block's hidden states to what the head multiplies.
  void runFinal(const float *in, float *out);

private:
  struct Implementation;
  BlockRunner();
  void call(void *function, bool inPlace, const float *in, float *out);

  std::unique_ptr<Implementation> implementation;
  std::vector<Block> allBlocks;
  std::string headName;
  std::vector<std::vector<std::vector<float>>> states;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_BLOCKRUNNER_H
