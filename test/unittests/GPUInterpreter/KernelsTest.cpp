//===- KernelsTest.cpp - Our NVIDIA kernels, interpreted ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../Codec/CodecTestUtils.h"
#include "cq/Codec/MixedRows.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Conversion/CQToNVGPU/Launches.h"
#include "cq/Dialect/CQ/IR/CQNV.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/APFloat.h"
#include "gtest/gtest.h"
#include <map>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

/// A product of random numbers: its planes, and what it should give.
struct Product {
  nv::MatmulSpec spec;
  int64_t m = 0;
  PackedWeight weight;
  std::vector<uint8_t> x;
  std::vector<double> want, bound; ///< [m, n]; how far y may be off
};

const llvm::fltSemantics &semantics(nv::FloatKind kind) {
  return kind == nv::FloatKind::F16    ? llvm::APFloat::IEEEhalf()
         : kind == nv::FloatKind::BF16 ? llvm::APFloat::BFloat()
                                       : llvm::APFloat::IEEEsingle();
}

uint32_t encode(float value, nv::FloatKind kind) {
  llvm::APFloat number(value);
  bool inexact;
  number.convert(semantics(kind), llvm::APFloat::rmNearestTiesToEven, &inexact);
  return static_cast<uint32_t>(number.bitcastToAPInt().getZExtValue());
}

float decodeNumber(const uint8_t *bytes, nv::FloatKind kind) {
  uint32_t bits = 0;
  std::memcpy(&bits, bytes, scaleBytes(kind));
  llvm::APFloat number(semantics(kind),
                       llvm::APInt(8 * scaleBytes(kind), bits));
  bool inexact;
  number.convert(llvm::APFloat::IEEEsingle(),
                 llvm::APFloat::rmNearestTiesToEven, &inexact);
  return number.convertToFloat();
}

Product makeProduct(const Scheme &scheme, const CherrySpec &cherries, int64_t m,
                    int64_t n, int64_t k, nv::FloatKind compute,
                    nv::FloatKind xType, nv::FloatKind yType, unsigned seed,
                    WideRows wide = {}) {
  Product p;
  p.m = m;
  nv::MatmulSpec &spec = p.spec;
  spec.scheme = scheme;
  spec.layout = wide.layout(LayoutKind::MmaFragment, n, scheme.bits);
  spec.cherries = cherries;
  spec.n = n;
  spec.k = k;
  spec.maxTokens = m + 3; // the buffers are shorter than their types
  spec.compute = compute;
  spec.x = xType;
  spec.y = yType;
  spec.options = nv::chooseOptions(spec, m, 80);

  std::vector<float> w = randomWeights(n * k, seed), decoded(n * k);
  std::vector<uint32_t> order;
  if (wide) {
    order = valueOf(rankRows(w.data(), n, k, scheme, wide.count));
    w = permuteRows(w.data(), k, order);
  }
  CherryPositions positions;
  bool hasCherries = cherries.form != CherryForm::None;
  if (hasCherries)
    positions = valueOf(selectCherries(w.data(), n, k, cherries,
                                       CherryCriterion::Magnitude, scheme));
  QuantizerInputs inputs;
  if (wide)
    inputs.segments = spec.layout.segments;
  QuantizedWeight q =
      valueOf(quantizeWeight(w.data(), n, k, scheme, QuantizerKind::RTN,
                             hasCherries ? &positions : nullptr, inputs));
  q.order = order;
  dequantizeWeight(q, hasCherries ? &positions : nullptr, decoded.data(), 1);
  p.weight = packWeight(q, hasCherries ? &positions : nullptr, spec.layout);

  std::mt19937 random(seed + 1);
  unsigned bytes = scaleBytes(xType);
  p.x.resize(m * k * bytes);
  std::vector<double> x(m * k);
  for (int64_t i = 0; i != m * k; ++i) {
    float value = static_cast<float>(random() >> 8) * 0x1p-23f - 1;
    uint32_t bits = encode(value, xType);
    std::memcpy(p.x.data() + i * bytes, &bits, bytes);
    // The kernel rounds x to the type it computes in.
    uint32_t narrow =
        encode(decodeNumber(p.x.data() + i * bytes, xType), compute);
    x[i] = decodeNumber(reinterpret_cast<uint8_t *>(&narrow), compute);
  }
  for (int64_t t = 0; t != m; ++t)
    for (int64_t r = 0; r != n; ++r) {
      double sum = 0, size = 0;
      for (int64_t c = 0; c != k; ++c) {
        double product = x[t * k + c] * decoded[r * k + c];
        sum += product;
        size += std::fabs(product);
      }
      p.want.push_back(sum);
      double ulp = yType == nv::FloatKind::F32   ? 0
                   : yType == nv::FloatKind::F16 ? 0x1p-11
                                                 : 0x1p-8;
      p.bound.push_back(2e-5 * size + ulp * std::fabs(sum) + 1e-7);
    }
  return p;
}

nv::KernelOptions warpgroupOptions(unsigned tokens, unsigned warpsN,
                                   unsigned unitChunks, unsigned stages) {
  nv::KernelOptions options;
  options.family = nv::Family::Warpgroup;
  options.tokens = tokens;
  options.warpsK = 1;
  options.warpsN = warpsN;
  options.unitChunks = unitChunks;
  options.stages = stages;
  return options;
}

class Kernels : public testing::Test {
protected:
  Kernels() : context(registry()) { context.loadAllAvailableDialects(); }

  static DialectRegistry registry() {
    DialectRegistry registry;
    registry
        .insert<arith::ArithDialect, CQDialect, gpu::GPUDialect,
                math::MathDialect, memref::MemRefDialect, nvgpu::NVGPUDialect,
                NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
    return registry;
  }

  /// The kernels of a product alone in a module: one for each segment.
  OwningOpRef<ModuleOp> build(const nv::MatmulSpec &spec,
                              gpu::GPUFuncOp &kernel) {
    OpBuilder builder(&context);
    Location loc = builder.getUnknownLoc();
    OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
    builder.setInsertionPointToEnd(module->getBody());
    auto kernels = gpu::GPUModuleOp::create(builder, loc, "kernels");
    builder.setInsertionPointToStart(&kernels.getBodyRegion().front());
    nv::MatmulSpec one = spec;
    for (one.segment = spec.layout.segments.size(); one.segment-- > 0;)
      kernel = nv::buildKernels(builder, loc, one);
    EXPECT_TRUE(succeeded(verify(*module)));
    return module;
  }

  /// Launches in order; each writes its last buffer.
  LogicalResult launchAll(gpu::GPUFuncOp kernel, const Product &p,
                          std::map<std::string, std::vector<uint8_t>> &buffers,
                          uint64_t seed) {
    auto kernels = cast<gpu::GPUModuleOp>(kernel->getParentOp());
    std::vector<nv::ProductLaunch> launches;
    nv::MatmulSpec one = p.spec;
    for (one.segment = 0; one.segment < one.layout.segments.size();
         ++one.segment)
      llvm::append_range(
          launches, nv::launchesOf(
                        kernels.lookupSymbol<gpu::GPUFuncOp>(one.name()), p.m));
    for (const nv::ProductLaunch &launch : launches) {
      GPULaunch run;
      run.seed = seed;
      run.grid = launch.grid;
      run.block = launch.block;
      run.dynamicSharedBytes = launch.sharedBytes;
      for (const std::string &role : launch.arguments) {
        GPUArgument &argument = run.arguments.emplace_back();
        argument.scalar = static_cast<uint64_t>(p.m);
        if (role == "m")
          continue;
        std::vector<uint8_t> &bytes = buffers[role];
        bool written = role == launch.arguments.rbegin()[1];
        argument.readOnly = !written;
        // What another segment has written stays.
        argument.uninitialised = written && bytes.empty();
        if (written) // NaN where nothing is written
          bytes.resize(nv::bufferBytes(p.spec, p.m, role), 0xff);
        else
          EXPECT_EQ(int64_t(bytes.size()), nv::bufferBytes(p.spec, p.m, role))
              << role;
        argument.bytes = bytes;
      }
      if (failed(runGPUKernel(
              kernels.lookupSymbol<gpu::GPUFuncOp>(launch.kernel), run)))
        return failure();
    }
    return success();
  }

  /// "" where every number is right, else what is wrong.
  std::string run(gpu::GPUFuncOp kernel, Product &p, uint64_t seed,
                  std::vector<uint8_t> *result = nullptr) {
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      if (message.empty())
        message = diagnostic.str();
    });
    // Mutations may leave what the verifier forbids.
    if (failed(verify(kernel)))
      return message;
    unsigned yBytes = scaleBytes(p.spec.y);
    std::map<std::string, std::vector<uint8_t>> buffers{
        {"x", p.x},
        {"codes", p.weight.codes},
        {"scales", p.weight.scales},
        {"zeros", p.weight.zeros},
        {"cherry_columns", p.weight.cherryColumns},
        {"cherry_deltas", p.weight.cherryDeltas},
        {"row_order", p.weight.rowOrder}};
    if (failed(launchAll(kernel, p, buffers, seed)))
      return message.empty() ? "failed without a message" : message;
    std::vector<uint8_t> &y = buffers["y"];
    for (size_t i = 0; i != p.want.size(); ++i) {
      double got = decodeNumber(y.data() + i * yBytes, p.spec.y);
      if (!(std::fabs(got - p.want[i]) <= p.bound[i]))
        return "y[" + std::to_string(i / p.spec.n) + ", " +
               std::to_string(i % p.spec.n) + "] is " + std::to_string(got) +
               ", not " + std::to_string(p.want[i]);
    }
    if (result)
      *result = y;
    return "";
  }

  MLIRContext context;
};

/// Random shapes, schemes, cherries and types; each under two schedules, which
/// must give the same bytes. CQ_GPU_CASES: how many.
TEST_F(Kernels, RandomProductsMatchTheCodec) {
  const char *cases = std::getenv("CQ_GPU_CASES");
  unsigned count = cases ? std::atoi(cases) : 24, seen = 0;
  std::mt19937 random(7);
  auto pick = [&](auto... values) {
    std::array<std::common_type_t<decltype(values)...>, sizeof...(values)> all{
        values...};
    return all[random() % all.size()];
  };
  for (unsigned i = 0; i != count; ++i) {
    Scheme scheme;
    scheme.bits = pick(2u, 3u, 4u, 5u, 6u, 8u);
    scheme.group = pick(32, 64, 128, 0);
    scheme.grid = pick(Grid::Symmetric, Grid::Affine, Grid::HalfStep);
    if (scheme.bits > 4 && scheme.grid == Grid::HalfStep)
      scheme.grid = Grid::Symmetric;
    scheme.scaleType = pick(ScaleType::F16, ScaleType::BF16, ScaleType::F32);
    int64_t n = 1 + random() % 50, k = 8 * (1 + random() % 70);
    if (random() % 4 == 0)
      k = 1 + random() % 300;
    int64_t m = random() % 3 ? 1 + random() % 8 : 9 + random() % 30;
    CherryForm form = pick(CherryForm::None, CherryForm::None, CherryForm::Slot,
                           CherryForm::Element, CherryForm::Column);
    CherrySpec cherries = form == CherryForm::None
                              ? CherrySpec()
                              : CherrySpec::fromRatio(form, 1.0 / 64, k);
    if (std::string bad = messageOf(cherries.check(n, k)); !bad.empty())
      cherries = CherrySpec();
    nv::FloatKind compute = pick(nv::FloatKind::F16, nv::FloatKind::BF16),
                  x = pick(nv::FloatKind::F16, nv::FloatKind::BF16,
                           nv::FloatKind::F32),
                  y = pick(nv::FloatKind::F32, nv::FloatKind::F16,
                           nv::FloatKind::BF16);
    if (x == nv::FloatKind::F16 || x == nv::FloatKind::BF16)
      compute = x;
    Product p = makeProduct(scheme, cherries, m, n, k, compute, x, y, i);
    p.spec.options.splitK = pick(1u, 1u, 2u, 3u);
    if (p.spec.unsupported())
      continue;
    ++seen;
    gpu::GPUFuncOp kernel;
    OwningOpRef<ModuleOp> module = build(p.spec, kernel);
    std::vector<uint8_t> first, second;
    EXPECT_EQ(run(kernel, p, 1, &first), "")
        << p.spec.name() << " m=" << m << " case " << i;
    EXPECT_EQ(run(kernel, p, 2, &second), "")
        << p.spec.name() << " m=" << m << " case " << i;
    EXPECT_EQ(first, second) << p.spec.name();
  }
  EXPECT_GE(seen, count / 2);
}

/// Every width, group, grid and form of cherries has a kernel in each family,
/// in f16 or bf16 in turn; ragged rows, columns and tokens.
TEST_F(Kernels, EveryCombinationIsRight) {
  unsigned number = 0;
  for (unsigned bits : {2, 3, 4, 5, 6, 8})
    for (int64_t group : {32, 64, 128})
      for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
        for (CherryForm form : {CherryForm::None, CherryForm::Slot,
                                CherryForm::Element, CherryForm::Column})
          for (int64_t m : {3, 11, 70}) {
            Scheme scheme{bits, group, grid};
            if (!messageOf(scheme.check()).empty()) {
              EXPECT_TRUE(grid == Grid::HalfStep && bits > 4) << scheme.str();
              continue;
            }
            // 70 tokens are few blocks of few rows: warpgroups work in full.
            int64_t n = 17 + number % 5, k = 264 + 8 * (number % 37);
            CherrySpec cherries =
                form == CherryForm::None
                    ? CherrySpec()
                    : CherrySpec::fromRatio(form, 1.0 / 64, k);
            auto type = ++number % 2 ? nv::FloatKind::F16 : nv::FloatKind::BF16;
            Product p = makeProduct(scheme, cherries, m > 64 ? 9 : m, n, k,
                                    type, type, nv::FloatKind::F32, number);
            if (m > 64) {
              p.spec.options = nv::chooseOptions(p.spec, m, 90, {true, true});
              ASSERT_EQ(p.spec.options.family, nv::Family::Warpgroup);
              p.spec.options.tokens = 16;
            }
            ASSERT_EQ(p.spec.unsupported(), std::nullopt) << p.spec.name();
            gpu::GPUFuncOp kernel;
            OwningOpRef<ModuleOp> module = build(p.spec, kernel);
            EXPECT_EQ(run(kernel, p, number), "") << p.spec.name();
          }
}

/// Rows of two widths in an order of their own: a launch for each width.
TEST_F(Kernels, MixedRowsMatchTheCodec) {
  std::mt19937 random(13);
  unsigned number = 0;
  for (unsigned bits : {2, 3, 4, 5})
    for (unsigned wider : {3, 4, 5, 6, 8})
      for (int64_t m : {1, 20, 9}) {
        if (wider <= bits)
          continue;
        Scheme scheme{bits, number % 2 ? 64 : 128,
                      number % 3 ? Grid::Symmetric : Grid::Affine};
        int64_t n = 33 + random() % 60, k = 200 + random() % 300;
        CherryForm form = number % 2 ? CherryForm::Slot : CherryForm::Column;
        CherrySpec cherries = number % 4 < 2
                                  ? CherrySpec()
                                  : CherrySpec::fromRatio(form, 1.0 / 64, k);
        auto type = ++number % 2 ? nv::FloatKind::F16 : nv::FloatKind::BF16;
        WideRows wide{16 * (1 + int64_t(random() % 2)), wider};
        Product p = makeProduct(scheme, cherries, m, n, k, type, type,
                                nv::FloatKind::F32, number, wide);
        if (m == 9)
          p.spec.options = warpgroupOptions(16, 4, 4, 2);
        ASSERT_EQ(p.spec.layout.segments.size(), 2u);
        ASSERT_TRUE(p.spec.layout.permuted);
        // The unit of one width must fit the other.
        p.spec.options.unitChunks = 4;
        ASSERT_EQ(p.spec.unsupported(), std::nullopt) << p.spec.name();
        gpu::GPUFuncOp kernel;
        OwningOpRef<ModuleOp> module = build(p.spec, kernel);
        EXPECT_EQ(run(kernel, p, number), "") << p.spec.name() << " m=" << m;
      }
}

/// Every barrier and wait of our kernels taken away, one at a time: an error or
/// a wrong number each time, under some of a few schedules.
TEST_F(Kernels, EveryBarrierAndWaitIsNeeded) {
  Scheme scheme;
  scheme.bits = 3;
  for (int64_t m : {int64_t(2), int64_t(20)}) {
    std::string unseen;
    Product p = makeProduct(
        scheme, CherrySpec::fromRatio(CherryForm::Slot, 1.0 / 64, 1024), m, 32,
        1024, nv::FloatKind::F16, nv::FloatKind::F16, nv::FloatKind::F32, 3);
    ASSERT_FALSE(p.spec.unsupported());
    for (unsigned victim = 0;; ++victim) {
      gpu::GPUFuncOp kernel;
      OwningOpRef<ModuleOp> module = build(p.spec, kernel);
      SmallVector<Operation *> found;
      kernel.walk([&](Operation *op) {
        if (isa<gpu::BarrierOp, nvgpu::DeviceAsyncWaitOp>(op))
          found.push_back(op);
      });
      if (victim >= found.size()) {
        EXPECT_GT(victim, 0u);
        break;
      }
      std::string name = found[victim]->getName().getStringRef().str();
      found[victim]->erase();
      std::string message;
      for (uint64_t seed = 0; seed != 3 && message.empty(); ++seed)
        message = run(kernel, p, seed);
      if (message.empty())
        unseen += p.spec.name() + ": " + name + " number " +
                  std::to_string(victim) + " can be removed unseen\n";
    }
    EXPECT_EQ(unseen, "");
  }
}

/// The kernels with wgmma: ragged rows, columns and tokens, all widths.
TEST_F(Kernels, WarpgroupProductsMatchTheCodec) {
  const char *cases = std::getenv("CQ_GPU_CASES");
  unsigned count = cases ? std::atoi(cases) : 16, seen = 0;
  std::mt19937 random(11);
  auto pick = [&](auto... values) {
    std::array<std::common_type_t<decltype(values)...>, sizeof...(values)> all{
        values...};
    return all[random() % all.size()];
  };
  for (unsigned i = 0; i != count; ++i) {
    Scheme scheme;
    scheme.bits = pick(2u, 3u, 4u, 5u, 6u, 8u);
    scheme.group = pick(32, 64, 128, 0);
    scheme.grid = pick(Grid::Symmetric, Grid::Affine, Grid::HalfStep);
    if (scheme.bits > 4 && scheme.grid == Grid::HalfStep)
      scheme.grid = Grid::Symmetric;
    int64_t n = 1 + random() % 150, k = 8 * (1 + random() % 80);
    if (random() % 4 == 0)
      k = 1 + random() % 300;
    int64_t m = 1 + random() % 80;
    CherryForm form = pick(CherryForm::None, CherryForm::None, CherryForm::Slot,
                           CherryForm::Element, CherryForm::Column);
    CherrySpec cherries = form == CherryForm::None
                              ? CherrySpec()
                              : CherrySpec::fromRatio(form, 1.0 / 64, k);
    if (std::string bad = messageOf(cherries.check(n, k)); !bad.empty())
      cherries = CherrySpec();
    nv::FloatKind compute = pick(nv::FloatKind::F16, nv::FloatKind::BF16),
                  x = pick(compute, nv::FloatKind::F32),
                  y = pick(nv::FloatKind::F32, nv::FloatKind::F16,
                           nv::FloatKind::BF16);
    Product p = makeProduct(scheme, cherries, m, n, k, compute, x, y, i);
    p.spec.options = warpgroupOptions(pick(8u, 16u, 32u, 64u), pick(4u, 8u),
                                      pick(2u, 4u), pick(2u, 3u));
    if (i % 5 == 0)
      p.spec.options.tiles = 2;
    if (p.spec.unsupported())
      continue;
    ++seen;
    gpu::GPUFuncOp kernel;
    OwningOpRef<ModuleOp> module = build(p.spec, kernel);
    std::vector<uint8_t> first, second;
    EXPECT_EQ(run(kernel, p, 1, &first), "")
        << p.spec.name() << " m=" << m << " case " << i;
    EXPECT_EQ(run(kernel, p, 2, &second), "")
        << p.spec.name() << " m=" << m << " case " << i;
    EXPECT_EQ(first, second) << p.spec.name();
  }
  EXPECT_GE(seen, count / 2);
}

/// What is not needed for the numbers of the interpreter: commits are (a wait
/// sees no product without them), so that nothing is left out.
TEST_F(Kernels, EveryStepOfWarpgroupsIsNeeded) {
  Scheme scheme;
  scheme.bits = 4;
  scheme.group = 64;
  // More steps than stages, and chunks that fill no unit.
  Product p = makeProduct(
      scheme, CherrySpec::fromRatio(CherryForm::Slot, 1.0 / 64, 704), 9, 80,
      704, nv::FloatKind::F16, nv::FloatKind::F16, nv::FloatKind::F32, 3);
  p.spec.options = warpgroupOptions(8, 8, 2, 2);
  ASSERT_EQ(p.spec.unsupported(), std::nullopt);
  std::string unseen;
  // Kinds 1: the step is taken away; 2: a wait sees one group less.
  for (unsigned kind : {1, 2})
    for (unsigned victim = 0;; ++victim) {
      gpu::GPUFuncOp kernel;
      OwningOpRef<ModuleOp> module = build(p.spec, kernel);
      SmallVector<Operation *> found;
      kernel.walk([&](Operation *op) {
        if (isa<nv::WgmmaWaitOp>(op) ||
            (kind == 1 &&
             isa<gpu::BarrierOp, NVVM::BarrierOp, nvgpu::MBarrierInitOp,
                 nvgpu::MBarrierArriveOp, nvgpu::MBarrierArriveExpectTxOp,
                 nvgpu::MBarrierTryWaitParityOp, NVVM::FenceMbarrierInitOp,
                 nv::BulkCopyOp, nv::WgmmaFenceOp, nv::WgmmaCommitOp>(op)))
          found.push_back(op);
      });
      if (victim >= found.size()) {
        EXPECT_GT(victim, 0u);
        break;
      }
      Operation *op = found[victim];
      std::string name = op->getName().getStringRef().str();
      if (kind == 2) {
        cast<nv::WgmmaWaitOp>(op).setPending(1);
      } else {
        if (!op->use_empty())
          op->replaceAllUsesWith(op->getOperands());
        op->erase();
      }
      std::string message;
      for (uint64_t seed = 0; seed != 3 && message.empty(); ++seed)
        message = run(kernel, p, seed);
      if (message.empty())
        unseen += name + " number " + std::to_string(victim) + "\n";
    }
  EXPECT_EQ(unseen, "");
}

/// A product with the codes of another lane, and one with swapped fragments.
TEST_F(Kernels, WrongFragmentsGiveWrongNumbers) {
  Scheme scheme;
  scheme.bits = 4;
  Product p = makeProduct(scheme, {}, 3, 16, 256, nv::FloatKind::F16,
                          nv::FloatKind::F16, nv::FloatKind::F32, 5);
  ASSERT_FALSE(p.spec.unsupported());
  for (int kind = 0; kind != 3; ++kind) {
    gpu::GPUFuncOp kernel;
    OwningOpRef<ModuleOp> module = build(p.spec, kernel);
    Operation *mma = nullptr;
    kernel.walk([&](Operation *op) {
      if (!mma && op->getName().getStringRef() == "cq.nv.mma")
        mma = op;
    });
    ASSERT_TRUE(mma);
    auto swap = [&](unsigned a, unsigned b) {
      Value first = mma->getOperand(a);
      mma->setOperand(a, mma->getOperand(b));
      mma->setOperand(b, first);
    };
    if (kind == 1)
      swap(0, 1);
    if (kind == 2)
      swap(4, 5);
    EXPECT_EQ(run(kernel, p, 0).empty(), kind == 0);
  }
}

} // namespace
