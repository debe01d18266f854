//===- KernelFrame.cpp - What all product kernels share -------------------===//
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

static Attribute workgroupSpace(Emitter &b) {
  return gpu::AddressSpaceAttr::get(b.getContext(),
                                    gpu::AddressSpace::Workgroup);
}

static Value special(Emitter &b, bool thread, gpu::Dimension dimension) {
  if (thread)
    return gpu::ThreadIdOp::create(b, dimension);
  return gpu::BlockIdOp::create(b, dimension);
}

KernelFrame nv::openKernel(Emitter &b, const MatmulSpec &spec) {
  const KernelOptions &options = spec.options;
  auto plane = [&](ArrayRef<int64_t> shape, Type element) -> Type {
    return MemRefType::get(shape, element);
  };
  PlaneBytes bytes =
      planeBytes(spec.n, spec.k, spec.scheme, spec.layout, spec.cherries);
  int64_t entries = spec.layout.scaleEntries(spec.n, spec.k, spec.scheme);
  Type i8 = b.getI8Type(), i16 = b.getI16Type();

  KernelFrame frame;
  SmallVector<Type> types;
  SmallVector<Value *> values;
  SmallVector<StringRef> names;
  auto argument = [&](StringRef name, Value &value, Type type) {
    types.push_back(type);
    values.push_back(&value);
    names.push_back(name);
  };
  argument("x", frame.args.x,
           plane({spec.maxTokens, spec.k}, b.floatType(spec.x)));
  argument("codes", frame.args.codes, plane(bytes.codes, i8));
  argument("scales", frame.args.scales,
           plane(entries, b.floatType(spec.scheme.scaleType)));
  if (spec.scheme.hasZeroPoints())
    argument("zeros", frame.args.zeros, plane(entries, i8));
  if (spec.cherries.form != CherryForm::None) {
    argument("cherry_columns", frame.args.cherryColumns,
             plane(spec.cherries.numColumns(spec.n, spec.k),
                   spec.cherries.columnBytes() == 1 ? i8 : i16));
    argument("cherry_deltas", frame.args.cherryDeltas,
             plane(spec.cherries.numDeltas(spec.n, spec.k), b.getF16Type()));
  }
  if (spec.layout.permuted)
    argument(
        "row_order", frame.args.rowOrder,
        plane(spec.n, b.getIntegerType(8 * Layout::orderEntryBytes(spec.n))));
  argument("y", frame.args.y,
           plane({spec.maxTokens, spec.n}, b.floatType(spec.y)));
  argument("m", frame.args.tokens, b.getI32Type());

  frame.kernel = gpu::GPUFuncOp::create(
      b, spec.name(), b.getFunctionType(types, {}), TypeRange(), TypeRange());
  gpu::GPUFuncOp kernel = frame.kernel;
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  auto threads = static_cast<int32_t>(options.threads());
  kernel.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({threads, 1, 1}));
  kernel->setAttr("cq.block", b.getDenseI32ArrayAttr({threads, 1, 1}));
  kernel->setAttr("cq.grid", b.getDenseI32ArrayAttr(
                                 {static_cast<int32_t>(spec.gridX()), 1, 1}));
  kernel->setAttr("cq.shared_bytes", b.getI64IntegerAttr(spec.sharedBytes()));
  kernel->setAttr("cq.tokens",
                  b.getI32IntegerAttr(static_cast<int32_t>(options.tokens)));
  if (options.family == Family::Pipelined)
    kernel->setAttr("cq.token_blocks", b.getUnitAttr());
  SmallVector<Attribute> labels;
  for (StringRef name : names)
    labels.push_back(b.getStringAttr(name));
  kernel->setAttr("cq.arguments", b.getArrayAttr(labels));

  b.setInsertionPointToStart(&kernel.getBody().front());
  for (auto [value, argument] :
       llvm::zip_equal(values, kernel.getBody().front().getArguments()))
    *value = argument;

  Place &place = frame.place;
  place.thread = special(b, true, gpu::Dimension::x);
  place.lane = b.rem(place.thread, 32);
  Value warp = b.div(place.thread, 32);
  place.warpK = b.rem(warp, options.warpsK);
  place.warpN = b.div(warp, options.warpsK);
  Value blockTile = b.mul(special(b, false, gpu::Dimension::x),
                          options.tiles * options.warpsN);
  place.firstTile =
      b.add(blockTile, options.warpsN == 1 ? b.index(0)
                                           : b.mul(place.warpN, options.tiles));
  place.firstRow = b.mul(blockTile, 16);
  frame.tokens = b.toIndex(frame.args.tokens);
  frame.firstToken =
      options.family == Family::Resident
          ? b.index(0)
          : b.mul(special(b, false, gpu::Dimension::y), options.tokens);
  frame.shared = gpu::DynamicSharedMemoryOp::create(
      b, MemRefType::get({ShapedType::kDynamic}, i8,
                         MemRefLayoutAttrInterface(), workgroupSpace(b)));
  return frame;
}

Value nv::sharedView(Emitter &b, const KernelFrame &frame, int64_t byte,
                     ArrayRef<int64_t> shape, Type element) {
  auto type = MemRefType::get(shape, element, MemRefLayoutAttrInterface(),
                              workgroupSpace(b));
  return memref::ViewOp::create(b, type, frame.shared, b.index(byte),
                                ValueRange());
}

Value nv::swizzled(Emitter &b, Value row, Value column) {
  return b.xorBits(column, b.mul(b.rem(row, 2), 32));
}

int64_t nv::reductionBytes(const MatmulSpec &spec) {
  return static_cast<int64_t>(spec.options.warpsK) * spec.options.tokens *
         spec.options.rowsPerBlock() * 4;
}

void nv::storeSums(Emitter &b, const MatmulSpec &spec, const KernelFrame &frame,
                   ArrayRef<Value> sums, int64_t byte) {
  const KernelOptions &options = spec.options;
  const Place &place = frame.place;
  int64_t rows = options.rowsPerBlock(), tokens = options.tokens;
  Value buffer = sharedView(
      b, frame, byte, {static_cast<int64_t>(spec.options.warpsK), tokens, rows},
      b.getF32Type());
  gpu::BarrierOp::create(b);
  Value g = b.div(place.lane, 4), t = b.rem(place.lane, 4);
  Value warpRow =
      options.warpsN == 1 ? b.index(0) : b.mul(place.warpN, 16 * options.tiles);
  int64_t blocks = (tokens + 7) / 8;
  for (unsigned tile = 0; tile < options.tiles; ++tile)
    for (int64_t block = 0; block < blocks; ++block) {
      Value sum = sums[tile * blocks + block];
      for (unsigned i = 0; i < 4; ++i) {
        Value token = b.add(b.mul(t, 2), block * 8 + i % 2);
        Value row = b.add(b.add(g, warpRow), 16 * tile + i / 2 * 8);
        Value exists = tokens >= 8 ? arith::ConstantIntOp::create(b, 1, 1)
                                   : b.less(token, b.index(tokens));
        b.when(exists, [&] {
          memref::StoreOp::create(b, b.extract(sum, i), buffer,
                                  ValueRange{place.warpK, token, row});
        });
      }
    }
  if (spec.cherries.form != CherryForm::None) {
    gpu::BarrierOp::create(b);
    addCherries(b, spec, frame, buffer);
  }
  gpu::BarrierOp::create(b);

  // Neighbouring threads store neighbouring rows.
  Value count = b.index(rows * tokens);
  b.loop(place.thread, count, b.index(options.threads()), {},
         [&](Value i, ValueRange) -> SmallVector<Value> {
           Value row = b.rem(i, rows), token = b.div(i, rows);
           Value globalRow = b.add(row, place.firstRow);
           Value globalToken = b.add(token, frame.firstToken);
           Value exists = b.less(globalToken, frame.tokens);
           if (spec.rows() % rows != 0)
             exists = b.both(exists, b.less(globalRow, b.index(spec.rows())));
           b.when(exists, [&] {
             Value sum;
             for (int64_t part = 0;
                  part < static_cast<int64_t>(spec.options.warpsK); ++part) {
               Value next = b.scalar(buffer, {b.index(part), token, row});
               sum =
                   sum ? arith::AddFOp::create(b, sum, next).getResult() : next;
             }
             Value column = b.add(globalRow, spec.firstRow());
             if (frame.args.rowOrder)
               column = b.toIndex(b.scalar(frame.args.rowOrder, column));
             memref::StoreOp::create(b, b.convert(sum, b.floatType(spec.y)),
                                     frame.args.y,
                                     ValueRange{globalToken, column});
           });
           return {};
         });
}
