//===- KernelFrame.cpp - What all product kernels share -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

static Attribute workgroupSpace(Emitter &b) {
  return gpu::AddressSpaceAttr::get(b.getContext(),
                                    gpu::AddressSpace::Workgroup);
}

Value nv::threadIndex(Emitter &b) {
  return gpu::ThreadIdOp::create(b, gpu::Dimension::x);
}

Value nv::blockIndex(Emitter &b, gpu::Dimension dimension) {
  return gpu::BlockIdOp::create(b, dimension);
}

Value nv::dynamicShared(Emitter &b) {
  return gpu::DynamicSharedMemoryOp::create(
      b, MemRefType::get({ShapedType::kDynamic}, b.getI8Type(),
                         MemRefLayoutAttrInterface(), workgroupSpace(b)));
}

gpu::GPUFuncOp nv::createKernel(Emitter &b, StringRef name,
                                ArrayRef<KernelArgument> arguments,
                                unsigned threads, int64_t gridX, int64_t gridZ,
                                int64_t sharedBytes, unsigned tokens,
                                bool tokenBlocks) {
  SmallVector<Type> types;
  SmallVector<Attribute> labels;
  for (const KernelArgument &argument : arguments) {
    types.push_back(argument.type);
    labels.push_back(b.getStringAttr(argument.name));
  }
  auto kernel = gpu::GPUFuncOp::create(b, name, b.getFunctionType(types, {}),
                                       TypeRange(), TypeRange());
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  auto block = b.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1});
  kernel.setKnownBlockSizeAttr(block);
  kernel->setAttr("cq.block", block);
  kernel->setAttr("cq.grid",
                  b.getDenseI32ArrayAttr({static_cast<int32_t>(gridX), 1,
                                          static_cast<int32_t>(gridZ)}));
  kernel->setAttr("cq.shared_bytes", b.getI64IntegerAttr(sharedBytes));
  kernel->setAttr("cq.tokens",
                  b.getI32IntegerAttr(static_cast<int32_t>(tokens)));
  if (tokenBlocks)
    kernel->setAttr("cq.token_blocks", b.getUnitAttr());
  kernel->setAttr("cq.arguments", b.getArrayAttr(labels));
  b.setInsertionPointToStart(&kernel.getBody().front());
  for (auto [argument, value] :
       llvm::zip_equal(arguments, kernel.getBody().front().getArguments()))
    *argument.value = value;
  return kernel;
}

/// CTAs of a multiprocessor that ptxas is to leave registers for; 0: as many as
/// it likes. It would rather spill a little than have a CTA less, even where
/// shared memory has no room for that one.
static int64_t leastBlocks(const MatmulSpec &spec) {
  const KernelOptions &options = spec.options;
  if (options.family == Family::Warpgroup)
    return 1;
  bool more = spec.scheme.hasZeroPoints() || spec.compute == FloatKind::BF16;
  if (options.family == Family::Resident)
    return options.tokens == 8 || more ? std::max(1u, 512 / options.threads())
                                       : 0;
  int64_t group = spec.scheme.group ? spec.scheme.group : spec.k;
  if (options.tokens <= 16) {
    if (group == 32)
      return spec.scheme.hasZeroPoints() ? 1 : 2;
    return more ? 2 : 0;
  }
  // Scales of many groups, twice.
  if (options.tokens == 32 && group <= 64)
    return 1;
  // Given all registers, ptxas starts too many loads of 64 tokens at once.
  if (options.tokens >= 64 && group == 32)
    return 0;
  int64_t fitting = (227 << 10) / spec.sharedBytes();
  int64_t most = (options.tokens >= 64 ? 256 : 512) / options.threads();
  return std::max<int64_t>(1, std::min(most, fitting));
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
  SmallVector<KernelArgument> arguments;
  auto argument = [&](StringRef name, Value &value, Type type) {
    arguments.push_back({name, &value, type});
  };
  argument("x", frame.args.x,
           plane({spec.maxTokens, spec.k}, b.floatType(spec.x)));
  if (options.family == Family::Warpgroup)
    argument("packed", frame.args.packed,
             plane(spec.packedElements(), b.floatType(spec.compute)));
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
  int64_t splits = options.splitK;
  if (splits > 1)
    argument("partial", frame.args.y,
             plane({spec.maxTokens, splits, spec.n}, b.getF32Type()));
  else
    argument("y", frame.args.y,
             plane({spec.maxTokens, spec.n}, b.floatType(spec.y)));
  argument("m", frame.args.tokens, b.getI32Type());
  frame.kernel = createKernel(
      b, spec.name(), arguments, options.threads(), spec.gridX(), splits,
      spec.sharedBytes(), options.tokens, options.family != Family::Resident);
  if (int64_t blocks = leastBlocks(spec))
    frame.kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(blocks));
  if (options.family == Family::Warpgroup)
    frame.kernel->setAttr(
        "cq.prepare",
        FlatSymbolRefAttr::get(b.getContext(), spec.activationsName()));
  if (splits > 1) {
    frame.kernel->setAttr(
        "cq.finish", FlatSymbolRefAttr::get(b.getContext(), spec.sumName()));
    frame.split = blockIndex(b, gpu::Dimension::z);
  }

  Place &place = frame.place;
  place.thread = threadIndex(b);
  place.lane = b.rem(place.thread, 32);
  Value warp = b.div(place.thread, 32);
  place.warpK = b.rem(warp, options.warpsK);
  place.warpN = b.div(warp, options.warpsK);
  Value blockTile =
      b.mul(blockIndex(b, gpu::Dimension::x), options.tiles * options.warpsN);
  place.firstTile =
      b.add(blockTile, options.warpsN == 1 ? b.index(0)
                                           : b.mul(place.warpN, options.tiles));
  place.firstRow = b.mul(blockTile, 16);
  frame.tokens = b.toIndex(frame.args.tokens);
  frame.firstToken =
      options.family == Family::Resident
          ? b.index(0)
          : b.mul(blockIndex(b, gpu::Dimension::y), options.tokens);
  frame.shared = dynamicShared(b);
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
                   ArrayRef<Value> sums, int64_t byte, bool overlaps) {
  const KernelOptions &options = spec.options;
  const Place &place = frame.place;
  int64_t rows = options.rowsPerBlock(), tokens = options.tokens;
  Value buffer = sharedView(
      b, frame, byte, {static_cast<int64_t>(spec.options.warpsK), tokens, rows},
      b.getF32Type());
  auto barrier = [&] {
    // The warpgroup that copies has no part in it.
    if (options.family == Family::Warpgroup)
      NVVM::BarrierOp::create(b, Type(), b.i32(1), b.i32(options.multipliers()),
                              NVVM::BarrierReductionAttr(), Value());
    else
      gpu::BarrierOp::create(b);
  };
  if (overlaps)
    barrier();
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
    barrier();
    addCherries(b, spec, frame, buffer);
  }
  barrier();

  // Neighbouring threads store neighbouring rows.
  Value count = b.index(rows * tokens);
  b.loop(place.thread, count, b.index(options.multipliers()), {},
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
             SmallVector<Value> at{globalToken, column};
             if (frame.split)
               at.insert(at.begin() + 1, frame.split);
             else
               sum = b.convert(sum, b.floatType(spec.y));
             memref::StoreOp::create(b, sum, frame.args.y, at);
           });
           return {};
         });
}
