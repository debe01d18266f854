//===- Kernels.cpp - Specs of NVIDIA kernels ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

int64_t MatmulSpec::firstRow() const {
  int64_t first = 0;
  for (unsigned i = 0; i < segment; ++i)
    first += layout.segments[i].rows;
  return first;
}

int64_t MatmulSpec::codeOffset() const {
  int64_t offset = 0;
  for (unsigned i = 0; i < segment; ++i)
    offset += layout.segments[i].rows / 16 *
              layout.panelBytes(k, layout.segments[i].bits);
  return offset;
}

std::string MatmulSpec::name() const {
  std::string text = "cq_mm_n" + std::to_string(n) + "_k" + std::to_string(k) +
                     "_" + segmentScheme().str();
  if (layout.segments.size() > 1)
    text += "_rows" + std::to_string(firstRow()) + "to" +
            std::to_string(firstRow() + rows());
  if (layout.permuted)
    text += "_permuted";
  if (cherries.form != CherryForm::None)
    text += "_" + stringifyCherryForm(cherries.form).str() +
            std::to_string(cherries.count);
  text += ("_c" + stringifyScaleType(compute) + "_x" + stringifyScaleType(x) +
           "_y" + stringifyScaleType(y))
              .str();
  text += "_t" + std::to_string(options.tokens) + "_w" +
          std::to_string(options.warpsK) + "x" +
          std::to_string(options.warpsN) + "x" + std::to_string(options.tiles) +
          "_u" + std::to_string(options.unitChunks);
  if (options.family != Family::Resident)
    text += "_s" + std::to_string(options.stages);
  if (options.family == Family::Warpgroup)
    text += "_wg";
  if (options.splitK > 1)
    text += "_k" + std::to_string(options.splitK);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

int64_t MatmulSpec::gridX() const {
  int64_t perBlock = options.tiles * options.warpsN;
  return (tiles() + perBlock - 1) / perBlock;
}

int64_t MatmulSpec::sharedBytes() const {
  int64_t x = options.family == Family::Resident
                  ? residentColumns(*this) * options.tokens * 2
              : options.family == Family::Warpgroup
                  ? 2 * options.stages * stageElements(*this)
                  : pipelineBytes(*this);
  return std::max(x, reductionBytes(*this));
}

std::optional<std::string> MatmulSpec::unsupported() const {
  auto say = [](llvm::Error error) { return llvm::toString(std::move(error)); };
  if (llvm::Error error = scheme.check())
    return say(std::move(error));
  if (layout.kind != LayoutKind::MmaFragment)
    return "its planes are not in layout mma_fragment: relayout them";
  if (llvm::Error error = layout.check(n, k))
    return say(std::move(error));
  if (llvm::Error error = layout.checkWidths(scheme))
    return say(std::move(error));
  if (llvm::Error error = cherries.check(n, k))
    return say(std::move(error));
  if (segment >= layout.segments.size())
    return "its layout has no such segment";
  if (compute == FloatKind::F32)
    return "products are computed in f16 or bf16";
  // Kernels count in 32 bits.
  PlaneBytes bytes = planeBytes(n, k, scheme, layout, cherries);
  int64_t limit = int64_t{1} << 31, xSize = 0, ySize = 0;
  if (bytes.total() >= limit)
    return "its planes have 2 GiB or more: split its rows";
  if (maxTokens <= 0 || llvm::MulOverflow(maxTokens, k, xSize) ||
      llvm::MulOverflow(maxTokens, n, ySize) || xSize >= limit ||
      ySize >= limit)
    return "its activations have 2^31 elements or more: split the tokens";
  const KernelOptions &o = options;
  bool resident = o.family == Family::Resident;
  auto powerOfTwo = [](unsigned value, unsigned least, unsigned most) {
    return value >= least && value <= most && llvm::isPowerOf2_32(value);
  };
  if (!powerOfTwo(o.tokens, resident ? 1 : 8, resident ? 8 : 128))
    return "a CTA has 1, 2, 4 or 8 tokens (resident), or 8 to 128 (pipelined)";
  bool warpgroup = o.family == Family::Warpgroup;
  if (o.splitK == 0 || o.splitK > 64 || (o.splitK > 1 && warpgroup))
    return "1 to 64 CTAs share the columns, one in warpgroup kernels";
  if (o.splitK > 1 && layout.segments.size() > 1)
    return "CTAs share the columns of a weight of one width";
  if (o.splitK > 1 && (llvm::MulOverflow(ySize, int64_t(o.splitK), ySize) ||
                       ySize >= limit / 2))
    return "its partial sums have 2^30 elements or more: split the tokens";
  if (o.splitK > 1 && resident && residentPhases(*this) > 1)
    return "columns that CTAs share fit their shared memory";
  if (warpgroup && (o.warpsK != 1 || o.warpsN % 4 != 0))
    return "a warpgroup kernel has whole warpgroups with rows of their own";
  if (warpgroup && packedElements() >= limit / 2)
    return "its activations have 2^30 elements or more: split the tokens";
  if (o.tiles == 0 || o.warpsK == 0 || o.warpsN == 0 || o.threads() > 1024)
    return "a CTA has 1 to 32 warps and 1 tile or more for each";
  if (resident && o.warpsN != 1)
    return "the warps of a resident kernel share the columns of their rows";
  if (!powerOfTwo(o.unitChunks, FragmentChunk::get(bits()).chunksPerBlock, 8))
    return "a warp takes a power of two of chunks at a time, at least those of "
           "a block (2, 4, 1, 4, 2, 1 at 2, 3, 4, 5, 6, 8 bits) and at most 8";
  if (scheme.group > 0 && o.unitChunks * 64 % scheme.group != 0)
    return "what a warp takes at a time must hold whole groups";
  if (!resident && (o.stages < 2 || o.stages > 8))
    return "a pipeline has 2 to 8 stages";
  // Barriers and the alignment of stages take up to 1 KiB more.
  if (sharedBytes() > (warpgroup ? 226 : 227) * 1024)
    return "it needs more than the 227 KiB of shared memory of a CTA";
  return std::nullopt;
}

gpu::GPUFuncOp nv::buildMatmulKernel(OpBuilder &builder, Location loc,
                                     const MatmulSpec &spec) {
  assert(!spec.unsupported() && "ask first");
  OpBuilder::InsertionGuard guard(builder);
  Emitter b(loc, builder);
  KernelFrame frame = openKernel(b, spec);
  if (spec.options.family == Family::Resident)
    buildResidentBody(b, spec, frame);
  else if (spec.options.family == Family::Pipelined)
    buildPipelinedBody(b, spec, frame);
  else
    buildWarpgroupBody(b, spec, frame);
  gpu::ReturnOp::create(b);
  return frame.kernel;
}

std::string MatmulSpec::sumName() const {
  return ("cq_sum_n" + std::to_string(n) + "_y" + stringifyScaleType(y) + "_k" +
          std::to_string(options.splitK))
      .str();
}

gpu::GPUFuncOp nv::buildSumKernel(OpBuilder &builder, Location loc,
                                  const MatmulSpec &spec) {
  constexpr unsigned threads = 128;
  OpBuilder::InsertionGuard guard(builder);
  Emitter b(loc, builder);
  Value partial, y, m;
  int64_t splits = spec.options.splitK;
  KernelArgument arguments[] = {
      {"partial", &partial,
       MemRefType::get({spec.maxTokens, splits, spec.n}, b.getF32Type())},
      {"y", &y, MemRefType::get({spec.maxTokens, spec.n}, b.floatType(spec.y))},
      {"m", &m, b.getI32Type()}};
  // A CTA has one token: grid.y = m.
  gpu::GPUFuncOp kernel = createKernel(
      b, spec.sumName(), arguments, threads, (spec.n + threads - 1) / threads,
      /*gridZ=*/1, /*sharedBytes=*/0, /*tokens=*/1, /*tokenBlocks=*/true);
  Value token = blockIndex(b, gpu::Dimension::y);
  Value row =
      b.add(threadIndex(b), b.mul(blockIndex(b, gpu::Dimension::x), threads));
  b.when(b.less(row, b.index(spec.n)), [&] {
    Value sum;
    for (int64_t part = 0; part < splits; ++part) {
      Value next = b.scalar(partial, {token, b.index(part), row});
      sum = sum ? arith::AddFOp::create(b, sum, next).getResult() : next;
    }
    memref::StoreOp::create(b, b.convert(sum, b.floatType(spec.y)), y,
                            ValueRange{token, row});
  });
  gpu::ReturnOp::create(b);
  return kernel;
}

gpu::GPUFuncOp nv::buildKernels(OpBuilder &b, Location loc,
                                const MatmulSpec &spec) {
  Operation *module = b.getInsertionBlock()->getParentOp();
  auto isWritten = [&](StringRef name) {
    return SymbolTable::lookupSymbolIn(module, name) != nullptr;
  };
  if (spec.options.family == Family::Warpgroup &&
      !isWritten(spec.activationsName()))
    buildActivationsKernel(b, loc, spec);
  if (spec.options.splitK > 1 && !isWritten(spec.sumName()))
    buildSumKernel(b, loc, spec);
  return buildMatmulKernel(b, loc, spec);
}
