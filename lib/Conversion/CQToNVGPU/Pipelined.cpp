//===- Pipelined.cpp - Kernels for more than eight tokens -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A CTA multiplies its rows by 8 to 128 tokens. x comes through shared memory
// in stages, copied asynchronously while older stages are multiplied; weights
// go straight to registers, a unit ahead. A step is one unit of columns for
// every warp of a tile (warpsK units).
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

/// Rows of 16 bytes that cp.async can copy as they are.
static bool copiesAsynchronously(const MatmulSpec &spec) {
  return spec.x == spec.compute && spec.k % 8 == 0;
}

namespace {

class Pipeline {
public:
  Pipeline(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame)
      : b(b), spec(spec), frame(frame), options(spec.options),
        stageRows(options.warpsK * options.tokens),
        columns(options.unitChunks * 64),
        units(spec.chunks() / options.unitChunks),
        allSteps((units + options.warpsK - 1) / options.warpsK),
        steps((allSteps + options.splitK - 1) / options.splitK) {
    staged = sharedView(b, frame, 0, {options.stages * stageRows, columns},
                        b.floatType(spec.compute));
  }

  /// Starts copying columns [first, first + columns) of each of `parts` units,
  /// into a stage.
  void copy(Value stage, Value firstColumn, int64_t parts) {
    int64_t pieces = columns / 8;
    Value stageRow = b.mul(stage, stageRows);
    Value count = b.index(parts * options.tokens * pieces);
    b.loop(frame.place.thread, count, b.index(options.threads()), {},
           [&](Value i, ValueRange) -> SmallVector<Value> {
             Value row = b.div(i, pieces);
             Value column = b.mul(b.rem(i, pieces), 8);
             Value token = b.add(b.rem(row, options.tokens), frame.firstToken);
             Value from = b.add(b.add(firstColumn, column),
                                b.mul(b.div(row, options.tokens), columns));
             Value at = b.add(row, stageRow);
             Value to = swizzled(b, row, column);
             copyPiece(token, from, at, to);
             return {};
           });
  }

  void commit() {
    if (!copiesAsynchronously(spec))
      return;
    group = nvgpu::DeviceAsyncCreateGroupOp::create(
        b, nvgpu::DeviceAsyncTokenType::get(b.getContext()), ValueRange());
    // Without operands and attributes the text would swallow the next line.
    group.getDefiningOp()->setAttr("cq.stage", b.getUnitAttr());
  }

  /// Until all but the `pending` newest groups have arrived, for all threads.
  void wait(unsigned pending) {
    if (copiesAsynchronously(spec))
      nvgpu::DeviceAsyncWaitOp::create(
          b, firstGroup, b.getI32IntegerAttr(static_cast<int32_t>(pending)));
    gpu::BarrierOp::create(b);
  }

  void run();

private:
  void copyPiece(Value token, Value from, Value row, Value column);
  void multiply(WeightTile &weights, const ChunkRange &range,
                ArrayRef<Value> data, Value stage, Value part, Value local,
                SmallVectorImpl<Value> &sums);

  Emitter &b;
  const MatmulSpec &spec;
  const KernelFrame &frame;
  const KernelOptions &options;
  /// Whether some warps have no unit in the last step.
  bool ragged() const {
    return units % options.warpsK != 0 || allSteps % options.splitK != 0;
  }
  int64_t stageRows, columns, units;
  int64_t allSteps, steps; ///< of all CTAs that share the columns, of one
  Value staged, group, firstGroup;
};

} // namespace

void Pipeline::copyPiece(Value token, Value from, Value row, Value column) {
  // Tokens and columns that do not exist are zeros: those of a unit that is cut
  // off, and those of units that the last step's warps have none of.
  Value exists = b.less(token, frame.tokens);
  if (spec.k % columns != 0 || ragged())
    exists = b.both(exists, b.less(from, b.index(spec.k)));
  if (!copiesAsynchronously(spec)) {
    auto type = VectorType::get({8}, b.floatType(spec.compute));
    Value piece = b.when(exists, b.splat(type, 0), [&]() -> SmallVector<Value> {
                     return {loadActivations(b, spec, frame, token, from)};
                   }).front();
    b.store(piece, staged, {row, column});
    return;
  }
  // An address is formed even where nothing is read.
  Value zero = b.index(0);
  nvgpu::DeviceAsyncCopyOp::create(
      b, nvgpu::DeviceAsyncTokenType::get(b.getContext()), staged,
      ValueRange{row, column}, frame.args.x,
      ValueRange{b.select(exists, token, zero), b.select(exists, from, zero)},
      b.getIndexAttr(8), b.select(exists, b.index(8), zero), b.getUnitAttr());
}

void Pipeline::multiply(WeightTile &weights, const ChunkRange &range,
                        ArrayRef<Value> data, Value stage, Value part,
                        Value local, SmallVectorImpl<Value> &sums) {
  Value g = b.div(frame.place.lane, 4), t = b.rem(frame.place.lane, 4);
  Value row =
      b.add(b.add(b.mul(stage, stageRows), b.mul(part, options.tokens)), g);
  Value near = b.add(local, swizzled(b, g, b.mul(t, 8)));
  Value far = b.xorBits(near, b.index(32));
  unsigned blocks = options.tokens / 8;
  weights.multiply(
      range, data,
      [&](unsigned chunk, unsigned half, unsigned block) {
        return b.load(
            staged,
            {b.add(row, block * 8), b.add(half ? far : near, chunk * 64)}, 8);
      },
      sums, blocks);
}

void Pipeline::run() {
  const Place &place = frame.place;
  unsigned blocks = options.tokens / 8;
  int64_t unit = options.unitChunks, ahead = options.stages - 1;
  WeightTile weights(b, spec, frame.args, place.lane, place.firstTile);
  SmallVector<Value> sums = weights.zeroSums(blocks);
  int64_t stepColumns = columns * options.warpsK;
  Value zero = b.index(0), one = b.index(1);
  // The first step of the CTA.
  Value base = frame.split ? b.mul(frame.split, steps) : zero;
  Value baseColumn = b.mul(base, stepColumns);

  if (steps > 0) {
    for (int64_t step = 0; step < ahead; ++step) {
      if (step < steps)
        copy(b.index(step), b.add(baseColumn, step * stepColumns),
             options.warpsK);
      commit();
    }
    firstGroup = group;
    auto range = [&](Value step) {
      Value index =
          b.add(b.mul(b.add(base, step), options.warpsK), place.warpK);
      return ChunkRange{b.mul(index, unit), std::nullopt,
                        static_cast<unsigned>(unit), false};
    };
    auto exists = [&](Value step) {
      Value index =
          b.add(b.mul(b.add(base, step), options.warpsK), place.warpK);
      // The steps of this CTA end where the next one's start.
      Value some = b.less(index, b.index(units));
      return options.splitK == 1 ? some
                                 : b.both(some, b.less(step, b.index(steps)));
    };
    auto loadIf = [&](Value step) {
      SmallVector<Value> nothing = weights.nothing(range(step));
      return b.when(exists(step), nothing,
                    [&] { return weights.load(range(step)); });
    };
    unsigned numSums = sums.size();
    SmallVector<Value> carried = sums;
    carried.append(loadIf(zero));
    sums = b.loop(
        zero, b.index(steps), one, carried, [&](Value step, ValueRange values) {
          wait(static_cast<unsigned>(ahead - 1));
          // Everyone has left the stage that is filled now.
          Value next = b.add(step, ahead);
          b.when(b.less(next, b.index(steps)), [&] {
            copy(b.rem(next, options.stages),
                 b.add(baseColumn, b.mul(next, stepColumns)), options.warpsK);
          });
          commit();
          SmallVector<Value> data = loadIf(b.add(step, 1));
          SmallVector<Value> before(values.take_front(numSums));
          SmallVector<Value> words(values.drop_front(numSums));
          auto product = [&] {
            SmallVector<Value> after = before;
            multiply(weights, range(step), words, b.rem(step, options.stages),
                     place.warpK, zero, after);
            return after;
          };
          SmallVector<Value> result =
              !ragged() ? product() : b.when(exists(step), before, product);
          result.append(data);
          return result;
        });
    sums.truncate(numSums);
  }

  // Chunks that fill no unit, from the first stage.
  SmallVector<ChunkRange> ranges = WeightTile::leftOver(b, spec, units * unit);
  if (!ranges.empty()) {
    gpu::BarrierOp::create(b);
    copy(zero, b.index(units * columns), 1);
    commit();
    firstGroup = firstGroup ? firstGroup : group;
    wait(0);
    for (size_t i = 0; i < ranges.size(); ++i) {
      const ChunkRange &range = ranges[i];
      Value mine = b.createOrFold<arith::CmpIOp>(
          arith::CmpIPredicate::eq, place.warpK,
          b.index(static_cast<int64_t>(i % options.warpsK)));
      if (frame.split)
        mine = b.both(mine, b.less(b.index(options.splitK - 2), frame.split));
      sums = b.when(mine, sums, [&] {
        SmallVector<Value> result = sums;
        multiply(weights, range, weights.load(range), zero, zero,
                 b.index((*range.knownFirst - units * unit) * 64), result);
        return result;
      });
    }
  }
  // After the last barrier only the last step's stage is read: sums that lie
  // elsewhere need no barrier of their own.
  int64_t stageBytes = pipelineBytes(spec) / options.stages;
  int64_t last = (steps - 1) % options.stages, need = reductionBytes(spec);
  if (ranges.empty() && need <= last * stageBytes)
    storeSums(b, spec, frame, sums, 0, /*overlaps=*/false);
  else if (ranges.empty() && need <= (options.stages - 1 - last) * stageBytes)
    storeSums(b, spec, frame, sums, (last + 1) * stageBytes,
              /*overlaps=*/false);
  else
    storeSums(b, spec, frame, sums);
}

void nv::buildPipelinedBody(Emitter &b, const MatmulSpec &spec,
                            const KernelFrame &frame) {
  Pipeline(b, spec, frame).run();
}

int64_t nv::pipelineBytes(const MatmulSpec &spec) {
  const KernelOptions &o = spec.options;
  return static_cast<int64_t>(o.stages) * o.warpsK * o.tokens * o.unitChunks *
         64 * 2;
}
