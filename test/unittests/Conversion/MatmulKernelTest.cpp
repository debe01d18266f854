//===- MatmulKernelTest.cpp - Products equal the oracle bit for bit -------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCases.h"
#include "cq/Codec/MixedRows.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include <cstdlib>
#include <cstring>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace {

struct MatmulCase {
  MatmulSpec spec; ///< m as the kernel is built (may be dynamic)
  int64_t tokens;
  WeightCase weight;
  std::string name;
};

/// Writes a case's kernels; where x may be given by columns, two of three take
/// it so.
void addKernels(OpBuilder &builder, MatmulCase &c, size_t number,
                KernelCache *cache = nullptr) {
  MLIRContext *context = builder.getContext();
  Location loc = builder.getUnknownLoc();
  c.spec.transposed = number % 3 != 2 && wantsTransposed(c.spec);
  c.name = c.spec.name() + "_" + std::to_string(number);
  MatmulTypes types = MatmulTypes::get(context, c.spec);
  buildMatmulKernel(builder, loc, c.name, c.spec, types, cache);
  if (c.spec.transposed)
    buildTransposeKernel(
        builder, loc, c.name + "_columns",
        MemRefType::get({c.spec.m, c.spec.weight.k}, builder.getF32Type()),
        types.x);
}

/// x by columns (transposedType); tokens past the last repeat it, columns past
/// the last block with cherries are not a number.
std::vector<float> columnsOf(const std::vector<float> &x, int64_t m, int64_t k,
                             ArrayRef<int64_t> shape) {
  std::vector<float> result(shape[0] * shape[1] * shape[2]);
  std::memset(result.data(), 0xFF, 4 * result.size());
  for (int64_t token = 0; token < shape[0] * shape[2]; ++token)
    for (int64_t column = 0; column < std::min(k, shape[1]); ++column)
      result[(token / shape[2] * shape[1] + column) * shape[2] +
             token % shape[2]] = x[std::min(token, m - 1) * k + column];
  return result;
}

/// Runs a kernel in two ranges of panels, as the thread pool does. Its results
/// are compared where there is something to compare them with.
void runKernel(KernelHarness &harness, MatmulCase &c,
               const std::vector<float> &x,
               const std::vector<float> *want = nullptr) {
  const WeightSpec &w = c.spec.weight;
  int64_t m = c.tokens, group = activationGroup(w.scheme);
  QuantizedActivations q = quantizeActivations(x.data(), m, w.k, group);
  int64_t groups = (w.k + group - 1) / group;
  GuardedBuffer xs(x.data(), 4 * m * w.k), codes(q.codes.data(), m * w.k),
      scales(q.scales.data(), 4 * m * groups),
      sums(q.sums.data(), 4 * m * groups), y(4 * m * w.n);
  std::fill_n(y.as<float>(), m * w.n, 1e30f);
  SmallVector<KernelHarness::Argument> arguments;
  std::optional<GuardedBuffer> columns;
  if (c.spec.transposed) {
    MemRefType type = transposedType(harness.context(), m, w.k);
    ArrayRef<int64_t> shape = type.getShape();
    columns.emplace(4 * type.getNumElements());
    // What no token has is not a number.
    std::fill_n(columns->as<uint32_t>(), type.getNumElements(), ~0u);
    KernelHarness::Argument from{xs.as<void>(), {m, w.k}},
        to{columns->as<void>(), {shape[0], shape[1], shape[2]}};
    // Ranges that begin and end among the eight tokens of a vector.
    for (auto [begin, end] :
         {std::pair(m / 2, m), std::pair<int64_t, int64_t>(0, m / 3),
          std::pair(m / 3, m / 2)})
      EXPECT_TRUE(harness.call(c.name + "_columns", {from, to}, begin, end));
    std::vector<float> transposed = columnsOf(x, m, w.k, shape);
    EXPECT_TRUE(harness.holds(1, transposed.data(), columns->size()));
    // Where kernels are recorded, none has written them.
    std::memcpy(columns->as<void>(), transposed.data(), columns->size());
    arguments.push_back(to);
  } else if (c.spec.needsFloatActivations()) {
    arguments.push_back({xs.as<void>(), {m, w.k}});
  }
  if (c.spec.mode == ActivationMode::Int8) {
    arguments.push_back({codes.as<void>(), {m, w.k}});
    arguments.push_back({scales.as<void>(), {m, groups}});
    arguments.push_back({sums.as<void>(), {m, groups}});
  }
  appendPlanes(c.weight, arguments);
  arguments.push_back({y.as<void>(), {m, w.n}});
  int64_t panels = w.numPanels(), half = panels / 2;
  EXPECT_TRUE(harness.call(c.name, arguments, half, panels));
  EXPECT_TRUE(harness.call(c.name, arguments, 0, half));
  if (!want ||
      harness.holds(arguments.size() - 1, want->data(), 4 * want->size()))
    return;
  const float *got = y.as<float>();
  for (size_t i = 0; i < want->size(); ++i)
    if (std::memcmp(&got[i], &(*want)[i], 4) != 0) {
      ADD_FAILURE() << c.name << ": token " << i / w.n << ", row " << i % w.n
                    << ": got " << got[i] << ", the reference is "
                    << (*want)[i];
      return;
    }
}

void checkAll(std::vector<MatmulCase> &cases) {
  // Modules of a few kernels keep the JIT's memory small.
  for (size_t begin = 0; begin < cases.size(); begin += 16) {
    size_t end = std::min(cases.size(), begin + 16);
    KernelHarness harness;
    OpBuilder builder = harness.builder();
    // Half of them in one piece, half as calls of what all have in common.
    KernelCache cache(cast<ModuleOp>(builder.getBlock()->getParentOp()));
    for (size_t i = begin; i < end; ++i) {
      addKernels(builder, cases[i], i, i % 2 == 0 ? &cache : nullptr);
    }
    ASSERT_TRUE(harness.compile());
    for (size_t i = begin; i < end; ++i) {
      MatmulCase &c = cases[i];
      const WeightSpec &w = c.spec.weight;
      std::vector<float> x =
          randomValues(c.tokens * w.k, 77 + static_cast<unsigned>(i), 1.0f);
      // A group of zeros has scale 0.
      std::fill_n(x.begin(), std::min<int64_t>(w.k, 40), 0.0f);
      std::vector<float> want(c.tokens * w.n);
      referenceGemm(x.data(), c.tokens, c.weight.quantized,
                    c.weight.positions(), c.spec.mode, want.data());
      runKernel(harness, c, x, &want);
    }
  }
}

MatmulCase makeCase(ISA isa, const Scheme &scheme, ActivationMode mode,
                    int64_t n, int64_t k, int64_t tokens, bool dynamic,
                    LayoutKind kind, const CherrySpec &cherries,
                    unsigned seed) {
  MatmulCase c;
  c.weight = makeWeight(n, k, scheme, Layout::uniform(kind, n, scheme.bits),
                        cherries, seed);
  c.spec = {c.weight.spec, mode, dynamic ? ShapedType::kDynamic : tokens, isa};
  c.tokens = tokens;
  return c;
}

class MatmulKernel : public testing::TestWithParam<ISA> {
protected:
  void SetUp() override {
    if (!KernelHarness::canRun(GetParam()))
      GTEST_SKIP() << "this CPU has no " << GetParam().str();
  }
};

constexpr int64_t kRowCounts[] = {33, 16, 5, 48, 1, 31};
constexpr int64_t kColumnCounts[] = {576, 100, 64, 172, 257, 31, 384, 1};
constexpr int64_t kTokenCounts[] = {1, 2, 4, 8, 3, 13, 1, 21};

/// Every `stride`-th scheme, each with another shape, token count and cherry
/// form. CQ_TEST_EXHAUSTIVE=1 takes them all, three times over.
void checkSchemes(ISA isa, ActivationMode mode, LayoutKind kind,
                  unsigned stride) {
  bool exhaustive = std::getenv("CQ_TEST_EXHAUSTIVE") != nullptr;
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (unsigned round = 0; round < (exhaustive ? 3 : 1); ++round)
    for (const Scheme &scheme : allSchemes()) {
      unsigned i = turn++;
      if (!exhaustive && i % stride != 0)
        continue;
      // Co-prime strides pair every value with every other sooner or later.
      i = i / (exhaustive ? 1 : stride) + 7 * round + stride;
      int64_t k = kColumnCounts[(i + round) % 8];
      cases.push_back(makeCase(isa, scheme, mode, kRowCounts[i % 6], k,
                               kTokenCounts[(i / 2 + round) % 8], i % 9 == 8,
                               kind, cherriesOf(i + round, k), i));
    }
  checkAll(cases);
}

} // namespace

// Levels differ in unpacking and dot product; what surrounds these is seen on
// the native ones. 5 and 7 divide neither the number of grids nor of groups.
TEST_P(MatmulKernel, Int8ActivationsEqualReference) {
  checkSchemes(GetParam(), ActivationMode::Int8, LayoutKind::Panel16,
               GetParam().emulated ? 5 : 1);
}
TEST_P(MatmulKernel, FloatActivationsEqualReference) {
  checkSchemes(GetParam(), ActivationMode::F32, LayoutKind::Panel16,
               GetParam().emulated ? 19 : 5);
}
TEST_P(MatmulKernel, LinearPlanesEqualReference) {
  checkSchemes(GetParam(), ActivationMode::Int8, LayoutKind::Linear,
               GetParam().emulated ? 19 : 5);
  checkSchemes(GetParam(), ActivationMode::F32, LayoutKind::Linear,
               GetParam().emulated ? 31 : 11);
}

/// Panels unpacked in several pieces, and more tokens than one unpacking
/// serves.
TEST_P(MatmulKernel, LongRowsEqualReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u})
    for (int64_t tokens : {3, 4, 7, 22, 259}) {
      // Pieces of 768, or of 128 columns; the last is shorter, or ends in half
      // a group, or in one quad.
      const int64_t columns[] = {2240, 1028, 1600, 1096};
      if (++turn % 3 != 0 && GetParam().emulated)
        continue;
      Scheme scheme{bits, 32 << (turn % 3),
                    turn % 2 ? Grid::Symmetric : Grid::Affine};
      int64_t k = columns[turn % 4];
      cases.push_back(makeCase(GetParam(), scheme, ActivationMode::Int8,
                               tokens > 100 ? 17 : 37, k, tokens, false,
                               LayoutKind::Panel16, cherriesOf(turn, k), turn));
    }
  checkAll(cases);
}

/// Cherry columns past the end of K (a damaged archive) read nothing outside x:
/// its last byte lies before a guard page.
TEST_P(MatmulKernel, DamagedCherryColumnsStayInside) {
  std::vector<MatmulCase> cases;
  for (CherryForm form :
       {CherryForm::Slot, CherryForm::Column, CherryForm::Element}) {
    MatmulCase c =
        makeCase(GetParam(), {4, 64, Grid::Symmetric, ScaleType::F16},
                 ActivationMode::Int8, 17, 400, 1, false, LayoutKind::Panel16,
                 {form, 2}, 3);
    GuardedBuffer &columns = c.weight.planes[2];
    std::fill_n(columns.as<uint8_t>(), columns.size(), uint8_t(0xFF));
    cases.push_back(std::move(c));
  }
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  for (auto [i, c] : llvm::enumerate(cases))
    addKernels(builder, c, i);
  ASSERT_TRUE(harness.compile());
  for (MatmulCase &c : cases)
    runKernel(harness, c, std::vector<float>(400, 1.0f));
}

/// Rows in segments, each with a ragged end in linear planes.
TEST_P(MatmulKernel, RowSegmentsEqualReference) {
  std::vector<MatmulCase> cases;
  for (LayoutKind kind : {LayoutKind::Panel16, LayoutKind::Linear}) {
    bool panels = kind == LayoutKind::Panel16;
    Scheme scheme{3, 64, Grid::Symmetric, ScaleType::F16};
    Layout layout;
    layout.kind = kind;
    layout.segments = {{panels ? 32 : 19, 3}, {panels ? 16 : 30, 3}, {9, 3}};
    int64_t n = panels ? 57 : 58;
    MatmulCase c;
    c.weight = makeWeight(n, 172, scheme, layout, {CherryForm::Column, 2}, 4);
    c.spec = {c.weight.spec, ActivationMode::Int8, 2, GetParam()};
    c.tokens = 2;
    cases.push_back(std::move(c));
  }
  checkAll(cases);
}

/// Rows of two widths in an order of their own: all pairs of widths, every
/// grid and form of cherries, ragged last panels, one token and many.
TEST_P(MatmulKernel, MixedRowsEqualReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (auto [bits, wide] : {std::pair(2u, 3u),
                            {2u, 4u},
                            {2u, 8u},
                            {3u, 4u},
                            {3u, 5u},
                            {3u, 8u},
                            {4u, 5u},
                            {4u, 6u},
                            {4u, 8u},
                            {5u, 6u},
                            {6u, 8u}})
    for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
      for (LayoutKind kind : {LayoutKind::Panel16, LayoutKind::Linear}) {
        ++turn;
        if ((grid == Grid::HalfStep && wide > 4) ||
            (kind == LayoutKind::Linear && turn % 3 != 0) ||
            (GetParam().emulated && turn % 4 != 0))
          continue;
        const int64_t rows[] = {17, 33, 48, 100, 31},
                      columns[] = {576, 100, 257, 31};
        int64_t n = rows[turn % 5], k = columns[turn % 4];
        Scheme scheme{bits, 32 << (turn % 3), grid,
                      static_cast<ScaleType>(turn % 3)};
        Layout layout =
            WideRows{WideRows::roundedCount(1, 1 + turn % 4, n), wide}.layout(
                kind, n, bits);
        MatmulCase c;
        c.weight = makeWeight(n, k, scheme, layout, cherriesOf(turn, k), turn);
        const int64_t tokenCounts[] = {1, 3, 11, 18, 16};
        int64_t tokens = tokenCounts[turn % 5];
        c.spec = {c.weight.spec,
                  turn % 4 == 3 ? ActivationMode::F32 : ActivationMode::Int8,
                  turn % 7 == 0 ? ShapedType::kDynamic : tokens, GetParam()};
        c.tokens = tokens;
        cases.push_back(std::move(c));
      }
  checkAll(cases);
}

/// Sums that wait in y for the next block of columns: rows in place and in an
/// order of their own, ragged panels, an incomplete last group and block.
TEST_P(MatmulKernel, BlocksOfColumnsEqualReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
    for (int64_t group : {64, 128, 0}) {
      if (++turn % 2 == 0 || (GetParam().emulated && turn != 5))
        continue;
      Scheme scheme{3, group, grid};
      Layout layout = WideRows{16, 4}.layout(LayoutKind::Panel16, 37, 3);
      layout.permuted = turn % 4 == 1;
      int64_t k = group == 0 ? 4228 : 4448;
      MatmulCase c;
      c.weight = makeWeight(37, k, scheme, layout, cherriesOf(turn, k), turn);
      c.spec = {c.weight.spec, ActivationMode::Int8, 66, GetParam()};
      c.tokens = 66;
      cases.push_back(std::move(c));
    }
  checkAll(cases);
}

/// Tokens that leave one, two or three for the last tile, in the shortest
/// groups: a tile of few tokens takes other steps than those of eight.
TEST_P(MatmulKernel, LastTileOfFewTokensEqualsReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (int64_t tokens : {17, 18, 67}) {
      if (++turn % 3 != 0 && GetParam().emulated)
        continue;
      cases.push_back(makeCase(GetParam(), Scheme{bits, 32},
                               ActivationMode::Int8, 48, 32 * (3 + turn % 8),
                               tokens, false, LayoutKind::Panel16, {}, turn));
    }
  checkAll(cases);
}

/// Cherries of x by columns: the last token block and panel are incomplete,
/// K ends with a block of 256, before, or behind it, slots are one or more,
/// rows are permuted or not.
TEST_P(MatmulKernel, CherriesByColumnEqualReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (int64_t k : {288, 512, 416})
    for (int64_t tokens : {16, 72, 23, 8, 11}) {
      if (++turn % 2 != 0 && GetParam().emulated)
        continue;
      MatmulCase c = makeCase(GetParam(), Scheme{3, 64}, ActivationMode::Int8,
                              37, k, tokens, false, LayoutKind::Panel16,
                              {CherryForm::Slot, 1 + turn % 3}, turn);
      if (turn % 2 == 0) {
        Layout layout = WideRows{16, 4}.layout(LayoutKind::Panel16, 37, 3);
        c.weight = makeWeight(37, k, Scheme{3, 64}, layout,
                              {CherryForm::Slot, 1 + turn % 3}, turn);
        c.spec.weight = c.weight.spec;
      }
      EXPECT_TRUE(wantsTransposed(c.spec));
      cases.push_back(std::move(c));
    }
  checkAll(cases);
}

/// Cherries of few tokens, which registers of 512 bits look up in tables:
/// panels of more than one table and of a ragged end, K ends with a block of
/// 256, in one, or behind it, slots are one or more, rows are permuted or not.
TEST_P(MatmulKernel, CherriesByTableEqualReference) {
  std::vector<MatmulCase> cases;
  unsigned turn = 0;
  for (int64_t k : {512, 144, 400, 528, 2064})
    for (int64_t tokens : {1, 2, 5, 15}) {
      if (++turn % 3 != 0 && GetParam().emulated)
        continue;
      Scheme scheme{3, 64};
      Layout layout = Layout::uniform(LayoutKind::Panel16, 345, 3);
      if (turn % 2 == 0)
        layout = WideRows{160, 4}.layout(LayoutKind::Panel16, 345, 3);
      MatmulCase c;
      c.weight = makeWeight(345, k, scheme, layout,
                            {CherryForm::Slot, 1 + turn % 3}, turn);
      c.spec = {c.weight.spec, ActivationMode::Int8, tokens, GetParam()};
      c.tokens = tokens;
      cases.push_back(std::move(c));
    }
  checkAll(cases);
}

/// An order that names rows past N (a damaged archive) stores nothing outside
/// of y: its last byte lies before a guard page.
TEST_P(MatmulKernel, DamagedRowOrdersStayInside) {
  std::vector<MatmulCase> cases;
  for (CherrySpec cherries : {CherrySpec{}, CherrySpec{CherryForm::Slot, 1}}) {
    Scheme scheme{3, 64};
    MatmulCase c;
    c.weight = makeWeight(33, 256, scheme,
                          WideRows{16, 4}.layout(LayoutKind::Panel16, 33, 3),
                          cherries, 5);
    c.spec = {c.weight.spec, ActivationMode::Int8, 2, GetParam()};
    c.tokens = 2;
    GuardedBuffer &order = c.weight.planes.back();
    std::fill_n(order.as<uint8_t>(), order.size(), uint8_t(0xFF));
    cases.push_back(std::move(c));
  }
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  for (auto [i, c] : llvm::enumerate(cases))
    addKernels(builder, c, i);
  ASSERT_TRUE(harness.compile());
  for (MatmulCase &c : cases)
    runKernel(harness, c, std::vector<float>(512, 1.0f));
}

/// The largest and the smallest codes against the largest activations: where
/// 16-bit sums would saturate or wrap if a bound were wrong.
TEST_P(MatmulKernel, ExtremeCodesDoNotSaturate) {
  std::vector<MatmulCase> cases;
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (int64_t tokens : {1, 8, 16}) {
      Scheme scheme{bits, 128, Grid::Affine, ScaleType::F32};
      MatmulCase c = makeCase(GetParam(), scheme, ActivationMode::Int8, 16, 256,
                              tokens, false, LayoutKind::Panel16, {}, bits);
      std::vector<uint8_t> &codes = c.weight.quantized.codes;
      std::fill_n(codes.begin(), codes.size() / 2,
                  static_cast<uint8_t>(scheme.maxCode()));
      std::fill(codes.begin() + codes.size() / 2, codes.end(), uint8_t(0));
      PackedWeight packed =
          packWeight(c.weight.quantized, nullptr, c.weight.spec.layout);
      std::memcpy(c.weight.planes[0].as<void>(), packed.codes.data(),
                  packed.codes.size());
      cases.push_back(std::move(c));
    }
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  for (auto [i, c] : llvm::enumerate(cases))
    addKernels(builder, c, i);
  ASSERT_TRUE(harness.compile());
  for (MatmulCase &c : cases)
    for (float sign : {1.0f, -1.0f}) {
      std::vector<float> x(c.tokens * c.spec.weight.k, sign);
      std::vector<float> want(c.tokens * c.spec.weight.n);
      referenceGemm(x.data(), c.tokens, c.weight.quantized, nullptr,
                    c.spec.mode, want.data());
      runKernel(harness, c, x, &want);
    }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatmulKernel, testing::ValuesIn(allLevels()),
                         levelName);
