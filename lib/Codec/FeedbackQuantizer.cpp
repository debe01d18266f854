//===- FeedbackQuantizer.cpp - gptq on panels of rows ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FeedbackQuantizer.h"
#include "CherryWalk.h"
#include "Half.h"
#include "RowQuantizer.h"
#include "Support.h"
#include <algorithm>

using namespace mlir::cq;
using namespace mlir::cq::detail;

/// Columns rounded before the columns in front of them hear of it.
static constexpr int64_t roundBlock = 32;
/// Columns of one group that descend together.
static constexpr int64_t descentBlock = 128;

namespace {

/// Up to `panelRows` rows of a weight, column after column, and the steps of
/// the algorithm on them. One a thread, used again for the next rows.
class Panel {
public:
  /// `scheme`: of its rows.
  Panel(QuantizedWeight &q, const Scheme &scheme, const float *w,
        const CherryPositions *cherries, const SecondMoments &moments,
        const GPTQOptions &options, const FeedbackKernels &kernels);

  /// Rows [begin, end).
  void run(int64_t begin, int64_t end, float *cherryValues, RowErrors &errors);

private:
  using Rows = std::vector<float>; ///< [columns, panelRows]
  struct Group {
    int64_t begin, end;
    PanelGrid grid;
    float *scale, *inverse; ///< of grid
  };
  float *at(Rows &rows, int64_t column) {
    return rows.data() + column * panelRows;
  }
  PanelColumns columnsFrom(int64_t column);
  /// The code that stands for level `shift` in a group [row, group].
  float offsetOf(int64_t index) const {
    return q.zeros.empty() ? static_cast<float>(1 << (scheme.bits - 1))
                           : static_cast<float>(q.zeros[index]);
  }

  void load(int64_t begin, int64_t end);
  void setScale(Group &group, int64_t row, float scale);
  /// δ H δᵀ of each row.
  void measure(float *error);
  /// GPTQ: from the last place to the first.
  void round();
  /// Least-squares scale of a group given its codes.
  void refit(Group &group);
  void descend(const Group &group, int64_t begin, int64_t end);
  void gradientOf(int64_t begin, int64_t end, float *out);
  void save(int64_t begin, int64_t end, float *cherryValues,
            const RowErrors &errors);

  QuantizedWeight &q;
  const Scheme scheme; ///< of the panel's rows
  const float *source;
  const CherryPositions *cherries;
  const SecondMoments &moments;
  const GPTQOptions &options;
  const FeedbackKernels &kernels;
  const int64_t k;
  Levels levels;
  std::vector<Group> groups;
  std::vector<int32_t> groupOf; ///< [k]
  Rows w, delta, level;         ///< by column
  Rows placedW, placedDelta, placedLevel;
  Rows gradient, product, grids;
  std::vector<uint32_t> isCherry, placedCherry;
};

} // namespace

Panel::Panel(QuantizedWeight &q, const Scheme &scheme, const float *w,
             const CherryPositions *cherries, const SecondMoments &moments,
             const GPTQOptions &options, const FeedbackKernels &kernels)
    : q(q), scheme(scheme), source(w), cherries(cherries), moments(moments),
      options(options), kernels(kernels), k(q.k), levels(levelsOf(scheme)) {
  int64_t length = scheme.groupLength(k), count = scheme.numGroups(k);
  for (Rows *rows :
       {&this->w, &delta, &level, &placedW, &placedDelta, &placedLevel})
    rows->resize(k * panelRows);
  int64_t longest = std::max(std::min(length, k), roundBlock);
  gradient.resize(longest * panelRows);
  product.resize(longest * panelRows);
  grids.resize(4 * count * panelRows);
  groupOf.resize(k);
  isCherry.resize(k);
  placedCherry.resize(k);
  for (int64_t g = 0; g < count; ++g) {
    float *base = grids.data() + 4 * g * panelRows;
    groups.push_back({g * length,
                      std::min(k, (g + 1) * length),
                      {base, base + panelRows, base + 2 * panelRows,
                       base + 3 * panelRows, levels.shift},
                      base,
                      base + panelRows});
    for (int64_t column = groups[g].begin; column < groups[g].end; ++column)
      groupOf[column] = static_cast<int32_t>(g);
  }
}

PanelColumns Panel::columnsFrom(int64_t column) {
  return {at(w, column), at(level, column), at(delta, column),
          cherries ? isCherry.data() + column : nullptr};
}

void Panel::setScale(Group &group, int64_t row, float scale) {
  group.scale[row] = scale;
  group.inverse[row] = scale == 0 ? 0.0f : 1.0f / scale;
}

void Panel::load(int64_t begin, int64_t end) {
  std::fill(isCherry.begin(), isCherry.end(), 0u);
  for (int64_t g = 0; g < static_cast<int64_t>(groups.size()); ++g)
    std::fill_n(grids.data() + 4 * g * panelRows, 4 * panelRows, 0.0f);
  int64_t count = static_cast<int64_t>(groups.size());
  for (int64_t row = 0; row < panelRows; ++row) {
    bool padding = begin + row >= end;
    for (int64_t g = 0; g < count && !padding; ++g) {
      int64_t index = (begin + row) * count + g;
      setScale(groups[g], row, q.scales[index]);
      float zero = q.zeros.empty() ? 0.0f : q.zeros[index];
      grids[(4 * g + 2) * panelRows + row] = levels.lowest - zero;
      grids[(4 * g + 3) * panelRows + row] = levels.highest - zero;
    }
    const float *from = source + (begin + row) * k;
    const uint8_t *codes = q.codes.data() + (begin + row) * k;
    for (int64_t column = 0; column < k; ++column) {
      int64_t to = column * panelRows + row;
      w[to] = padding ? 0.0f : from[column];
      level[to] = delta[to] = 0.0f;
      if (padding)
        continue;
      int64_t index = (begin + row) * count + groupOf[column];
      level[to] =
          static_cast<float>(codes[column]) - offsetOf(index) + levels.shift;
      delta[to] = from[column] - q.scales[index] * level[to];
    }
    if (cherries && !padding)
      forEachCherry(cherries->spec, cherries->columns.data(), q.n, k,
                    begin + row, [&](int64_t column, int64_t) {
                      isCherry[column] |= 1u << row;
                      delta[column * panelRows + row] = 0.0f;
                    });
  }
}

void Panel::gradientOf(int64_t begin, int64_t end, float *out) {
  std::fill_n(out, (end - begin) * panelRows, 0.0f);
  kernels.product(out, end - begin, moments.matrix() + begin * k, k,
                  delta.data(), 0, k);
}

void Panel::measure(float *error) {
  std::fill_n(error, panelRows, 0.0f);
  for (int64_t begin = 0; begin < k; begin += roundBlock) {
    int64_t end = std::min(begin + roundBlock, k);
    gradientOf(begin, end, gradient.data());
    float part[panelRows];
    kernels.dot(gradient.data(), at(delta, begin), end - begin, part);
    for (int64_t row = 0; row < panelRows; ++row)
      error[row] += part[row];
  }
}

void Panel::round() {
  const std::vector<int32_t> &order = moments.order();
  for (int64_t place = 0; place < k; ++place) {
    std::copy_n(at(w, order[place]), panelRows, at(placedW, place));
    placedCherry[place] = isCherry[order[place]];
  }
  std::vector<PanelGrid> placedGrids(roundBlock);
  for (int64_t end = k; end > 0;) {
    int64_t begin = std::max<int64_t>(end - roundBlock, 0);
    for (int64_t place = begin; place < end; ++place)
      placedGrids[place - begin] = groups[groupOf[order[place]]].grid;
    float *target = gradient.data();
    std::copy_n(at(placedW, begin), (end - begin) * panelRows, target);
    const float *feedback = moments.feedback() + begin * k;
    kernels.product(target, end - begin, feedback, k, placedDelta.data(), end,
                    k);
    kernels.round({at(placedW, begin), at(placedLevel, begin),
                   at(placedDelta, begin),
                   cherries ? placedCherry.data() + begin : nullptr},
                  end - begin, target, feedback + begin, k, placedGrids.data());
    end = begin;
  }
  for (int64_t place = 0; place < k; ++place) {
    std::copy_n(at(placedDelta, place), panelRows, at(delta, order[place]));
    std::copy_n(at(placedLevel, place), panelRows, at(level, order[place]));
  }
}

void Panel::refit(Group &group) {
  int64_t begin = group.begin, count = group.end - begin;
  // Cherries stand still: they are no multiples of the scale.
  float *own = at(level, begin);
  Rows kept;
  if (cherries) {
    kept.assign(own, own + count * panelRows);
    for (int64_t i = 0; i < count; ++i)
      for (uint32_t bits = isCherry[begin + i]; bits; bits &= bits - 1)
        kept[i * panelRows + __builtin_ctz(bits)] = 0.0f;
    own = kept.data();
  }
  std::fill_n(product.data(), count * panelRows, 0.0f);
  kernels.product(product.data(), count, moments.matrix() + begin * k + begin,
                  k, own, 0, count);
  float cross[panelRows], square[panelRows], step[panelRows];
  kernels.dot(gradient.data(), own, count, cross);
  kernels.dot(product.data(), own, count, square);
  bool any = false;
  for (int64_t row = 0; row < panelRows; ++row) {
    float old = group.scale[row];
    step[row] = 0.0f;
    if (old == 0 || !(square[row] > 0))
      continue;
    float best = old + cross[row] / square[row];
    float next = roundScale(best, scheme.scaleType);
    // The error is a parabola around `best`: nearer is better.
    if (next == 0 || !isFinite(next) ||
        !(std::fabs(next - best) < std::fabs(old - best)))
      continue;
    setScale(group, row, next);
    step[row] = next - old;
    any = true;
  }
  if (!any)
    return;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t row = 0; row < panelRows; ++row) {
      int64_t index = i * panelRows + row;
      gradient[index] -= step[row] * product[index];
      float &d = delta[begin * panelRows + index];
      bool moves = step[row] != 0 && !(isCherry[begin + i] >> row & 1);
      float next = w[begin * panelRows + index] - group.scale[row] * own[index];
      d = moves ? next : d;
    }
}

void Panel::descend(const Group &group, int64_t begin, int64_t end) {
  kernels.descend(columnsFrom(begin), end - begin, gradient.data(),
                  moments.matrix() + begin * k + begin, k, group.grid);
}

void Panel::run(int64_t begin, int64_t end, float *cherryValues,
                RowErrors &errors) {
  load(begin, end);
  float before[panelRows], after[panelRows];
  measure(before);
  round();
  for (unsigned sweep = 0; sweep < options.sweeps; ++sweep)
    for (Group &group : groups) {
      bool isShort = group.end - group.begin <= descentBlock;
      if (options.refit || isShort)
        gradientOf(group.begin, group.end, gradient.data());
      if (options.refit)
        refit(group);
      for (int64_t from = group.begin; from < group.end; from += descentBlock) {
        int64_t to = std::min(from + descentBlock, group.end);
        if (!isShort)
          gradientOf(from, to, gradient.data());
        descend(group, from, to);
        if (isShort)
          for (unsigned again = 1; again < options.inner; ++again) {
            if (options.refit)
              refit(group);
            descend(group, from, to);
          }
      }
    }
  measure(after);
  std::copy_n(before, end - begin, errors.before.begin() + begin);
  std::copy_n(after, end - begin, errors.after.begin() + begin);
  save(begin, end, cherryValues, errors);
}

void Panel::save(int64_t begin, int64_t end, float *cherryValues,
                 const RowErrors &errors) {
  int64_t count = static_cast<int64_t>(groups.size());
  for (int64_t row = 0; row < end - begin; ++row) {
    const float *from = source + (begin + row) * k;
    // Also keeps the old codes where an error is not a number.
    bool better = errors.after[begin + row] < errors.before[begin + row];
    if (better)
      for (int64_t g = 0; g < count; ++g)
        q.scales[(begin + row) * count + g] = groups[g].scale[row];
    for (int64_t column = 0; column < k && better; ++column) {
      int64_t index = (begin + row) * count + groupOf[column];
      q.codes[(begin + row) * k + column] = static_cast<uint8_t>(
          level[column * panelRows + row] - levels.shift + offsetOf(index));
    }
    auto setCherry = [&](int64_t column, int64_t index) {
      cherryValues[index] = from[column];
      if (!better)
        return;
      cherryValues[index] -= delta[column * panelRows + row];
      // The scale may have changed since its level was chosen.
      const Group &group = groups[groupOf[column]];
      float t = cherryValues[index] * group.inverse[row] - levels.shift;
      t = std::clamp(t, group.grid.lowest[row], group.grid.highest[row]);
      t = t + 0x1.8p23f - 0x1.8p23f;
      q.codes[(begin + row) * k + column] = static_cast<uint8_t>(
          t + offsetOf((begin + row) * count + groupOf[column]));
    };
    if (cherries)
      forEachCherry(cherries->spec, cherries->columns.data(), q.n, k,
                    begin + row, setCherry);
  }
}

RowErrors detail::compensate(QuantizedWeight &q, const float *w,
                             const CherryPositions *cherries,
                             const SecondMoments &moments,
                             const GPTQOptions &options,
                             std::vector<float> &cherryValues, unsigned threads,
                             const FeedbackKernels &kernels) {
  if (cherries && cherries->spec.form == CherryForm::None)
    cherries = nullptr;
  cherryValues.resize(cherries ? cherries->spec.numDeltas(q.n, q.k) : 0);
  RowErrors errors{std::vector<float>(q.n), std::vector<float>(q.n)};
  // Some panels a task, which share its memory.
  forSegments(q, 4 * panelRows, threads, [&](const Scheme &scheme) {
    return [&, scheme](int64_t begin, int64_t end) {
      Panel panel(q, scheme, w, cherries, moments, options, kernels);
      for (int64_t row = begin; row < end; row += panelRows)
        panel.run(row, std::min(row + panelRows, end), cherryValues.data(),
                  errors);
    };
  });
  return errors;
}
