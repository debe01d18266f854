//===- WeightEvaluation.h - Evaluating chains over weights ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// What cq-apply-plan builds over a weight (views, transposes, casts, then
// [rank_rows → permute_rows →] extract_cherries → quantize → pack) is evaluated
// here on the host, one weight at a time, with the codec.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTEVALUATION_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTEVALUATION_H

#include "WeightStatistics.h"
#include "cq/Analysis/WeightTracing.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Model/Parameters.h"
#include "mlir/IR/SymbolTable.h"
#include <vector>

namespace mlir::ml_program {
class GlobalOp;
} // namespace mlir::ml_program

namespace mlir::cq {

/// One chain, from a source to packed planes.
struct WeightChain {
  Value source;    ///< result of arith.constant or ml_program.global_load
  Value matrix;    ///< W [N, K], its rows in their own order
  RankRowsOp rank; ///< null where rows have one width
  ExtractCherriesOp extract; ///< null without cherries
  QuantizeOp quantize;
  PackOp pack;
  /// Source and everything that is done to it, as text: equal chains give equal
  /// planes.
  std::string signature;
  /// Which matrix of a stack; −1 when it is the whole source.
  int64_t slice = -1;

  /// Name, type and value of every plane that exists ("codes", …).
  SmallVector<std::pair<StringRef, Value>, 6> planes();
  /// The first op that makes a plane.
  Operation *begin();
};

/// The chain that ends in `pack`; fails when it is none over a constant or a
/// global (weights computed at run time stay as they are).
/// `symbols`: the module's.
FailureOr<WeightChain> matchWeightChain(PackOp pack,
                                        const SymbolTable &symbols);

/// The immutable global a chain's source loads; null for constants.
ml_program::GlobalOp getGlobal(Value source, const SymbolTable &symbols);

/// The numbers of a constant as f32, or a sentence (resources may be too
/// short).
llvm::Expected<std::vector<float>> readElements(ElementsAttr elements);

/// The numbers of traced weights, from the IR or from the module's archive.
class WeightNumbers {
public:
  /// `parameters`: the archive; empty: the one `cq.parameters` of `module`
  /// names. It is opened when the first weight needs it.
  WeightNumbers(ModuleOp module, StringRef parameters, unsigned threads)
      : module(module), parameters(parameters.str()), threads(threads) {}

  /// As the source has them: not transposed, stacks whole. Errors name the
  /// weight.
  llvm::Expected<std::vector<float>> read(const TracedWeight &weight);

private:
  llvm::Error open();

  ModuleOp module;
  std::string parameters;
  unsigned threads;
  std::unique_ptr<ParameterArchive> archive;
};

/// What evaluating a chain gave.
struct EvaluatedWeight {
  PackedWeight packed;
  /// That another quantizer was used than asked for, and why; else empty.
  std::string fallback;
};

/// Applies the chain to its source's numbers (consumed). `weight` is the name
/// of the source; that of a matrix in a stack is `weight`.slice. `statistics`
/// may be null. Errors: what the codec refuses, statistics that are needed and
/// absent or that were measured on other values.
llvm::Expected<EvaluatedWeight>
evaluate(const WeightChain &chain, std::vector<float> numbers, StringRef weight,
         WeightStatistics *statistics, unsigned threads);

/// [rows, columns] → [columns, rows].
std::vector<float> transpose(const std::vector<float> &in, int64_t rows,
                             int64_t columns);

/// Bytes of the planes in the order of WeightChain::planes().
SmallVector<ArrayRef<uint8_t>, 6> planeBytesOf(const PackedWeight &packed);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTEVALUATION_H
