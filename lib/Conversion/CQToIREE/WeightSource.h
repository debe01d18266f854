//===- WeightSource.h - The bytes behind the planes of an op ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_WEIGHTSOURCE_H
#define CQ_LIB_CONVERSION_CQTOIREE_WEIGHTSOURCE_H

#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Value.h"

namespace mlir {
class ElementsAttr;
}

namespace mlir::ml_program {
class GlobalOp;
}

namespace mlir::cq::toiree {

/// The planes of one product or gather; null where there is none.
struct PlaneOperands {
  Value codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder;
};

/// Planes are constants or globals; globals lie in an archive.
class WeightSource {
public:
  /// `archive` may be null, where nothing is by reference.
  WeightSource(const SymbolTable &symbols, const ParameterArchive *archive)
      : symbols(symbols), archive(archive) {}

  /// The immutable global that `value` loads; null for anything else.
  ml_program::GlobalOp globalOf(Value value) const;
  /// The weight's name: that of the codes without ":codes"; empty for
  /// constants without one.
  std::string nameOf(Value codes) const;
  /// Equal for values that hold the same plane; null if it is no constant.
  const void *identityOf(Value value) const;

  /// The weight, its planes' sizes checked; or a sentence.
  /// `packed` has all but the planes, and gets those.
  llvm::Expected<QuantizedWeight> read(const PlaneOperands &planes,
                                       PackedWeight &packed,
                                       CherryPositions &positions) const;

private:
  llvm::Error bytesOf(Value value, std::vector<uint8_t> &bytes) const;

  const SymbolTable &symbols;
  const ParameterArchive *archive;
};

/// The numbers of a constant as they lie in memory, or a sentence.
llvm::Expected<std::vector<uint8_t>> rawBytes(ElementsAttr elements);

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_WEIGHTSOURCE_H
