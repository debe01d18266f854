//===- MixedRows.cpp - Rows that are stored wider than others -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/MixedRows.h"
#include "RowQuantizer.h"
#include "Support.h"
#include <algorithm>
#include <numeric>

using namespace mlir::cq;
using llvm::Twine;

int64_t WideRows::roundedCount(int64_t numerator, int64_t denominator,
                               int64_t n) {
  if (numerator <= 0 || denominator <= 0 || n <= 0)
    return 0;
  // In f64: a share of rows is no large number, and products may overflow.
  double panels = static_cast<double>(n) / 16 * static_cast<double>(numerator) /
                  static_cast<double>(denominator);
  int64_t most = (n - 1) / 16;
  if (panels >= static_cast<double>(most))
    return most * 16;
  auto nearest = static_cast<int64_t>(panels + 0.5);
  return std::min(most, std::max<int64_t>(1, nearest)) * 16;
}

llvm::Error WideRows::check(int64_t n, const Scheme &scheme) const {
  if (count == 0)
    return llvm::Error::success();
  if (count < 0 || count % 16 != 0 || count >= n)
    return detail::makeError("wide rows are whole panels of 16 and fewer than "
                             "the weight's " +
                             Twine(n) + ", not " + Twine(count));
  if (bits <= scheme.bits)
    return detail::makeError("wide rows have more bits than the others' " +
                             Twine(scheme.bits) + ", not " + Twine(bits));
  return scheme.withBits(bits).check();
}

Layout WideRows::layout(LayoutKind kind, int64_t n, unsigned others) const {
  if (count == 0)
    return Layout::uniform(kind, n, others);
  Layout layout;
  layout.kind = kind;
  layout.segments = {{count, bits}, {n - count, others}};
  layout.permuted = true;
  return layout;
}

llvm::Error detail::checkSegments(llvm::ArrayRef<RowSegment> segments,
                                  int64_t n, const Scheme &scheme) {
  if (segments.empty())
    return llvm::Error::success();
  Layout layout;
  layout.kind = LayoutKind::Linear;
  layout.segments.assign(segments.begin(), segments.end());
  if (llvm::Error error = layout.check(n, 1))
    return error;
  for (const RowSegment &segment : segments)
    if (llvm::Error error = scheme.withBits(segment.bits).check())
      return error;
  return llvm::Error::success();
}

llvm::Expected<std::vector<uint32_t>>
mlir::cq::rankRows(const float *w, int64_t n, int64_t k, const Scheme &scheme,
                   int64_t count, const RowInputs &inputs) {
  QuantizerInputs options;
  options.threads = inputs.threads;
  auto rounded =
      quantizeWeight(w, n, k, scheme, QuantizerKind::RTN, nullptr, options);
  if (!rounded)
    return rounded.takeError();
  double squares = 0;
  for (int64_t j = 0; j < k; ++j)
    squares += inputs.columnWeights
                   ? static_cast<double>(inputs.columnWeights[j])
                   : 1.0;
  std::vector<double> impact(n);
  detail::parallelForRows(
      n, 64, inputs.threads, [&](int64_t begin, int64_t end) {
        std::vector<float> decoded(k);
        for (int64_t i = begin; i < end; ++i) {
          detail::decodeRow(*rounded, i, decoded.data());
          double error = 0, fisher = 0;
          for (int64_t j = 0; j < k; ++j) {
            double delta = static_cast<double>(w[i * k + j]) -
                           static_cast<double>(decoded[j]);
            double moment = inputs.columnWeights
                                ? static_cast<double>(inputs.columnWeights[j])
                                : 1.0;
            error += moment * delta * delta;
            if (inputs.fisher)
              fisher += static_cast<double>(inputs.fisher[i * k + j]);
          }
          if (inputs.fisher)
            error *= squares > 0 ? fisher / squares : 0;
          // An order needs numbers; what is none counts as no impact.
          impact[i] = error >= 0 ? error : 0;
        }
      });
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return impact[a] != impact[b] ? impact[a] > impact[b] : a < b;
  });
  std::sort(order.begin(), order.begin() + count);
  std::sort(order.begin() + count, order.end());
  return order;
}

std::vector<float> mlir::cq::permuteRows(const float *matrix, int64_t k,
                                         llvm::ArrayRef<uint32_t> order) {
  std::vector<float> out(order.size() * k);
  for (auto [row, from] : llvm::enumerate(order))
    std::copy_n(matrix + static_cast<int64_t>(from) * k, k,
                out.data() + static_cast<int64_t>(row) * k);
  return out;
}
