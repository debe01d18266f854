//===- Activations.cpp - x in the order of warpgroup products -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// [token blocks][chunks of 64 columns][tokens][64]: a stage of a kernel is then
// one run of bytes. Inside a chunk columns have the order in which the weights'
// fragments lie (WeightTile), and 16-byte pieces are swizzled as cq.nv.wgmma
// wants them. Tokens and columns that do not exist are zeros.
//
// Piece p = 4 · half + 2 · j + h of a token holds, for t = 0 … 3, columns
// 32 · half + 8t + 4j + 2h and the next one: four pieces are a transposition
// of the pairs of 32 columns, which one thread makes.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

int64_t MatmulSpec::packedElements() const {
  int64_t tokens = options.tokens;
  return (maxTokens + tokens - 1) / tokens * tokens * chunks() * 64;
}

std::string MatmulSpec::activationsName() const {
  return ("cq_x_k" + std::to_string(k) + "_x" + stringifyScaleType(x) + "_c" +
          stringifyScaleType(compute) + "_t" + std::to_string(options.tokens))
      .str();
}

gpu::GPUFuncOp nv::buildActivationsKernel(OpBuilder &builder, Location loc,
                                          const MatmulSpec &spec) {
  constexpr unsigned threads = 256;
  OpBuilder::InsertionGuard guard(builder);
  Emitter b(loc, builder);
  KernelFrame frame;
  Type compute = b.floatType(spec.compute);
  int64_t tokens = spec.options.tokens, halves = 2 * spec.chunks();
  KernelArgument arguments[] = {
      {"x", &frame.args.x,
       MemRefType::get({spec.maxTokens, spec.k}, b.floatType(spec.x))},
      {"packed", &frame.args.packed,
       MemRefType::get({spec.packedElements()}, compute)},
      {"m", &frame.args.tokens, b.getI32Type()}};
  int64_t gridX = (tokens * halves + threads - 1) / threads;
  frame.kernel = createKernel(b, spec.activationsName(), arguments, threads,
                              gridX, /*gridZ=*/1, /*sharedBytes=*/0,
                              spec.options.tokens, /*tokenBlocks=*/true);
  Value block = blockIndex(b, gpu::Dimension::y);
  Value at =
      b.add(threadIndex(b), b.mul(blockIndex(b, gpu::Dimension::x), threads));
  Value m = b.toIndex(frame.args.tokens);
  b.when(b.less(at, b.index(tokens * halves)), [&] {
    Value row = b.div(at, halves), half = b.rem(at, halves);
    Value token = b.add(b.mul(block, tokens), row);
    Value column = b.mul(half, 32);
    auto type = VectorType::get({8}, compute);
    SmallVector<Value> runs =
        b.when(b.less(token, m), SmallVector<Value>(4, b.splat(type, 0)), [&] {
          SmallVector<Value> some;
          for (int64_t t = 0; t < 4; ++t)
            some.push_back(
                loadActivations(b, spec, frame, token, b.add(column, 8 * t)));
          return some;
        });
    Value chunk = b.add(b.mul(block, spec.chunks()), b.div(half, 2));
    Value first = b.mul(b.add(b.mul(chunk, tokens), row), 64);
    Value swizzle = b.rem(row, 8);
    for (int64_t piece = 0; piece < 4; ++piece) {
      SmallVector<Value> pairs;
      for (Value run : runs)
        pairs.push_back(b.pairOf(run, 2 * piece));
      auto join = [&](Value low, Value high, ArrayRef<int64_t> mask) -> Value {
        return vector::ShuffleOp::create(b, low, high, mask);
      };
      Value whole = join(join(pairs[0], pairs[1], {0, 1, 2, 3}),
                         join(pairs[2], pairs[3], {0, 1, 2, 3}),
                         {0, 1, 2, 3, 4, 5, 6, 7});
      Value to = b.xorBits(b.add(b.mul(b.rem(half, 2), 4), piece), swizzle);
      b.store(whole, frame.args.packed, b.add(first, b.mul(to, 8)));
    }
  });
  gpu::ReturnOp::create(b);
  return frame.kernel;
}
