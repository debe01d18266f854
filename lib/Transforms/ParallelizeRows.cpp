//===- ParallelizeRows.cpp - Loops over many rows become launches ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A run of linalg ops that all treat index i of one parallel loop apart from
// the others (norms of tokens, softmax of rows) is a kernel whose tasks are
// these indices. Kernels whose tasks are rows of all their operands
// (`cq.rows_of_task`: quantization of activations) join: a token is quantized
// by the thread that normalized it, while its row is in that thread's cache.
//
//===----------------------------------------------------------------------===//

#include "ExclusiveBuffers.h"
#include "SharedFunctions.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Transforms/Passes.h"
#include "cq/Transforms/RunBehind.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include <numeric>

namespace mlir::cq {
#define GEN_PASS_DEF_PARALLELIZEROWS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

/// The dimension among `groups` that is alone in the `position`th; -1: none.
int64_t getSingle(ArrayRef<ReassociationIndices> groups, int64_t position) {
  return groups[position].size() == 1 ? groups[position].front() : -1;
}

/// Index i of dimension `dim` of `value` is index i of the dimension returned
/// of the value returned, of which it is a view: two views of one buffer that
/// have the same rows are known for it by that.
std::pair<Value, int64_t> getViewedRows(Value value, int64_t dim) {
  while (dim >= 0) {
    int64_t source = -1;
    Operation *view = value.getDefiningOp();
    if (auto expand = dyn_cast_or_null<memref::ExpandShapeOp>(view)) {
      SmallVector<ReassociationIndices> groups =
          expand.getReassociationIndices();
      for (auto [i, group] : llvm::enumerate(groups))
        if (getSingle(groups, i) == dim)
          source = static_cast<int64_t>(i);
    } else if (auto collapse =
                   dyn_cast_or_null<memref::CollapseShapeOp>(view)) {
      source = getSingle(collapse.getReassociationIndices(), dim);
    } else if (auto slice = dyn_cast_or_null<memref::SubViewOp>(view)) {
      llvm::SmallBitVector dropped = slice.getDroppedDims();
      for (int64_t kept = -1; kept != dim;)
        kept += !dropped.test(++source);
      if (getConstantIntValue(slice.getMixedOffsets()[source]) != 0 ||
          getConstantIntValue(slice.getMixedStrides()[source]) != 1)
        source = -1;
    }
    if (source < 0)
      break;
    value = cast<ViewLikeOpInterface>(view).getViewSource();
    dim = source;
  }
  return {value, dim};
}

/// How a run touches a buffer: task i only `value` at i of dimension `dim`, or
/// (-1) all of it.
struct Access {
  Value value;
  int64_t dim = -1;
  bool written = false;
};

struct Member {
  Operation *op;
  int64_t loop; ///< of linalg ops: the one whose index is the task
  int64_t work; ///< elements of its loops
};

struct Run {
  SmallVector<Member> members;
  llvm::MapVector<Value, Access> accesses; // by getBase
  int64_t tasks = 0;
  int64_t work() const {
    return std::accumulate(
        members.begin(), members.end(), int64_t(0),
        [](int64_t sum, const Member &m) { return sum + m.work; });
  }

  /// Adds what a member does with a buffer; false where tasks would no longer
  /// be apart.
  bool add(Value value, int64_t dim, bool written) {
    std::tie(value, dim) = getViewedRows(value, dim);
    auto [entry, fresh] =
        accesses.insert({getBase(value), Access{value, dim, written}});
    Access &access = entry->second;
    access.written |= written;
    if (fresh)
      return !written || dim >= 0;
    if (access.value != value || access.dim != dim)
      access.dim = -1;
    return !access.written || access.dim >= 0;
  }
};

struct ParallelizeRowsPass
    : mlir::cq::impl::ParallelizeRowsBase<ParallelizeRowsPass> {
  using ParallelizeRowsBase::ParallelizeRowsBase;

  void runOnOperation() override {
    SharedFunctions shared(getOperation());
    ExclusiveBuffers buffers(getOperation());
    functions = &shared;
    exclusive = &buffers;
    for (func::FuncOp function :
         llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      for (Block &block : function.getBody())
        visit(block);
  }

private:
  std::optional<Run> extend(const Run &run, Operation *op, int64_t loop);
  std::optional<Run> extendByKernel(Run run, Operation *op);
  Run collect(std::optional<Run> next, Operation *op);
  void visit(Block &block);
  void replace(const Run &run);

  SharedFunctions *functions = nullptr;
  ExclusiveBuffers *exclusive = nullptr;
};

} // namespace

static int64_t getPosition(AffineMap map, int64_t loop) {
  for (unsigned i = 0; i < map.getNumResults(); ++i)
    if (map.getDimPosition(i) == static_cast<unsigned>(loop))
      return i;
  return -1;
}

/// Types that a launch passes to its kernel.
static bool mayBePassedOn(Value value) {
  Type type = value.getType();
  return isa<MemRefType, IndexType>(type) || type.isF32() ||
         type.isInteger(32) || type.isInteger(64);
}

/// The run with `op`, whose tasks are those of `loop`.
std::optional<Run> ParallelizeRowsPass::extend(const Run &run, Operation *op,
                                               int64_t loop) {
  auto linalgOp = cast<linalg::LinalgOp>(op);
  SmallVector<int64_t> extents = linalgOp.getStaticLoopRanges();
  if (linalgOp.getIteratorTypesArray()[loop] != utils::IteratorType::parallel ||
      extents[loop] != run.tasks)
    return std::nullopt;
  Run next = run;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = linalgOp.getMatchingIndexingMap(&operand);
    if (!map.isProjectedPermutation())
      return std::nullopt;
    bool written = linalgOp.isDpsInit(&operand);
    if (!isa<MemRefType>(operand.get().getType())) {
      if (written)
        return std::nullopt;
      continue;
    }
    if ((written && !exclusive->contains(getBase(operand.get()))) ||
        !next.add(operand.get(), getPosition(map, loop), written))
      return std::nullopt;
  }
  int64_t work = 1;
  for (int64_t extent : extents)
    if (llvm::MulOverflow(work, ShapedType::isDynamic(extent) ? 256 : extent,
                          work))
      return std::nullopt;
  next.members.push_back({op, loop, work});
  return next;
}

/// The tasks of a launch, where their number is known.
static std::optional<int64_t> getTasks(Operation *op) {
  auto launch = dyn_cast<LaunchOp>(op);
  if (!launch)
    return std::nullopt;
  if (auto dim = launch.getTasks().getDefiningOp<memref::DimOp>())
    if (std::optional<int64_t> index = dim.getConstantIndex()) {
      int64_t size =
          cast<MemRefType>(dim.getSource().getType()).getDimSize(*index);
      if (ShapedType::isDynamic(size))
        return std::nullopt;
      return size;
    }
  return getConstantIntValue(launch.getTasks());
}

/// The run with a launch of a kernel whose tasks are rows.
std::optional<Run> ParallelizeRowsPass::extendByKernel(Run run, Operation *op) {
  std::optional<int64_t> tasks = getTasks(op);
  if (!tasks)
    return std::nullopt;
  auto launch = cast<LaunchOp>(op);
  ValueRange args = launch.getArgs();
  auto kernel = functions->lookup(launch.getKernel());
  auto written =
      kernel ? kernel->getAttrOfType<DenseI64ArrayAttr>("cq.rows_of_task")
             : DenseI64ArrayAttr();
  if (!written || tasks != run.tasks)
    return std::nullopt;
  for (auto [i, value] : llvm::enumerate(args)) {
    bool isWritten =
        llvm::is_contained(written.asArrayRef(), static_cast<int64_t>(i));
    if ((isWritten && !exclusive->contains(getBase(value))) ||
        !run.add(value, 0, isWritten))
      return std::nullopt;
  }
  run.members.push_back({op, -1, 0});
  return run;
}

static bool mayBeMember(Operation *op) {
  if (!isa<linalg::GenericOp, linalg::FillOp>(op) || op->getNumResults() != 0 ||
      linalg::isaContractionOpInterface(cast<linalg::LinalgOp>(op)))
    return false;
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  // Buffers are touched as operands, by maps.
  if (llvm::any_of(captured,
                   [](Value v) { return isa<MemRefType>(v.getType()); }))
    return false;
  captured.insert_range(op->getOperands());
  return llvm::all_of(captured, [](Value v) {
    return mayBePassedOn(v) || matchPattern(v, m_Constant());
  });
}

/// The longest run that begins with `next`, whose last member is `op`.
Run ParallelizeRowsPass::collect(std::optional<Run> next, Operation *op) {
  Run run;
  while (next) {
    run = std::move(*next);
    do
      op = op->getNextNode();
    while (op && mayBePassed(op));
    next = std::nullopt;
    if (!op)
      break;
    if (!mayBeMember(op)) {
      next = extendByKernel(run, op);
      continue;
    }
    int64_t loops = cast<linalg::LinalgOp>(op).getNumLoops();
    for (int64_t d = 0; d < loops && !next; ++d)
      next = extend(run, op, d);
  }
  // A product behind the run looks for the fill of its result.
  while (!run.members.empty() && isa<linalg::FillOp>(run.members.back().op))
    run.members.pop_back();
  return run;
}

void ParallelizeRowsPass::visit(Block &block) {
  for (Operation *op = block.empty() ? nullptr : &block.front(); op;) {
    Operation *after = op->getNextNode();
    Run best;
    bool pays = false;
    if (mayBeMember(op)) {
      auto first = cast<linalg::LinalgOp>(op);
      for (auto [loop, extent] : llvm::enumerate(first.getStaticLoopRanges()))
        if (extent >= minTasks && !ShapedType::isDynamic(extent)) {
          Run begun;
          begun.tasks = extent;
          Run run = collect(extend(begun, op, static_cast<int64_t>(loop)), op);
          if (run.work() > best.work())
            best = std::move(run);
        }
      pays = best.work() >= minWork;
    } else if (std::optional<int64_t> tasks = getTasks(op)) {
      // A launch as it is, but for what can join it.
      Run begun;
      begun.tasks = *tasks;
      best = collect(extendByKernel(begun, op), op);
      pays = best.members.size() > 1;
    }
    if (pays) {
      after = best.members.back().op->getNextNode();
      replace(best);
    }
    op = after;
  }
}

void ParallelizeRowsPass::replace(const Run &run) {
  llvm::SetVector<Value> operands;
  llvm::SetVector<Operation *> constants;
  auto use = [&](Value value) {
    if (matchPattern(value, m_Constant()))
      constants.insert(value.getDefiningOp());
    else
      operands.insert(value);
  };
  for (const Member &member : run.members) {
    llvm::SetVector<Value> used;
    if (auto launch = dyn_cast<LaunchOp>(member.op))
      used.insert_range(launch.getArgs());
    else
      used.insert_range(member.op->getOperands());
    getUsedValuesDefinedAbove(member.op->getRegions(), used);
    llvm::for_each(used, use);
  }

  Operation *last = run.members.back().op;
  ImplicitLocOpBuilder b(last->getLoc(), last);
  SmallVector<Type> types =
      llvm::to_vector(ValueRange(operands.getArrayRef()).getTypes());
  types.append(2, b.getIndexType());
  func::FuncOp function;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(getOperation().getBody());
    function = func::FuncOp::create(b, "cq_rows",
                                    b.getFunctionType(types, TypeRange()));
    function.setPrivate();
    b.setInsertionPointToEnd(function.addEntryBlock());
    IRMapping whole;
    whole.map(operands.getArrayRef(), function.getArguments().drop_back(2));
    for (Operation *constant : constants)
      b.clone(*constant, whole);
    Value begin = function.getArgument(operands.size()),
          end = function.getArgument(operands.size() + 1);
    Value count = arith::SubIOp::create(b, end, begin);
    for (const Member &member : run.members) {
      if (auto launch = dyn_cast<LaunchOp>(member.op)) {
        SmallVector<Value> arguments = llvm::map_to_vector(
            launch.getArgs(), [&](Value v) { return whole.lookup(v); });
        arguments.append({begin, end});
        func::CallOp::create(b, functions->lookup(launch.getKernel()),
                             arguments);
        continue;
      }
      auto linalgOp = cast<linalg::LinalgOp>(member.op);
      SmallVector<Value> parts;
      for (OpOperand &operand : member.op->getOpOperands()) {
        Value value = whole.lookup(operand.get());
        auto type = dyn_cast<MemRefType>(value.getType());
        int64_t dim =
            getPosition(linalgOp.getMatchingIndexingMap(&operand), member.loop);
        if (type && dim >= 0) {
          SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)),
              strides(type.getRank(), b.getIndexAttr(1)),
              sizes = memref::getMixedSizes(b, b.getLoc(), value);
          offsets[dim] = begin;
          sizes[dim] = count;
          value = memref::SubViewOp::create(b, value, offsets, sizes, strides);
        }
        parts.push_back(value);
      }
      Operation *clone = b.clone(*member.op, whole);
      clone->setOperands(parts);
      // Indices of the sliced loop count from the slice.
      SmallVector<linalg::IndexOp> indices;
      clone->walk([&](linalg::IndexOp index) {
        if (static_cast<int64_t>(index.getDim()) == member.loop)
          indices.push_back(index);
      });
      for (linalg::IndexOp index : indices) {
        OpBuilder::InsertionGuard inner(b);
        b.setInsertionPointAfter(index);
        auto sum = arith::AddIOp::create(b, index, begin);
        index.getResult().replaceAllUsesExcept(sum, sum);
      }
    }
    func::ReturnOp::create(b);
  }
  function = functions->share(function);
  Value tasks = arith::ConstantIndexOp::create(b, run.tasks);
  LaunchOp::create(b, function.getSymName(), operands.getArrayRef(), tasks);
  ++numLaunches;
  moveDeallocationsBehind(run.members.front().op, last);
  for (const Member &member : run.members)
    member.op->erase();
}
