//===- Measurements.h - Measured losses as a file ------------ -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For every weight and way to store it the loss, and for every block the
// interactions, measured once and solved for any budget. The file is JSON
// Lines, so that measuring appends and goes on where it was stopped:
// docs/Measurements.md has the records. It is hostile input.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_MEASUREMENTS_H
#define CQ_SOLVER_MEASUREMENTS_H

#include "cq/Solver/StorageChoice.h"
#include "llvm/ADT/StringMap.h"
#include <memory>

namespace llvm {
class raw_fd_ostream;
} // namespace llvm

namespace mlir::cq {

/// What the numbers of a file are, its first line.
struct MeasurementHeader {
  std::string loss;       ///< kind: "weight", "output", "fisher", "block", …
  std::string statistics; ///< fingerprint of the statistics, or empty
  std::string model;      ///< fingerprint of the model, or empty
  bool operator==(const MeasurementHeader &o) const {
    return loss == o.loss && statistics == o.statistics && model == o.model;
  }
};

struct MeasuredWeight {
  std::string weight;
  int64_t n = 0, k = 0;
  std::string hash; ///< hashWeight of the numbers, or empty
  /// Share of z-scores above 1 (methods.md 2), if it was measured.
  std::optional<double> zd;
  std::vector<std::pair<std::string, double>> losses; ///< by choice

  const double *find(llvm::StringRef choice) const;
};

/// M of one block: off-diagonal interactions (RatioBlock::matrix).
struct MeasuredBlock {
  /// The name of a record over the layers of all blocks. It has one or a few
  /// choices a layer; what it lacks is scaled (RatioPlanner).
  static constexpr llvm::StringLiteral wholeModel = "*";
  std::string block;
  std::vector<std::pair<std::string, std::string>> variables; ///< weight,
                                                              ///< choice
  std::vector<double> matrix; ///< symmetric, [variables, variables]
};

struct Measurements {
  static constexpr int64_t version = 1;
  MeasurementHeader header;
  std::vector<MeasuredWeight> weights;
  std::vector<MeasuredBlock> blocks;

  const MeasuredWeight *find(llvm::StringRef weight) const;
  /// A later record of a weight adds to an earlier one of the same hash, and
  /// replaces one of another.
  void add(MeasuredWeight record);
  void add(MeasuredBlock record);

  /// A last line without its end (an interrupted append) is left out; anything
  /// else that is wrong is an error with its line number.
  static llvm::Expected<Measurements> parse(llvm::StringRef text,
                                            llvm::StringRef origin);
  static llvm::Expected<Measurements> read(llvm::StringRef path);
  std::string str() const;

private:
  llvm::StringMap<size_t> index;
};

/// Appends to a file, record by record.
class MeasurementWriter {
public:
  /// Goes on with an existing file of the same header; one of another header,
  /// or that is no measurement file, is an error and stays as it is.
  static llvm::Expected<std::unique_ptr<MeasurementWriter>>
  open(llvm::StringRef path, const MeasurementHeader &header);
  ~MeasurementWriter();

  /// What the file holds.
  const Measurements &measurements() const { return held; }
  llvm::Error append(MeasuredWeight record);
  llvm::Error append(MeasuredBlock record);
  /// Writes the file anew, one record a weight, then the blocks: the same bytes
  /// however often the measuring was interrupted. Ends the appending.
  llvm::Error finish();

private:
  MeasurementWriter(llvm::StringRef path) : path(path) {}
  llvm::Error appendLine(llvm::json::Value value);

  std::string path;
  Measurements held;
  std::unique_ptr<llvm::raw_fd_ostream> out;
};

} // namespace mlir::cq

#endif // CQ_SOLVER_MEASUREMENTS_H
