//===- KernelWriter.cpp - One kernel for one linalg op --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelWriter.h"
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace mlir::cq;

/// Elements of a flat buffer's type: more than any buffer has. Kernels then do
/// not depend on the sizes of buffers, and equal ones are shared.
static constexpr int64_t flatElements = int64_t(1) << 30;

//===----------------------------------------------------------------------===//
// Arguments and host values
//===----------------------------------------------------------------------===//

Value KernelWriter::flatten(Value base, int64_t constant) {
  Type element = base.getType();
  if (auto memref = dyn_cast<MemRefType>(element))
    element = memref.getElementType();
  bool scalar = !isa<MemRefType>(base.getType());
  auto type = MemRefType::get({scalar ? 1 : flatElements},
                              scalar ? b.getI64Type() : element);
  auto cast =
      UnrealizedConversionCastOp::create(host, loc, TypeRange(type), base);
  cast->setAttr(kOffsetAttrName, host.getI64IntegerAttr(constant));
  return cast.getResult(0);
}

Value KernelWriter::argument(Value base, int64_t constant) {
  Value &argument = arguments[{base, constant}];
  if (!argument) {
    operands.push_back(flatten(base, constant));
    argument =
        kernel.getBody().front().addArgument(operands.back().getType(), loc);
  }
  return argument;
}

Value KernelWriter::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}
Value KernelWriter::add(Value x, Value y) {
  return !x ? y : !y ? x : arith::AddIOp::create(b, loc, x, y).getResult();
}
Value KernelWriter::multiply(Value x, Value y) {
  return arith::MulIOp::create(b, loc, x, y);
}

Value KernelWriter::inside(OpFoldResult value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    if (isa<Attribute>(value) || cast<Value>(value).getType().isIndex())
      return index(*constant);
  Value outer = cast<Value>(value);
  if (Value known = copied.lookup(outer))
    return known;
  // At the top of the kernel: loops may ask again.
  OpBuilder::InsertionGuard guard(b);
  Block &top = kernel.getBody().front();
  b.setInsertionPointToStart(&top);
  Operation *last = nullptr;
  auto place = [&] {
    if (last)
      b.setInsertionPointAfter(last);
    else
      b.setInsertionPointToStart(&top);
  };
  Value result;
  if (isa<BlockArgument>(outer)) {
    Value memory = argument(outer, 0);
    place();
    Value number = memref::LoadOp::create(b, loc, memory, index(0));
    result = outer.getType().isIndex()
                 ? arith::IndexCastOp::create(b, loc, outer.getType(), number)
                       .getResult()
                 : arith::TruncIOp::create(b, loc, outer.getType(), number)
                       .getResult();
  } else {
    Operation *definition = outer.getDefiningOp();
    if (!isPure(definition) || definition->getNumRegions() != 0) {
      op.emitOpError("has no kernel: it depends on what '")
          << definition->getName() << "' makes on the host";
      return nullptr;
    }
    IRMapping mapping;
    for (Value operand : definition->getOperands()) {
      Value copy = inside(operand);
      if (!copy)
        return nullptr;
      mapping.map(operand, copy);
      // Operands lie before what uses them.
      if (Operation *made = copy.getDefiningOp();
          made && made->getBlock() == &top &&
          (!last || last->isBeforeInBlock(made)))
        last = made;
    }
    place();
    if (auto apply = dyn_cast<affine::AffineApplyOp>(definition)) {
      SmallVector<Value> mapped;
      for (Value operand : apply.getMapOperands())
        mapped.push_back(mapping.lookup(operand));
      auto expanded =
          affine::expandAffineMap(b, loc, apply.getAffineMap(), mapped);
      if (!expanded) {
        op.emitOpError("has no kernel: an index of it cannot be expanded");
        return nullptr;
      }
      result = expanded->front();
    } else {
      result = b.clone(*definition, mapping)
                   ->getResult(cast<OpResult>(outer).getResultNumber());
    }
  }
  copied[outer] = result;
  return result;
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

LogicalResult KernelWriter::prepare() {
  bounds.resize(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    FailureOr<BufferView> view = viewOf(host, operand.get());
    if (failed(view))
      return op.emitOpError("has no kernel: operand ")
             << operand.getOperandNumber() << " has a layout that is not known";
    for (auto [size, result] : llvm::zip(
             view->sizes, op.getMatchingIndexingMap(&operand).getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(result))
        if (!bounds[dim.getPosition()] || isa<Attribute>(size))
          bounds[dim.getPosition()] = size;
    views[&operand] = *view;
  }
  for (auto [i, kind] : llvm::enumerate(op.getIteratorTypesArray()))
    (kind == utils::IteratorType::parallel ? parallel : reduced).push_back(i);
  for (OpFoldResult bound : bounds)
    if (!bound)
      return op.emitOpError("has no kernel: the extent of a loop is not known");
  int64_t results = 1;
  for (unsigned dim : parallel) {
    std::optional<int64_t> most = largest(bounds[dim], maxScalar);
    if (!most)
      return op.emitOpError("has no kernel: the extent of a loop has no bound");
    results *= *most;
  }
  indices.resize(bounds.size());
  int64_t each = worthWarps() ? threads / 32 : threads;
  grid = std::clamp<int64_t>((results + each - 1) / each, 1, 4096);
  return success();
}

Value KernelWriter::product(ArrayRef<unsigned> dims) {
  int64_t constant = 1;
  Value dynamic;
  for (unsigned dim : dims) {
    if (std::optional<int64_t> size = getConstantIntValue(bounds[dim])) {
      constant *= *size;
      continue;
    }
    Value size = inside(bounds[dim]);
    dynamic = dynamic ? multiply(dynamic, size) : size;
  }
  return dynamic ? multiply(dynamic, index(constant)) : index(constant);
}

void KernelWriter::delinearize(Value linear, ArrayRef<unsigned> dims) {
  for (unsigned dim : llvm::reverse(dims)) {
    if (getConstantIntValue(bounds[dim]) == 1) {
      indices[dim] = index(0);
    } else if (dim == dims.front()) {
      indices[dim] = linear;
    } else {
      Value size = inside(bounds[dim]);
      indices[dim] = arith::RemUIOp::create(b, loc, linear, size);
      linear = arith::DivUIOp::create(b, loc, linear, size);
    }
  }
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Value KernelWriter::address(OpOperand &operand) {
  BufferView &view = views[&operand];
  Value linear = view.offset ? inside(view.offset) : Value();
  for (auto [result, stride] : llvm::zip(
           op.getMatchingIndexingMap(&operand).getResults(), view.strides)) {
    Value i = affine::expandAffineExpr(b, loc, result, indices, {});
    if (getConstantIntValue(stride) != 1)
      i = multiply(i, inside(stride));
    linear = add(linear, i);
  }
  return linear ? linear : index(0);
}

Value KernelWriter::load(OpOperand &operand) {
  if (!isa<MemRefType>(operand.get().getType()))
    return inside(operand.get());
  BufferView &view = views[&operand];
  Value memory = argument(view.base, view.constant);
  return memref::LoadOp::create(b, loc, memory, address(operand));
}

void KernelWriter::store(OpOperand &operand, Value value) {
  BufferView &view = views[&operand];
  Value memory = argument(view.base, view.constant);
  memref::StoreOp::create(b, loc, value, memory, address(operand));
}

Value KernelWriter::initial(OpOperand &operand) {
  return start ? inside(start) : load(operand);
}

FailureOr<SmallVector<Value>> KernelWriter::body(ValueRange outs) {
  Block &block = *op.getBlock();
  IRMapping mapping;
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(input);
    if (!argument.use_empty())
      mapping.map(argument, load(*input));
  }
  for (auto [i, out] : llvm::enumerate(outs))
    mapping.map(op.getRegionOutputArgs()[i], out);
  for (Operation &inner : block.without_terminator()) {
    if (inner.getNumRegions() != 0)
      return op.emitOpError("has no kernel: '")
             << inner.getName() << "' in its body has regions";
    if (auto loop = dyn_cast<linalg::IndexOp>(inner)) {
      mapping.map(loop.getResult(), indices[loop.getDim()]);
      continue;
    }
    for (Value operand : inner.getOperands()) {
      if (mapping.contains(operand) || isa<MemRefType>(operand.getType()))
        continue;
      Value copy = inside(operand);
      if (!copy)
        return failure();
      mapping.map(operand, copy);
    }
    if (auto read = dyn_cast<memref::LoadOp>(inner)) {
      FailureOr<BufferView> view = viewOf(host, read.getMemRef());
      if (failed(view))
        return op.emitOpError("has no kernel: its body reads a buffer of a "
                              "layout that is not known");
      Value linear = view->offset ? inside(view->offset) : Value();
      for (auto [i, stride] : llvm::zip(read.getIndices(), view->strides))
        linear = add(linear, multiply(mapping.lookup(i), inside(stride)));
      mapping.map(read.getResult(),
                  memref::LoadOp::create(b, loc,
                                         argument(view->base, view->constant),
                                         linear ? linear : index(0)));
      continue;
    }
    if (auto apply = dyn_cast<affine::AffineApplyOp>(inner)) {
      SmallVector<Value> mapped;
      for (Value operand : apply.getMapOperands())
        mapped.push_back(mapping.lookup(operand));
      auto expanded =
          affine::expandAffineMap(b, loc, apply.getAffineMap(), mapped);
      if (!expanded)
        return op.emitOpError("has no kernel: an index of its body cannot be "
                              "expanded");
      mapping.map(apply.getResult(), expanded->front());
      continue;
    }
    if (isa<math::SinOp, math::CosOp>(inner) &&
        inner.getResult(0).getType().isF64()) {
      mapping.map(inner.getResult(0),
                  emitSineOrCosine(b, loc, mapping.lookup(inner.getOperand(0)),
                                   isa<math::SinOp>(inner)));
      continue;
    }
    if (!isPure(&inner))
      return op.emitOpError("has no kernel: '")
             << inner.getName() << "' in its body writes memory";
    b.clone(inner, mapping);
  }
  SmallVector<Value> results;
  for (Value value : block.getTerminator()->getOperands()) {
    if (!mapping.contains(value)) {
      Value copy = inside(value);
      if (!copy)
        return failure();
      mapping.map(value, copy);
    }
    results.push_back(mapping.lookup(value));
  }
  return results;
}

//===----------------------------------------------------------------------===//
// The three kinds of kernels
//===----------------------------------------------------------------------===//

/// The op of a body of one result that joins the sum so far with a new term.
Operation *KernelWriter::findCombiner() {
  if (reduced.empty() || op.getNumDpsInits() != 1)
    return nullptr;
  SmallVector<Operation *> combiners;
  if (!matchReduction(op.getRegionOutputArgs(), 0, combiners) ||
      combiners.size() != 1)
    return nullptr;
  Operation *combiner = combiners.front();
  Type type = combiner->getResult(0).getType();
  if (!type.isF32() && !type.isInteger(32))
    return nullptr;
  if (op.getBlock()->getTerminator()->getOperand(0) != combiner->getResult(0))
    return nullptr;
  return arith::getNeutralElement(combiner) ? combiner : nullptr;
}

bool KernelWriter::worthWarps() {
  if (!findCombiner())
    return false;
  int64_t terms = 1;
  for (unsigned dim : reduced) {
    std::optional<int64_t> size = getConstantIntValue(bounds[dim]);
    if (!size)
      return true;
    terms *= *size;
  }
  return terms >= 32;
}

LogicalResult KernelWriter::writeEach() {
  SmallVector<Value> outs;
  for (OpOperand &init : op.getDpsInitsMutable()) {
    bool used = !op.getMatchingBlockArgument(&init).use_empty();
    outs.push_back(used ? initial(init) : Value());
  }
  // The body asks for destinations that it does not read by no argument.
  for (auto [i, out] : llvm::enumerate(outs))
    if (!out)
      outs[i] = index(0);
  FailureOr<SmallVector<Value>> results = body(outs);
  if (failed(results))
    return failure();
  for (auto [init, result] : llvm::zip(op.getDpsInitsMutable(), *results))
    store(init, result);
  return success();
}

LogicalResult KernelWriter::writeSerial() {
  SmallVector<Value> outs;
  // Indices of reduced loops do not appear in destinations.
  for (unsigned dim : reduced)
    indices[dim] = index(0);
  for (OpOperand &init : op.getDpsInitsMutable())
    outs.push_back(initial(init));
  auto loop =
      scf::ForOp::create(b, loc, index(0), product(reduced), index(1), outs);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  delinearize(loop.getInductionVar(), reduced);
  FailureOr<SmallVector<Value>> results = body(loop.getRegionIterArgs());
  if (failed(results))
    return failure();
  b.setInsertionPointToEnd(loop.getBody());
  scf::YieldOp::create(b, loc, *results);
  b.setInsertionPointAfter(loop);
  for (unsigned dim : reduced)
    indices[dim] = index(0);
  for (auto [init, result] :
       llvm::zip(op.getDpsInitsMutable(), loop.getResults()))
    store(init, result);
  return success();
}

LogicalResult KernelWriter::writeWarps(Operation *combiner) {
  auto neutral = arith::ConstantOp::create(
      b, loc, cast<TypedAttr>(*arith::getNeutralElement(combiner)));
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value lane = arith::RemUIOp::create(b, loc, thread, index(32));
  auto loop = scf::ForOp::create(b, loc, lane, product(reduced), index(32),
                                 ValueRange(neutral.getResult()));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    delinearize(loop.getInductionVar(), reduced);
    FailureOr<SmallVector<Value>> results = body(loop.getRegionIterArgs());
    if (failed(results))
      return failure();
    b.setInsertionPointToEnd(loop.getBody());
    scf::YieldOp::create(b, loc, *results);
  }
  auto join = [&](Value x, Value y) {
    IRMapping mapping;
    mapping.map(combiner->getOperand(0), x);
    mapping.map(combiner->getOperand(1), y);
    return b.clone(*combiner, mapping)->getResult(0);
  };
  Value sum = loop.getResult(0);
  for (int32_t distance : {16, 8, 4, 2, 1}) {
    auto other = gpu::ShuffleOp::create(b, loc, sum, distance, 32,
                                        gpu::ShuffleMode::XOR);
    sum = join(sum, other.getShuffleResult());
  }
  Value first =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, lane, index(0));
  auto only = scf::IfOp::create(b, loc, first, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(only.thenBlock());
  for (unsigned dim : reduced)
    indices[dim] = index(0);
  OpOperand &init = *op.getDpsInitOperand(0);
  store(init, join(initial(init), sum));
  return success();
}

FailureOr<gpu::GPUFuncOp> KernelWriter::write(gpu::GPUModuleOp kernels) {
  if (failed(prepare()))
    return failure();
  b.setInsertionPointToEnd(&kernels.getBodyRegion().front());
  kernel = gpu::GPUFuncOp::create(b, loc, "kernel", b.getFunctionType({}, {}));
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  b.setInsertionPointToEnd(&kernel.getBody().front());
  auto done = gpu::ReturnOp::create(b, loc);
  b.setInsertionPoint(done);

  // First, what the kernel takes from the host: what follows cannot fail then.
  SmallVector<OpFoldResult> outer(bounds);
  if (start)
    outer.push_back(start);
  for (OpOperand &operand : op->getOpOperands()) {
    if (!views.contains(&operand)) {
      outer.push_back(operand.get());
      continue;
    }
    BufferView &view = views[&operand];
    llvm::append_range(outer, view.strides);
    if (view.offset)
      outer.push_back(view.offset);
  }
  for (OpFoldResult value : outer)
    if (isa<Value>(value) && !inside(value)) {
      kernel.erase();
      return failure();
    }

  bool warps = worthWarps();
  // One thread or one warp for each element of the parallel loops.
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value block = gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
  int64_t each = warps ? threads / 32 : threads;
  Value mine =
      warps ? arith::DivUIOp::create(b, loc, thread, index(32)) : thread;
  mine = add(multiply(block, index(each)), mine);
  auto loop =
      scf::ForOp::create(b, loc, mine, product(parallel), index(each * grid));
  b.setInsertionPointToStart(loop.getBody());
  if (!parallel.empty())
    delinearize(loop.getInductionVar(), parallel);
  LogicalResult written = reduced.empty() ? writeEach()
                          : warps         ? writeWarps(findCombiner())
                                          : writeSerial();
  if (failed(written)) {
    kernel.erase();
    return failure();
  }
  kernel.setFunctionType(
      b.getFunctionType(kernel.getBody().front().getArgumentTypes(), {}));
  kernel->setAttr("cq.block", b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  kernel->setAttr("cq.grid", b.getDenseI32ArrayAttr({int32_t(grid), 1, 1}));
  return kernel;
}

void KernelWriter::launch(gpu::GPUFuncOp target) {
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(host, loc, value);
  };
  Value one = constant(1);
  gpu::LaunchFuncOp::create(
      host, loc, target, gpu::KernelDim3{constant(grid), one, one},
      gpu::KernelDim3{constant(threads), one, one}, Value(), operands);
}
