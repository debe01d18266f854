//===- Quantizer.cpp - Weights to codes and back --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Quantizer.h"
#include "CherryWalk.h"
#include "FeedbackQuantizer.h"
#include "Half.h"
#include "RowQuantizer.h"
#include "Support.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

StringRef mlir::cq::stringifyQuantizerKind(QuantizerKind kind) {
  switch (kind) {
  case QuantizerKind::RTN:
    return "rtn";
  case QuantizerKind::MSE:
    return "mse";
  case QuantizerKind::GPTQ:
    return "gptq";
  }
  return "";
}

std::optional<QuantizerKind> mlir::cq::parseQuantizerKind(StringRef text) {
  for (QuantizerKind kind :
       {QuantizerKind::RTN, QuantizerKind::MSE, QuantizerKind::GPTQ})
    if (text == stringifyQuantizerKind(kind))
      return kind;
  return std::nullopt;
}

static std::string formatFloat(float value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

static llvm::Error describe(const detail::RowFault &fault, int64_t row,
                            const Scheme &scheme) {
  std::string where =
      ("row " + Twine(row) + ", column " + Twine(fault.column)).str();
  if (!fault.isScale)
    return detail::makeError("the weight at " + where + " is " +
                             formatFloat(fault.value) +
                             "; only finite weights can be quantized");
  return detail::makeError(
      "the group at " + where + " has weights up to " +
      formatFloat(fault.value) + ", whose scale does not fit " +
      stringifyScaleType(scheme.scaleType) +
      (scheme.scaleType == ScaleType::F16 ? "; use bf16 or f32 scales" : ""));
}

/// The fault of the smallest row, so that the message does not depend on
/// threads.
namespace {
class FirstError {
public:
  void report(int64_t row, llvm::Error error) {
    std::lock_guard<std::mutex> lock(mutex);
    std::string sentence = llvm::toString(std::move(error));
    if (!message.empty() && row >= firstRow)
      return;
    firstRow = row;
    message = std::move(sentence);
  }
  llvm::Error take() {
    return message.empty() ? llvm::Error::success()
                           : detail::makeError(message);
  }

private:
  std::mutex mutex;
  int64_t firstRow = 0;
  std::string message;
};
} // namespace

static llvm::Error checkColumnWeights(const float *columnWeights, int64_t k) {
  for (int64_t column = 0; columnWeights && column < k; ++column)
    if (!(columnWeights[column] >= 0) ||
        !detail::isFinite(columnWeights[column]))
      return detail::makeError("the column weight of column " + Twine(column) +
                               " is " + formatFloat(columnWeights[column]) +
                               "; column weights are finite and not negative");
  return llvm::Error::success();
}

llvm::Error detail::checkPositions(const CherryPositions &cherries, int64_t n,
                                   int64_t k, bool ascending) {
  const CherrySpec &spec = cherries.spec;
  if (llvm::Error error = spec.check(n, k))
    return error;
  int64_t bytes = spec.numColumns(n, k) * spec.columnBytes();
  if (static_cast<int64_t>(cherries.columns.size()) != bytes)
    return makeError("the cherries have " + Twine(cherries.columns.size()) +
                     " bytes of columns, but their form and count make it " +
                     Twine(bytes));
  const uint8_t *columns = cherries.columns.data();
  int64_t rows = spec.form == CherryForm::Column ? 1 : n;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t previous = -1, bad = -1;
    int64_t block = -1;
    forEachCherry(spec, columns, n, k, row, [&](int64_t column, int64_t) {
      if (spec.form == CherryForm::Slot && column / 256 != block) {
        block = column / 256;
        previous = -1;
      }
      if (column >= k || (ascending && column <= previous))
        bad = column;
      previous = column;
    });
    if (bad >= 0)
      return makeError(
          "the cherries of row " + Twine(row) + " name column " + Twine(bad) +
          (bad >= k ? ", but the weight has " : " out of order among ") +
          Twine(k) + " columns");
  }
  return llvm::Error::success();
}

/// Deltas of all cherries, whose values are those of `w`, or of `values` in the
/// order of the delta plane.
static llvm::Error computeDeltas(QuantizedWeight &q, const float *w,
                                 const CherryPositions &cherries,
                                 const float *values) {
  const Scheme &scheme = q.scheme;
  int64_t k = q.k, groups = scheme.numGroups(k);
  std::string problem;
  for (int64_t row = 0; row < q.n && problem.empty(); ++row) {
    const Scheme rowScheme = q.schemeOf(row);
    detail::forEachCherry(
        cherries.spec, cherries.columns.data(), q.n, k, row,
        [&](int64_t column, int64_t index) {
          int64_t g = row * groups + column / scheme.groupLength(k);
          float level = decode(rowScheme, q.codes[row * k + column],
                               q.scales[g], q.zeros.empty() ? 0 : q.zeros[g]);
          float value = values ? values[index] : w[row * k + column];
          q.deltas[index] = detail::f32ToF16(value - level);
          if ((q.deltas[index] & 0x7c00) == 0x7c00 && problem.empty())
            problem = ("the cherry at row " + Twine(row) + ", column " +
                       Twine(column) + " is " + formatFloat(value) +
                       ", too far from its code for an f16 delta")
                          .str();
        });
  }
  return problem.empty() ? llvm::Error::success() : detail::makeError(problem);
}

llvm::Expected<QuantizedWeight>
mlir::cq::quantizeWeight(const float *w, int64_t n, int64_t k,
                         const Scheme &scheme, QuantizerKind quantizer,
                         const CherryPositions *cherries,
                         const QuantizerInputs &inputs) {
  if (llvm::Error error = scheme.check())
    return std::move(error);
  if (llvm::Error error = detail::checkShape(n, k))
    return std::move(error);
  if (llvm::Error error = detail::checkSegments(inputs.segments, n, scheme))
    return std::move(error);
  bool feedback = quantizer == QuantizerKind::GPTQ;
  if (feedback && (!inputs.moments || inputs.moments->columns() != k))
    return detail::makeError(
        inputs.moments ? "gptq was given second moments of " +
                             Twine(inputs.moments->columns()) +
                             " columns for a weight of " + Twine(k)
                       : Twine("gptq needs second moments of the input"));
  const float *columnWeights = inputs.columnWeights;
  if (feedback && !columnWeights)
    columnWeights = inputs.moments->meanSquares().data();
  if (llvm::Error error = checkColumnWeights(columnWeights, k))
    return std::move(error);
  if (cherries)
    if (llvm::Error error =
            detail::checkPositions(*cherries, n, k, /*ascending=*/true))
      return std::move(error);

  QuantizedWeight q;
  q.n = n;
  q.k = k;
  q.scheme = scheme;
  q.segments.assign(inputs.segments.begin(), inputs.segments.end());
  int64_t groups = scheme.numGroups(k);
  q.codes.resize(n * k);
  q.scales.resize(n * groups);
  if (scheme.hasZeroPoints())
    q.zeros.resize(n * groups);
  if (cherries)
    q.deltas.resize(cherries->spec.numDeltas(n, k));

  FirstError faults;
  detail::forSegments(q, 16, inputs.threads, [&](const Scheme &rowScheme) {
    auto rows = std::make_shared<detail::RowQuantizer>(
        k, rowScheme, quantizer, columnWeights, inputs.search);
    return [&, rows, rowScheme](int64_t begin, int64_t end) {
      detail::RowQuantizer::Scratch scratch;
      std::vector<uint8_t> isCherry(cherries ? k : 0);
      for (int64_t row = begin; row < end; ++row) {
        auto mark = [&](uint8_t value) {
          if (cherries)
            detail::forEachCherry(
                cherries->spec, cherries->columns.data(), n, k, row,
                [&](int64_t column, int64_t) { isCherry[column] = value; });
        };
        mark(1);
        std::optional<detail::RowFault> fault = rows->quantize(
            w + row * k, cherries ? isCherry.data() : nullptr,
            q.codes.data() + row * k, q.scales.data() + row * groups,
            scheme.hasZeroPoints() ? q.zeros.data() + row * groups : nullptr,
            scratch);
        if (fault)
          return faults.report(row, describe(*fault, row, rowScheme));
        mark(0);
      }
    };
  });
  if (llvm::Error error = faults.take())
    return std::move(error);
  std::vector<float> values;
  if (feedback)
    detail::compensate(q, w, cherries, *inputs.moments, inputs.gptq, values,
                       inputs.threads);
  if (cherries)
    if (llvm::Error error = computeDeltas(
            q, w, *cherries, values.empty() ? nullptr : values.data()))
      return std::move(error);
  return q;
}

float mlir::cq::decode(const Scheme &scheme, uint8_t code, float scale,
                       uint8_t zero) {
  int32_t u = code;
  switch (scheme.grid) {
  case Grid::Symmetric:
    return scale * static_cast<float>(u - scheme.offset());
  case Grid::Affine:
    return scale * static_cast<float>(u - zero);
  case Grid::HalfStep:
    return scale * 0.5f * static_cast<float>(2 * u - scheme.maxCode());
  }
  return 0;
}

void detail::decodeRow(const QuantizedWeight &q, int64_t row, float *out) {
  const Scheme scheme = q.schemeOf(row);
  int64_t groups = scheme.numGroups(q.k), length = scheme.groupLength(q.k);
  const uint8_t *codes = q.codes.data() + row * q.k;
  for (int64_t g = 0; g < groups; ++g) {
    // Every grid is factor · (step · u − origin), all exact integers.
    float factor = q.scales[row * groups + g];
    int32_t step = 1, origin = scheme.offset();
    if (scheme.grid == Grid::Affine) {
      origin = q.zeros[row * groups + g];
    } else if (scheme.grid == Grid::HalfStep) {
      factor *= 0.5f;
      step = 2;
      origin = scheme.maxCode();
    }
    int64_t last = std::min(q.k, (g + 1) * length);
    for (int64_t column = g * length; column < last; ++column)
      out[column] = factor * static_cast<float>(step * codes[column] - origin);
  }
}

void mlir::cq::dequantizeWeight(const QuantizedWeight &q,
                                const CherryPositions *cherries, float *out,
                                unsigned threads) {
  detail::parallelForRows(q.n, 64, threads, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float *to = out + q.originOf(row) * q.k;
      detail::decodeRow(q, row, to);
      if (cherries)
        detail::forEachCherry(cherries->spec, cherries->columns.data(), q.n,
                              q.k, row, [&](int64_t column, int64_t index) {
                                to[column] += detail::f16ToF32(q.deltas[index]);
                              });
    }
  });
}
