//===- Statistics.h - What calibration measured -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sums over calibration sequences, in double, with counts: files merge by
// adding. The container is safetensors; docs/Statistics.md has the names.
// Files are hostile input: every count, shape and value is checked on reading.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_STATS_STATISTICS_H
#define CQ_STATS_STATISTICS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// One input x [tokens, k] of one or more linear layers (q, k and v read the
/// same one). Everything is a sum over `tokens` rows.
struct InputStatistics {
  std::vector<std::string> weights; ///< that read it, in the model's order
  int64_t k = 0;
  int64_t tokens = 0;
  std::vector<double> sumSquares; ///< [k] Σ x²
  /// [k] Σ |x| and max |x|; both empty where an imported file lacks them.
  std::vector<double> sumMagnitudes;
  std::vector<float> maxMagnitude;
  /// Σ x xᵀ, upper triangle, rows packed one after another: (i, j ≥ i) at
  /// i·k − i(i−1)/2 + (j − i); k (k + 1) / 2 long, or empty.
  std::vector<double> gram;

  /// Adds the rows of x [rows, k] to the moments.
  void add(const float *x, int64_t rows, unsigned threads = 0);
  /// Adds XᵀX [k, k] of one sequence (only i ≤ j is read).
  void addGram(const float *xtx, unsigned threads = 0);
  /// E[x²], f32 as the quantizers take it.
  std::vector<float> meanSquares() const;
};

/// How squared gradients were summed; methods.md section 1.
enum class FisherKind : uint8_t { None, Sequence, Token };
llvm::StringRef stringifyFisherKind(FisherKind kind); // none sequence token
std::optional<FisherKind> parseFisherKind(llvm::StringRef text);

/// Σ g² over sequences, of one weight W [n, k].
struct FisherStatistics {
  std::string weight;
  int64_t n = 0, k = 0;
  int64_t sequences = 0;
  std::vector<double> sum; ///< [n, k]

  /// Adds the squares of a sequence's gradient [n, k].
  void addGradient(const float *gradient, unsigned threads = 0);
  /// Adds Σ_t g_t² [n, k] of a sequence.
  void addSquares(const float *squares, unsigned threads = 0);
};

/// What a transformer block does to the hidden states; LIM of methods.md 2.
struct BlockStatistics {
  int64_t block = 0;
  int64_t tokens = 0;
  double sumCosine = 0; ///< Σ_t cos(in_t, out_t)
  double dot = 0, squaresIn = 0,
         squaresOut = 0; ///< of all tokens as one vector
  /// ZD (methods.md 2) of the block's weights, one- and two-sided: a property
  /// of the model, not a sum; negative where it was not measured.
  double zScore = -1, zScoreTwoSided = -1;

  void add(const float *in, const float *out, int64_t rows, int64_t width);
  double limToken() const; ///< −mean cosine
  double limFlat() const;  ///< −dot / √(squaresIn · squaresOut)
};

/// Says what the numbers were measured on.
struct Provenance {
  std::string model;     ///< hash of all weights (names, shapes, f32 values)
  std::string tokenizer; ///< hash, or empty
  std::string options;   ///< what changes the numbers: "tokens=512 fisher=…"
  /// One entry for each calibration text: name, hash of its tokens, sequences.
  struct Data {
    std::string name, hash;
    int64_t first = 0, sequences = 0; ///< [first, first + sequences)
  };
  std::vector<Data> data;
};

class Statistics {
public:
  static constexpr int64_t version = 1;

  Provenance provenance;
  FisherKind fisherKind = FisherKind::None;
  std::vector<InputStatistics> inputs;
  std::vector<FisherStatistics> fishers;
  std::vector<BlockStatistics> blocks;
  /// Σ −log p of the texts' tokens, and how many these are (0: not measured).
  double sumLoss = 0;
  int64_t lossTokens = 0;
  /// Hash of each weight's f32 values, so that a file is refused for another
  /// model weight by weight: see hashWeight().
  struct WeightHash {
    std::string weight, hash;
    int64_t n = 0, k = 0;
  };
  std::vector<WeightHash> weightHashes;

  /// Null where nothing was measured of this weight.
  const InputStatistics *findInput(llvm::StringRef weight) const;
  const FisherStatistics *findFisher(llvm::StringRef weight) const;

  /// Adds `other`. Errors: other model, options, weights or shapes; the same
  /// sequences twice. On an error nothing has changed. An empty object takes
  /// over all of `other`.
  llvm::Error merge(const Statistics &other);

  /// Reads everything, Gram matrices and Fisher sums included; without
  /// `matrices` those stay empty (StatisticsReader reads them weight by
  /// weight). With `matrices` a compact store is an error: it holds no sums.
  static llvm::Expected<Statistics> read(llvm::StringRef path,
                                         bool matrices = true);
  /// Temporary name, then rename.
  llvm::Error write(llvm::StringRef path) const;
  /// What a reader would refuse: shapes, counts and values that no calibration
  /// can give. `origin` names the file in messages.
  llvm::Error check(llvm::StringRef origin) const;
};

/// Merges files into `output`, which may not be one of them. Matrices pass
/// through in pieces: memory stays at the moments, whatever the files' size.
llvm::Error mergeStatisticsFiles(llvm::ArrayRef<std::string> inputs,
                                 llvm::StringRef output);

/// The final export with small Fisher matrices: of each, the `share` largest
/// values as they are, and means of the rest over rows and columns, whose
/// product stands for the rest. Quantizers read it through StatisticsReader;
/// merging refuses it. Gram matrices and moments are kept.
llvm::Error exportCompact(llvm::StringRef input, llvm::StringRef output,
                          double share = 0.01);

/// XXH3-128 over shape and f32 values, hexadecimal.
std::string hashWeight(const float *w, int64_t n, int64_t k);
/// XXH3-128 of bytes, hexadecimal (tokens of a text, a tokenizer).
std::string hashBytes(llvm::StringRef bytes);

/// Hashes of all tensors of a checkpoint as f32, read one at a time: `model`
/// for Provenance (a function of names, shapes and values, not of the file's
/// format or order), `weights` of those with two dimensions, sorted by name.
struct ModelFingerprint {
  std::string model;
  std::vector<Statistics::WeightHash> weights;
};
class ParameterArchive;
llvm::Expected<ModelFingerprint>
fingerprintModel(const ParameterArchive &archive, unsigned threads = 0);

/// A statistics file mapped into memory: what a quantizer wants of one weight.
class StatisticsReader {
public:
  static llvm::Expected<std::unique_ptr<StatisticsReader>>
  open(llvm::StringRef path);
  ~StatisticsReader();

  llvm::StringRef path() const;
  const Provenance &provenance() const;
  FisherKind fisherKind() const;
  /// Everything but the matrices: moments, counts, blocks, hashes.
  const Statistics &facts() const;
  /// Share of exact values where Fisher matrices are a compact store, else 0.
  double compactShare() const;

  bool hasInput(llvm::StringRef weight) const;
  bool hasGram(llvm::StringRef weight) const;
  bool hasFisher(llvm::StringRef weight) const;
  /// E[x²] [k] of the weight's input. Errors (all three): absent, or another
  /// shape than W [n, k]; the sentence names weight, file and remedy.
  llvm::Expected<std::vector<float>> meanSquares(llvm::StringRef weight,
                                                 int64_t n, int64_t k) const;
  /// E[x xᵀ], upper triangle packed as InputStatistics::gram.
  llvm::Expected<std::vector<double>> gram(llvm::StringRef weight, int64_t n,
                                           int64_t k) const;
  /// Mean Σ g² [n, k] of a sequence, f32.
  llvm::Expected<std::vector<float>> fisher(llvm::StringRef weight, int64_t n,
                                            int64_t k) const;
  /// Success where the hash is absent (imported matrices) or that of `w`;
  /// otherwise a sentence: measured on another model.
  llvm::Error checkWeight(llvm::StringRef weight, const float *w, int64_t n,
                          int64_t k) const;

private:
  struct Impl;
  explicit StatisticsReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace mlir::cq

#endif // CQ_STATS_STATISTICS_H
