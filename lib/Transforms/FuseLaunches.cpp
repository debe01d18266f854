//===- FuseLaunches.cpp - Products side by side become one launch ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A launch costs about what a second thread saves on a product of a few hundred
// thousand weights. So launches become one in two ways, which leave every
// number as it is:
//
//   in a row    the tasks of one, then those of the next: q, k and v. Any
//               kernels, any numbers of tasks.
//   in step     tasks [begin, end) of each, then the same columns of what
//               combines their results: gate, up and SwiGLU; a product and the
//               residual sum. The columns are still in the thread's cache.
//
// A group is a row of steps. It is run where its last op was; so only ops that
// touch no memory may stand between.
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
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::cq {
#define GEN_PASS_DEF_FUSELAUNCHES
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

/// How the members of a step touch a buffer.
struct Access {
  /// The one value whose columns of a task are all that the task touches; null
  /// where tasks touch more.
  Value columns;
  bool written = false;
};
using Accesses = llvm::MapVector<Value, Access>; // by getBase

/// Ops whose task i is the same columns of what they write.
struct Step {
  SmallVector<Operation *> members; ///< launches, calls and generics, in order
  int64_t tasks;
  int64_t columns;      ///< of a task; 0: tasks are no columns
  MemRefType result;    ///< of the products
  SmallVector<Value> y; ///< what members write
  Accesses accesses;
};

} // namespace

static void add(Accesses &accesses, Value value, bool columns, bool written) {
  Access access{columns ? value : Value(), written};
  auto [entry, fresh] = accesses.insert({getBase(value), access});
  if (fresh)
    return;
  if (entry->second.columns != access.columns)
    entry->second.columns = Value();
  entry->second.written |= written;
}

/// Whether tasks of a step may run at any time beside each other.
static bool areColumns(const Accesses &accesses) {
  return llvm::all_of(accesses, [](const auto &entry) {
    return !entry.second.written || entry.second.columns;
  });
}

/// Whether neither writes what the other touches.
static bool areIndependent(const Accesses &a, const Accesses &b) {
  auto disturbs = [](const Accesses &x, const Accesses &y) {
    return llvm::any_of(x, [&](const auto &entry) {
      return entry.second.written && y.count(entry.first);
    });
  };
  return !disturbs(a, b) && !disturbs(b, a);
}

namespace {

struct FuseLaunchesPass : mlir::cq::impl::FuseLaunchesBase<FuseLaunchesPass> {
  using FuseLaunchesBase::FuseLaunchesBase;

  void runOnOperation() override {
    SharedFunctions shared(getOperation());
    ExclusiveBuffers buffers(getOperation());
    functions = &shared;
    exclusive = &buffers;
    for (func::FuncOp function :
         llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      for (Block &block : function.getBody())
        fuse(block);
  }

private:
  std::optional<Step> getProduct(Operation *op);
  bool addEpilogue(SmallVector<Step, 3> &row, linalg::GenericOp generic);
  void fuse(Block &block);
  void replace(ArrayRef<Step> row, Operation *last);
  func::FuncOp makeFunction(Location loc, StringRef name, TypeRange arguments);
  func::FuncOp makeEpilogue(linalg::GenericOp generic, int64_t columnsOfTask);
  func::FuncOp makeFused(Location loc, ArrayRef<Step> row,
                         ArrayRef<Value> operands);

  SharedFunctions *functions = nullptr;
  ExclusiveBuffers *exclusive = nullptr;
};

} // namespace

/// A launch, or a call of all tasks, of a kernel that says what it writes.
std::optional<Step> FuseLaunchesPass::getProduct(Operation *op) {
  FlatSymbolRefAttr symbol;
  ValueRange args;
  std::optional<int64_t> tasks;
  if (auto launch = dyn_cast<LaunchOp>(op)) {
    symbol = launch.getKernelAttr();
    args = launch.getArgs();
    tasks = getConstantIntValue(launch.getTasks());
  } else if (auto call = dyn_cast<func::CallOp>(op)) {
    symbol = call.getCalleeAttr();
    args = call.getOperands();
    if (args.size() < 3 || !isConstantIntValue(args[args.size() - 2], 0))
      return std::nullopt;
    tasks = getConstantIntValue(args.back());
    args = args.drop_back(2);
  }
  if (!symbol || !tasks)
    return std::nullopt;
  auto kernel = functions->lookup(symbol.getValue());
  auto written =
      kernel ? kernel->getAttrOfType<IntegerAttr>("cq.written") : IntegerAttr();
  if (!written)
    return std::nullopt;
  Value y = args[written.getInt()];
  if (!exclusive->contains(getBase(y)))
    return std::nullopt;
  auto columns = kernel->getAttrOfType<IntegerAttr>("cq.columns_of_task");
  Step step{{op},
            *tasks,
            columns ? columns.getInt() : 0,
            cast<MemRefType>(y.getType()),
            {y},
            {}};
  for (auto [i, value] : llvm::enumerate(args))
    if (isa<MemRefType>(value.getType())) {
      bool isY = static_cast<int64_t>(i) == written.getInt();
      add(step.accesses, value, isY, isY);
    }
  // A kernel that reads what it writes is no product.
  return areColumns(step.accesses) ? std::optional(step) : std::nullopt;
}

/// Makes `generic` the last member of those steps whose results it reads, where
/// columns of it are computed from the same columns and from nothing else that
/// changes meanwhile.
bool FuseLaunchesPass::addEpilogue(SmallVector<Step, 3> &row,
                                   linalg::GenericOp generic) {
  if (generic.getNumLoops() != 2 || generic.getNumParallelLoops() != 2 ||
      generic.getNumResults() != 0 || generic.hasIndexSemantics() ||
      generic.getNumDpsInits() != 1)
    return false;
  Value out = generic.getDpsInits().front();
  auto outType = dyn_cast<MemRefType>(out.getType());
  if (!outType ||
      !generic.getMatchingIndexingMap(generic.getDpsInitOperand(0))
           .isIdentity() ||
      !exclusive->contains(getBase(out)))
    return false;
  // Values from outside its body are computed again; only constants are.
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(generic.getRegion(), captured);
  if (!llvm::all_of(captured,
                    [](Value v) { return matchPattern(v, m_Constant()); }))
    return false;
  Accesses accesses;
  for (OpOperand &operand : generic->getOpOperands()) {
    AffineMap map = generic.getMatchingIndexingMap(&operand);
    if (!map.isProjectedPermutation())
      return false;
    if (isa<MemRefType>(operand.get().getType()))
      add(accesses, operand.get(), map.isIdentity(), operand.get() == out);
    else if (!matchPattern(operand.get(), m_Constant()))
      return false;
  }

  Step merged;
  SmallVector<Step, 3> others;
  for (Step &step : row) {
    bool reads = llvm::any_of(
        step.y, [&](Value y) { return accesses.count(getBase(y)) != 0; });
    if (!reads) {
      others.push_back(step);
      continue;
    }
    if (step.columns == 0 || step.result.getShape() != outType.getShape())
      return false;
    if (merged.members.empty()) {
      merged = step;
      continue;
    }
    if (step.tasks != merged.tasks || step.columns != merged.columns)
      return false;
    llvm::append_range(merged.members, step.members);
    llvm::append_range(merged.y, step.y);
    for (auto &[base, access] : step.accesses)
      if (access.columns)
        add(merged.accesses, access.columns, true, access.written);
      else
        add(merged.accesses, base, false, access.written);
  }
  if (merged.members.empty())
    return false;
  merged.members.push_back(generic);
  merged.y.push_back(out);
  for (auto &[base, access] : accesses)
    add(merged.accesses, access.columns ? access.columns : base,
        !!access.columns, access.written);
  if (!areColumns(merged.accesses) ||
      !llvm::all_of(others, [&](const Step &other) {
        return areIndependent(merged.accesses, other.accesses);
      }))
    return false;
  others.push_back(std::move(merged));
  row = std::move(others);
  return true;
}

void FuseLaunchesPass::fuse(Block &block) {
  for (Operation *op = block.empty() ? nullptr : &block.front(); op;) {
    std::optional<Step> first = getProduct(op);
    if (!first) {
      op = op->getNextNode();
      continue;
    }
    SmallVector<Step, 3> row{*first};
    Operation *last = op;
    bool launches = isa<LaunchOp>(op);
    for (Operation *next = op->getNextNode(); next;
         next = next->getNextNode()) {
      if (mayBePassed(next))
        continue;
      if (auto product = getProduct(next)) {
        if (!llvm::all_of(row, [&](const Step &other) {
              return areIndependent(product->accesses, other.accesses);
            }))
          break;
        launches |= isa<LaunchOp>(next);
        row.push_back(std::move(*product));
      } else if (auto generic = dyn_cast<linalg::GenericOp>(next);
                 !generic || !addEpilogue(row, generic)) {
        break;
      }
      last = next;
    }
    Operation *after = last->getNextNode();
    // Small products alone run on this thread, together or not.
    if (last != op && launches)
      replace(row, last);
    op = after;
  }
}

/// An empty kernel over `arguments` at the end of the module.
func::FuncOp FuseLaunchesPass::makeFunction(Location loc, StringRef name,
                                            TypeRange arguments) {
  OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
  SmallVector<Type> types(arguments);
  types.append(2, b.getIndexType());
  auto function =
      func::FuncOp::create(b, loc, name, b.getFunctionType(types, TypeRange()));
  function.setPrivate();
  b.setInsertionPointToEnd(function.addEntryBlock());
  func::ReturnOp::create(b, loc);
  return function;
}

/// Columns [begin, end) · columnsOfTask of an elementwise op.
func::FuncOp FuseLaunchesPass::makeEpilogue(linalg::GenericOp generic,
                                            int64_t columnsOfTask) {
  func::FuncOp function =
      makeFunction(generic.getLoc(), "cq_epilogue", generic->getOperandTypes());
  ImplicitLocOpBuilder b(generic.getLoc(), generic->getContext());
  b.setInsertionPointToStart(&function.getBody().front());
  unsigned count = generic->getNumOperands();
  Value out = function.getArgument(count - 1);
  auto type = cast<MemRefType>(out.getType());
  Value columns =
      arith::ConstantIndexOp::create(b, type.getDimSize(1)).getResult();
  auto bound = [&](Value task) -> Value {
    return arith::MinUIOp::create(
        b,
        arith::MulIOp::create(b, task,
                              arith::ConstantIndexOp::create(b, columnsOfTask)),
        columns);
  };
  Value first = bound(function.getArgument(count));
  Value length =
      arith::SubIOp::create(b, bound(function.getArgument(count + 1)), first);
  SmallVector<Value> operands;
  IRMapping mapping;
  for (OpOperand &operand : generic->getOpOperands()) {
    Value argument = function.getArgument(operand.getOperandNumber());
    if (!isa<MemRefType>(argument.getType())) {
      operands.push_back(b.clone(*operand.get().getDefiningOp())->getResult(0));
      continue;
    }
    AffineMap map = generic.getMatchingIndexingMap(&operand);
    SmallVector<OpFoldResult> offsets, sizes,
        strides(map.getNumResults(), b.getIndexAttr(1));
    for (unsigned d = 0; d < map.getNumResults(); ++d) {
      bool sliced = map.getDimPosition(d) == 1;
      offsets.push_back(sliced ? OpFoldResult(first)
                               : OpFoldResult(b.getIndexAttr(0)));
      sizes.push_back(sliced
                          ? OpFoldResult(length)
                          : memref::getMixedSize(b, b.getLoc(), argument, d));
    }
    // One buffer may occur twice: each operand has a view of its own.
    operands.push_back(
        memref::SubViewOp::create(b, argument, offsets, sizes, strides));
  }
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(generic.getRegion(), captured);
  for (Value constant : captured)
    b.clone(*constant.getDefiningOp(), mapping);
  b.clone(*generic, mapping)->setOperands(operands);
  return functions->share(function);
}

/// The operands of a member that its kernel gets in front of begin and end.
static SmallVector<Value> getOperands(Operation *member) {
  auto operands = llvm::to_vector(member->getOperands());
  if (isa<LaunchOp>(member))
    operands.pop_back();
  else if (isa<func::CallOp>(member))
    operands.pop_back_n(2);
  return operands;
}

/// One kernel for the row over `operands`, which are those of all members.
func::FuncOp FuseLaunchesPass::makeFused(Location loc, ArrayRef<Step> row,
                                         ArrayRef<Value> operands) {
  func::FuncOp fused =
      makeFunction(loc, "cq_fused", ValueRange(operands).getTypes());
  ImplicitLocOpBuilder b(loc, fused.getContext());
  b.setInsertionPointToStart(&fused.getBody().front());
  IRMapping mapping;
  mapping.map(operands, fused.getArguments().drop_back(2));
  Value begin = fused.getArgument(operands.size()),
        end = fused.getArgument(operands.size() + 1);
  int64_t tasks = 0;
  for (const Step &step : row) {
    OpBuilder::InsertionGuard guard(b);
    Value from = begin, to = end;
    if (row.size() > 1) {
      // Its tasks are [tasks, tasks + step.tasks) of all.
      Value offset = arith::ConstantIndexOp::create(b, tasks);
      Value behind = arith::ConstantIndexOp::create(b, tasks + step.tasks);
      from = arith::MaxUIOp::create(b, begin, offset);
      to = arith::MinUIOp::create(b, end, behind);
      Value any = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, from, to);
      auto branch = scf::IfOp::create(b, any, /*withElseRegion=*/false);
      b.setInsertionPointToStart(branch.thenBlock());
      from = arith::SubIOp::create(b, from, offset);
      to = arith::SubIOp::create(b, to, offset);
    }
    for (Operation *member : step.members) {
      func::FuncOp callee;
      if (auto generic = dyn_cast<linalg::GenericOp>(member))
        callee = makeEpilogue(generic, step.columns);
      else if (auto launch = dyn_cast<LaunchOp>(member))
        callee = functions->lookup(launch.getKernel());
      else
        callee = functions->lookup(cast<func::CallOp>(member).getCallee());
      SmallVector<Value> arguments = llvm::map_to_vector(
          getOperands(member), [&](Value v) { return mapping.lookup(v); });
      arguments.append({from, to});
      func::CallOp::create(b, callee, arguments);
    }
    tasks += step.tasks;
  }
  return functions->share(fused);
}

void FuseLaunchesPass::replace(ArrayRef<Step> row, Operation *last) {
  llvm::SetVector<Value> operands;
  int64_t tasks = 0;
  Operation *first = last;
  for (const Step &step : row) {
    for (Operation *member : step.members) {
      operands.insert_range(getOperands(member));
      if (member->isBeforeInBlock(first))
        first = member;
    }
    tasks += step.tasks;
  }
  func::FuncOp fused = makeFused(last->getLoc(), row, operands.getArrayRef());
  ImplicitLocOpBuilder b(last->getLoc(), last);
  Value count = arith::ConstantIndexOp::create(b, tasks);
  LaunchOp::create(b, fused.getSymName(), operands.getArrayRef(), count);
  moveDeallocationsBehind(first, last);
  for (const Step &step : row)
    for (Operation *member : step.members) {
      if (isa<linalg::GenericOp>(member))
        ++numEpilogues;
      else
        ++numProducts;
      member->erase();
    }
}
