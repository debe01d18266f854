//===- PackedParts.h - One weight of GPTQ, AWQ and the like -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_PACKEDPARTS_H
#define CQ_LIB_MODEL_PACKEDPARTS_H

#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"

namespace mlir::cq {

/// The tensors of one weight; w[row, column] = scale (code - zero).
struct PackedParts {
  enum class Kind : uint8_t { GPTQ, AWQ, CompressedTensors };
  Kind kind = Kind::GPTQ;
  std::string name; ///< "X.weight"
  int64_t n = 0, k = 0, groups = 0;
  unsigned bits = 0;
  int64_t wordsPerRow = 0;   ///< compressed-tensors
  bool padded = false;       ///< compressed-tensors: no code crosses a word
  bool zeroMinusOne = false; ///< GPTQ, version 1
  const ParameterInfo *codes = nullptr, *scales = nullptr;
  const ParameterInfo *zeros = nullptr; ///< may be absent
  const ParameterInfo *index = nullptr; ///< group of each column; may be absent

  /// Finds the parts of `module` and checks their types and shapes, g_idx
  /// included.
  llvm::Error open(const ParameterArchive &files, llvm::StringRef module,
                   bool zeroMinusOne);

  unsigned code(int64_t row, int64_t column) const;
  int zero(int64_t row, int64_t group) const;
  int64_t groupOf(int64_t column) const;
  /// [n, groups]
  std::vector<float> loadScales() const;
  void decodeRow(int64_t row, const float *scalesOfRow, float *out) const;
  /// In our terms; an error where no scheme of ours holds it.
  llvm::Expected<Scheme> scheme() const;
  llvm::Expected<QuantizedWeight> read() const;

private:
  llvm::Error openCompressed(const ParameterArchive &files,
                             const std::string &module);
  bool isOrdered() const;
};

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_PACKEDPARTS_H
