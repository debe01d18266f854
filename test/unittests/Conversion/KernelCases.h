//===- KernelCases.h - Random operands of kernel tests ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_CONVERSION_KERNELCASES_H
#define CQ_TEST_CONVERSION_KERNELCASES_H

#include "KernelHarness.h"
#include "gtest/gtest.h"
#include <random>

namespace mlir::cq::x86::test {

/// A quantized weight with all its planes where a kernel can be tested on it.
struct WeightCase {
  WeightCase() = default;
  WeightCase(WeightCase &&) = default;
  WeightCase &operator=(WeightCase &&) = default;

  WeightSpec spec;
  QuantizedWeight quantized;
  CherryPositions cherries;
  std::vector<GuardedBuffer>
      planes; ///< codes, scales[, zeros][, columns, deltas][, row order]

  const CherryPositions *positions() const {
    return spec.cherries.form == CherryForm::None ? nullptr : &cherries;
  }
};

inline std::vector<float> randomValues(int64_t count, unsigned seed,
                                       float scale) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float &x : values) {
    float sum = 0;
    for (int i = 0; i < 4; ++i)
      sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
    x = sum * scale;
    if (random() % 97 == 0)
      x *= 6;
  }
  return values;
}

inline WeightCase makeWeight(int64_t n, int64_t k, const Scheme &scheme,
                             const Layout &layout, const CherrySpec &cherries,
                             unsigned seed) {
  WeightCase result;
  result.spec = {scheme, layout, cherries, n, k};
  std::vector<float> w = randomValues(n * k, seed, 0.1f);
  // A group of nothing but zeros has scale 0.
  if (n > 1)
    std::fill_n(w.begin(), std::min<int64_t>(k, scheme.groupLength(k)), 0.0f);
  if (result.positions()) {
    auto selected =
        selectCherries(w.data(), n, k, cherries, CherryCriterion::Magnitude,
                       scheme, {nullptr, nullptr, nullptr, 1});
    if (!selected)
      ADD_FAILURE() << llvm::toString(selected.takeError());
    else
      result.cherries = *selected;
  }
  QuantizerInputs inputs{nullptr, 1};
  if (layout.isMixed())
    inputs.segments = layout.segments;
  auto quantized = quantizeWeight(w.data(), n, k, scheme, QuantizerKind::RTN,
                                  result.positions(), inputs);
  if (!quantized) {
    ADD_FAILURE() << llvm::toString(quantized.takeError());
    return result;
  }
  result.quantized = std::move(*quantized);
  // Any order will do; 7 divides no number of rows of these tests.
  for (int64_t row = 0; row < n && layout.permuted; ++row)
    result.quantized.order.push_back((7 * row + 3) % n);
  PackedWeight packed =
      packWeight(result.quantized, result.positions(), layout);
  for (auto *plane :
       {&packed.codes, &packed.scales, &packed.zeros, &packed.cherryColumns,
        &packed.cherryDeltas, &packed.rowOrder})
    if (!plane->empty())
      result.planes.emplace_back(plane->data(), plane->size());
  return result;
}

/// The planes as arguments, in the kernels' order.
inline void appendPlanes(WeightCase &w,
                         SmallVectorImpl<KernelHarness::Argument> &arguments) {
  const WeightSpec &s = w.spec;
  auto next = w.planes.begin();
  int64_t scales = s.layout.scaleEntries(s.n, s.k, s.scheme);
  arguments.push_back({next++->as<void>(), {s.layout.codeBytes(s.n, s.k)}});
  arguments.push_back({next++->as<void>(), {scales}});
  if (s.scheme.hasZeroPoints())
    arguments.push_back({next++->as<void>(), {scales}});
  // A form may hold no entry at all for a small K.
  if (s.cherries.form != CherryForm::None) {
    bool present = s.cherries.numColumns(s.n, s.k) != 0;
    arguments.push_back({present ? next++->as<void>() : nullptr,
                         {s.cherries.numColumns(s.n, s.k)}});
    arguments.push_back({present ? next++->as<void>() : nullptr,
                         {s.cherries.numDeltas(s.n, s.k)}});
  }
  if (s.layout.permuted)
    arguments.push_back({next++->as<void>(), {s.n}});
}

/// All valid schemes; scale types take turns.
inline std::vector<Scheme> allSchemes() {
  std::vector<Scheme> result;
  unsigned turn = 0;
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (int64_t group : {32, 64, 128, 0})
      for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
        if (grid != Grid::HalfStep || bits <= 4)
          result.push_back(
              {bits, group, grid, static_cast<ScaleType>(turn++ % 3)});
  return result;
}

/// Cherries in every form, for a turn counter.
inline CherrySpec cherriesOf(unsigned turn, int64_t k) {
  switch (turn % 5) {
  case 1:
    return {CherryForm::Slot, 2};
  case 2:
    return {CherryForm::Column, std::min<int64_t>(k, 3)};
  case 3:
    return {CherryForm::Element, std::min<int64_t>(k, 5)};
  default:
    return {};
  }
}

/// Everything this machine can execute: its own levels and all emulated ones.
inline std::vector<ISA> allLevels() {
  std::vector<ISA> result;
  for (bool emulated : {false, true})
    for (ISALevel level : kISALevels)
      if (!(emulated && level == ISALevel::AVX2)) // AVX2 itself is always there
        result.push_back({level, emulated});
  return result;
}

inline std::string levelName(const testing::TestParamInfo<ISA> &info) {
  std::string name = info.param.str();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

} // namespace mlir::cq::x86::test

#endif // CQ_TEST_CONVERSION_KERNELCASES_H
