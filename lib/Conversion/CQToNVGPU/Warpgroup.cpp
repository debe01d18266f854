//===- Warpgroup.cpp - Kernels for many tokens on sm_90a ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// One thread of a warpgroup of its own copies stages of x, each a run of bytes
// that buildActivationsKernel has put in order; warpgroups make numbers of the
// codes in registers and start products that read them and the stage. A stage
// is a unit of columns. Barrier s says that stage s is full, barrier stages + s
// that every multiplying warp has left it.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

int64_t nv::stageElements(const MatmulSpec &spec) {
  return static_cast<int64_t>(spec.options.tokens) * spec.options.unitChunks *
         64;
}

namespace {

class WarpgroupLoop {
public:
  WarpgroupLoop(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame)
      : b(b), spec(spec), frame(frame), options(spec.options),
        stages(options.stages), units(spec.chunks() / options.unitChunks),
        steps((spec.chunks() + options.unitChunks - 1) / options.unitChunks) {
    staged = sharedView(b, frame, 0, {stages * stageElements(spec)},
                        b.floatType(spec.compute));
    auto space = gpu::AddressSpaceAttr::get(b.getContext(),
                                            gpu::AddressSpace::Workgroup);
    barriers = nvgpu::MBarrierCreateOp::create(
        b, nvgpu::MBarrierGroupType::get(b.getContext(), space,
                                         static_cast<unsigned>(2 * stages)));
  }

  void initialize();
  void produce();
  SmallVector<Value> consume();

private:
  /// Parity of the phase of a barrier of `step`'s stage.
  Value parity(Value step) {
    Value odd = b.rem(b.div(step, stages), 2);
    return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ne, odd,
                                         b.index(0));
  }
  void wait(Value barrier, Value parity) {
    nvgpu::MBarrierTryWaitParityOp::create(b, barriers, parity,
                                           b.index(10000000), barrier);
  }
  Value isFirst(Value value) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, value,
                                 b.index(0));
  }

  Emitter &b;
  const MatmulSpec &spec;
  const KernelFrame &frame;
  const KernelOptions &options;
  int64_t stages, units, steps;
  Value staged, barriers;
};

} // namespace

void WarpgroupLoop::initialize() {
  b.when(isFirst(frame.place.thread), [&] {
    for (int64_t i = 0; i < 2 * stages; ++i)
      nvgpu::MBarrierInitOp::create(b, barriers,
                                    b.index(i < stages ? 1 : options.warpsN),
                                    b.index(i), Value());
    NVVM::FenceMbarrierInitOp::create(b);
  });
  gpu::BarrierOp::create(b);
}

void WarpgroupLoop::produce() {
  int64_t stage = stageElements(spec), chunks = spec.chunks();
  int64_t all = chunks * options.tokens * 64;
  Value source = b.mul(blockIndex(b, gpu::Dimension::y), all);
  b.loop(b.index(0), b.index(steps), b.index(1), {},
         [&](Value step, ValueRange) -> SmallVector<Value> {
           Value at = b.rem(step, stages);
           if (steps > stages)
             b.when(b.less(b.index(stages - 1), step), [&] {
               // The stage was filled `stages` steps ago.
               wait(b.add(at, stages), parity(b.sub(step, b.index(stages))));
             });
           Value from = b.mul(step, stage);
           Value count = units == steps
                             ? b.index(stage)
                             : b.min(b.index(stage), b.sub(b.index(all), from));
           Value bytes = b.mul(count, 2);
           nvgpu::MBarrierArriveExpectTxOp::create(b, barriers, bytes, at,
                                                   Value());
           BulkCopyOp::create(b, frame.args.packed, b.add(source, from), staged,
                              b.mul(at, stage), bytes, barriers, at);
           return {};
         });
}

SmallVector<Value> WarpgroupLoop::consume() {
  unsigned blocks = options.tokens / 8;
  int64_t unit = options.unitChunks, stage = stageElements(spec);
  WeightTile weights(b, spec, frame.args, frame.place.lane,
                     frame.place.firstTile);
  SmallVector<Value> sums = weights.zeroSums(blocks);
  unsigned numSums = sums.size();
  auto multiply = [&](const ChunkRange &range, ArrayRef<Value> data, Value at,
                      int64_t firstChunk, SmallVectorImpl<Value> &sums) {
    Value first = b.mul(at, stage);
    weights.multiplyAsync(
        range, data, staged,
        [&](unsigned chunk) {
          return b.add(first, (firstChunk + chunk) * options.tokens * 64);
        },
        sums, blocks);
  };
  auto range = [&](Value step) {
    return ChunkRange{b.mul(step, unit), std::nullopt,
                      static_cast<unsigned>(unit), false};
  };
  if (units > 0) {
    // Weights are loaded a unit ahead.
    SmallVector<Value> carried = sums;
    carried.append(weights.load(range(b.index(0))));
    sums = b.loop(b.index(0), b.index(units), b.index(1), carried,
                  [&](Value step, ValueRange values) {
                    Value next = b.add(step, 1);
                    SmallVector<Value> nothing = weights.nothing(range(next));
                    SmallVector<Value> data =
                        b.when(b.less(next, b.index(units)), nothing,
                               [&] { return weights.load(range(next)); });
                    Value at = b.rem(step, stages);
                    wait(at, parity(step));
                    SmallVector<Value> result(values.take_front(numSums));
                    SmallVector<Value> words(values.drop_front(numSums));
                    multiply(range(step), words, at, 0, result);
                    // All its products are done.
                    b.when(isFirst(frame.place.lane), [&] {
                      nvgpu::MBarrierArriveOp::create(
                          b, nvgpu::MBarrierTokenType::get(b.getContext()),
                          barriers, b.add(at, stages));
                    });
                    result.append(data);
                    return result;
                  });
    sums.truncate(numSums);
  }
  SmallVector<ChunkRange> ranges = WeightTile::leftOver(b, spec, units * unit);
  if (!ranges.empty()) {
    Value at = b.index(units % stages);
    wait(at, arith::ConstantIntOp::create(b, units / stages % 2, 1));
    for (const ChunkRange &rest : ranges)
      multiply(rest, weights.load(rest), at, *rest.knownFirst - units * unit,
               sums);
  }
  return sums;
}

void nv::buildWarpgroupBody(Emitter &b, const MatmulSpec &spec,
                            const KernelFrame &frame) {
  const KernelOptions &options = spec.options;
  WarpgroupLoop loop(b, spec, frame);
  loop.initialize();
  // 384 threads start with 168 registers: those that copy give theirs away.
  auto registers = [&](uint32_t count, NVVM::SetMaxRegisterAction action) {
    if (options.threads() == 384)
      NVVM::SetMaxRegisterOp::create(b, count, action);
  };
  auto roles = scf::IfOp::create(
      b, TypeRange(), b.less(frame.place.warpN, b.index(options.warpsN)),
      /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(roles.thenBlock());
  registers(232, NVVM::SetMaxRegisterAction::increase);
  storeSums(b, spec, frame, loop.consume());
  b.setInsertionPointToStart(roles.elseBlock());
  registers(40, NVVM::SetMaxRegisterAction::decrease);
  Value producer =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, frame.place.thread,
                            b.index(options.multipliers()));
  b.when(producer, [&] { loop.produce(); });
}
