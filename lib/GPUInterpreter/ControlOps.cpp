//===- ControlOps.cpp - scf, cf and calls ---------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A divergent branch runs one side after the other, each for its lanes. Loops
// go on while any lane has an iteration left.
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

/// Copies values to others for the lanes of `mask`, as if all at once.
static void copyLanes(Warp &warp, ArrayRef<Slot> from, ArrayRef<Slot> to,
                      LaneMask mask) {
  if (from.empty())
    return;
  SmallVector<uint64_t, 256> values;
  for (Slot slot : from)
    for (uint32_t e = 0; e != slot.count; ++e)
      values.append(warp.lanes(slot.index + e),
                    warp.lanes(slot.index + e) + kLanes);
  const uint64_t *value = values.data();
  for (Slot slot : to)
    for (uint32_t e = 0; e != slot.count; ++e, value += kLanes) {
      uint64_t *out = warp.lanes(slot.index + e);
      for (unsigned lane = 0; lane != kLanes; ++lane)
        if (mask >> lane & 1)
          out[lane] = value[lane];
    }
}

/// Lanes of `mask` whose bit 0 of `slot` is set.
static LaneMask lanesWhere(Warp &warp, Slot slot, LaneMask mask) {
  const uint64_t *values = warp.lanes(slot);
  LaneMask result = 0;
  for (unsigned lane = 0; lane != kLanes; ++lane)
    result |= LaneMask(values[lane] & 1) << lane;
  return result & mask;
}

namespace {
/// What the terminators of a region need to know of the operation around it.
struct Loop {
  Slot iv, upper, step;
  bool isFor = false, isUnsigned = false;
  SmallVector<Slot> arguments; ///< of the body; of `before` for a while
  SmallVector<Slot> afterArguments, results;
  const Code *after = nullptr;
  const Code *before = nullptr;
  unsigned bits = 64;

  LaneMask continues(Warp &warp, LaneMask mask) const {
    LaneMask result = 0;
    for (unsigned lane = 0; lane != kLanes; ++lane) {
      uint64_t a = warp.lanes(iv)[lane], b = warp.lanes(upper)[lane];
      bool less =
          isUnsigned ? a < b : signExtend(a, bits) < signExtend(b, bits);
      result |= LaneMask(less) << lane;
    }
    return result & mask;
  }
};
} // namespace

static FailureOr<Action> translateIf(Operation *operation, Translator &t) {
  auto op = cast<scf::IfOp>(operation);
  FailureOr<Slot> condition = t.slot(op.getCondition());
  FailureOr<const Code *> then = t.translate(*op.thenBlock());
  FailureOr<const Code *> otherwise = static_cast<const Code *>(nullptr);
  if (op.elseBlock())
    otherwise = t.translate(*op.elseBlock());
  if (failed(condition) || failed(then) || failed(otherwise) ||
      failed(t.slots(op.getResults())))
    return failure();
  return Action([condition = *condition, then = *then,
                 otherwise = *otherwise](Warp &warp) {
    LaneMask mask = warp.mask(), yes = lanesWhere(warp, condition, mask);
    ++warp.frames.back().pc;
    if (otherwise && yes != mask)
      warp.frames.push_back({otherwise, 0, mask & ~yes, nullptr});
    if (yes)
      warp.frames.push_back({then, 0, yes, nullptr});
    return Outcome::Jump;
  });
}

static FailureOr<Action> translateFor(Operation *operation, Translator &t) {
  auto op = cast<scf::ForOp>(operation);
  auto loop = std::make_shared<Loop>();
  FailureOr<Slot> iv = t.slot(op.getInductionVar()),
                  lower = t.slot(op.getLowerBound()),
                  upper = t.slot(op.getUpperBound()),
                  step = t.slot(op.getStep());
  FailureOr<SmallVector<Slot>> arguments = t.slots(op.getRegionIterArgs()),
                               results = t.slots(op.getResults()),
                               inits = t.slots(op.getInitArgs());
  if (failed(iv) || failed(lower) || failed(upper) || failed(step) ||
      failed(arguments) || failed(results) || failed(inits))
    return failure();
  loop->isFor = true;
  loop->isUnsigned = op.getUnsignedCmp();
  loop->iv = *iv;
  loop->upper = *upper;
  loop->step = *step;
  loop->arguments = *arguments;
  loop->results = *results;
  loop->bits = elementBits(op.getInductionVar().getType());
  FailureOr<const Code *> body = t.translate(*op.getBody());
  if (failed(body))
    return failure();
  return Action(
      [loop, body = *body, lower = *lower, inits = *inits](Warp &warp) {
        LaneMask mask = warp.mask();
        for (unsigned lane = 0; lane != kLanes; ++lane)
          if (mask >> lane & 1 &&
              signExtend(warp.lanes(loop->step)[lane], loop->bits) <= 0)
            return warp.fail(lane, "the step of a loop must be positive");
        ++warp.frames.back().pc;
        copyLanes(warp, {lower}, {loop->iv}, mask);
        copyLanes(warp, inits, loop->results, mask);
        copyLanes(warp, inits, loop->arguments, mask);
        if (LaneMask active = loop->continues(warp, mask))
          warp.frames.push_back({body, 0, active, loop.get()});
        return Outcome::Jump;
      });
}

static FailureOr<Action> translateWhile(Operation *operation, Translator &t) {
  auto op = cast<scf::WhileOp>(operation);
  auto loop = std::make_shared<Loop>();
  FailureOr<SmallVector<Slot>> arguments = t.slots(op.getBeforeArguments()),
                               after = t.slots(op.getAfterArguments()),
                               results = t.slots(op.getResults()),
                               inits = t.slots(op.getInits());
  if (failed(arguments) || failed(after) || failed(results) || failed(inits))
    return failure();
  loop->arguments = *arguments;
  loop->afterArguments = *after;
  loop->results = *results;
  FailureOr<const Code *> beforeCode = t.translate(*op.getBeforeBody()),
                          afterCode = t.translate(*op.getAfterBody());
  if (failed(beforeCode) || failed(afterCode))
    return failure();
  loop->before = *beforeCode;
  loop->after = *afterCode;
  return Action([loop, inits = *inits](Warp &warp) {
    LaneMask mask = warp.mask();
    ++warp.frames.back().pc;
    copyLanes(warp, inits, loop->arguments, mask);
    warp.frames.push_back({loop->before, 0, mask, loop.get()});
    return Outcome::Jump;
  });
}

static FailureOr<Action> translateCondition(Operation *operation,
                                            Translator &t) {
  auto op = cast<scf::ConditionOp>(operation);
  FailureOr<Slot> condition = t.slot(op.getCondition());
  FailureOr<SmallVector<Slot>> values = t.slots(op.getArgs());
  if (failed(condition) || failed(values))
    return failure();
  return Action([condition = *condition, values = *values](Warp &warp) {
    Frame &frame = warp.frames.back();
    const Loop &loop = *static_cast<const Loop *>(frame.owner);
    LaneMask yes = lanesWhere(warp, condition, frame.mask);
    copyLanes(warp, values, loop.results, frame.mask & ~yes);
    copyLanes(warp, values, loop.afterArguments, yes);
    if (yes == 0)
      warp.frames.pop_back();
    else
      frame = {loop.after, 0, yes, &loop};
    return Outcome::Jump;
  });
}

static FailureOr<Action> translateYield(Operation *op, Translator &t) {
  FailureOr<SmallVector<Slot>> values = t.slots(op->getOperands());
  FailureOr<SmallVector<Slot>> results =
      t.slots(op->getParentOp()->getResults());
  if (failed(values) || failed(results))
    return failure();
  if (isa<scf::ForOp>(op->getParentOp()))
    return Action([values = *values](Warp &warp) {
      Frame &frame = warp.frames.back();
      const Loop &loop = *static_cast<const Loop *>(frame.owner);
      copyLanes(warp, values, loop.results, frame.mask);
      copyLanes(warp, loop.results, loop.arguments, frame.mask);
      for (unsigned lane = 0; lane != kLanes; ++lane)
        if (frame.mask >> lane & 1)
          warp.lanes(loop.iv)[lane] =
              (warp.lanes(loop.iv)[lane] + warp.lanes(loop.step)[lane]) &
              lowBits(loop.bits);
      frame.mask = loop.continues(warp, frame.mask);
      frame.pc = 0;
      if (frame.mask == 0)
        warp.frames.pop_back();
      return Outcome::Jump;
    });
  if (isa<scf::WhileOp>(op->getParentOp()))
    return Action([values = *values](Warp &warp) {
      Frame &frame = warp.frames.back();
      const Loop &loop = *static_cast<const Loop *>(frame.owner);
      copyLanes(warp, values, loop.arguments, frame.mask);
      frame = {loop.before, 0, frame.mask, &loop};
      return Outcome::Jump;
    });
  if (!isa<scf::IfOp, scf::ExecuteRegionOp, scf::IndexSwitchOp>(
          op->getParentOp()))
    return op->emitError() << "the interpreter does not know '"
                           << op->getParentOp()->getName() << "'";
  return Action([values = *values, results = *results](Warp &warp) {
    copyLanes(warp, values, results, warp.mask());
    warp.frames.pop_back();
    return Outcome::Jump;
  });
}

static FailureOr<Action> translateIndexSwitch(Operation *operation,
                                              Translator &t) {
  auto op = cast<scf::IndexSwitchOp>(operation);
  FailureOr<Slot> argument = t.slot(op.getArg());
  FailureOr<const Code *> fallback = t.translate(op.getDefaultBlock());
  if (failed(argument) || failed(fallback) || failed(t.slots(op.getResults())))
    return failure();
  SmallVector<std::pair<uint64_t, const Code *>> cases;
  for (auto [index, value] : llvm::enumerate(op.getCases())) {
    FailureOr<const Code *> code =
        t.translate(op.getCaseBlock(static_cast<unsigned>(index)));
    if (failed(code))
      return failure();
    cases.push_back({static_cast<uint64_t>(value), *code});
  }
  return Action([=, argument = *argument, fallback = *fallback](Warp &warp) {
    LaneMask left = warp.mask();
    ++warp.frames.back().pc;
    for (auto [value, code] : cases) {
      LaneMask mask = 0;
      for (unsigned lane = 0; lane != kLanes; ++lane)
        mask |= LaneMask(warp.lanes(argument)[lane] == value) << lane;
      mask &= left;
      left &= ~mask;
      if (mask)
        warp.frames.push_back({code, 0, mask, nullptr});
    }
    if (left)
      warp.frames.push_back({fallback, 0, left, nullptr});
    return Outcome::Jump;
  });
}

static FailureOr<Action> translateExecuteRegion(Operation *operation,
                                                Translator &t) {
  auto op = cast<scf::ExecuteRegionOp>(operation);
  if (!op.getRegion().hasOneBlock())
    return op.emitError() << "the interpreter knows one block here";
  FailureOr<const Code *> code = t.translate(op.getRegion().front());
  if (failed(code) || failed(t.slots(op.getResults())))
    return failure();
  return Action([code = *code](Warp &warp) {
    ++warp.frames.back().pc;
    warp.frames.push_back({code, 0, warp.mask(), nullptr});
    return Outcome::Jump;
  });
}

namespace {
struct Target {
  const Code *code;
  SmallVector<Slot> from, to;

  Outcome enter(Warp &warp) const {
    copyLanes(warp, from, to, warp.mask());
    warp.frames.back().code = code;
    warp.frames.back().pc = 0;
    return Outcome::Jump;
  }
};
} // namespace

static FailureOr<Target> targetOf(Translator &t, Block *block,
                                  ValueRange operands) {
  FailureOr<SmallVector<Slot>> from = t.slots(operands),
                               to = t.slots(block->getArguments());
  if (failed(from) || failed(to))
    return failure();
  FailureOr<const Code *> code = t.translate(*block);
  if (failed(code))
    return failure();
  return Target{*code, *from, *to};
}

static FailureOr<Action> translateBranch(Operation *operation, Translator &t) {
  auto op = cast<cf::BranchOp>(operation);
  FailureOr<Target> target = targetOf(t, op.getDest(), op.getDestOperands());
  if (failed(target))
    return failure();
  return Action([target = *target](Warp &warp) { return target.enter(warp); });
}

static FailureOr<Action> translateCondBranch(Operation *operation,
                                             Translator &t) {
  auto op = cast<cf::CondBranchOp>(operation);
  FailureOr<Slot> condition = t.slot(op.getCondition());
  FailureOr<Target> yes =
                        targetOf(t, op.getTrueDest(), op.getTrueDestOperands()),
                    no = targetOf(t, op.getFalseDest(),
                                  op.getFalseDestOperands());
  if (failed(condition) || failed(yes) || failed(no))
    return failure();
  return Action([condition = *condition, yes = *yes, no = *no](Warp &warp) {
    LaneMask set = lanesWhere(warp, condition, warp.mask());
    if (set != 0 && set != warp.mask())
      return warp.fail(-1, "lanes take different branches: only scf "
                           "operations may diverge in the interpreter");
    return (set ? yes : no).enter(warp);
  });
}

static FailureOr<Action> translateAssert(Operation *operation, Translator &t) {
  auto op = cast<cf::AssertOp>(operation);
  FailureOr<Slot> condition = t.slot(op.getArg());
  if (failed(condition))
    return failure();
  return Action(
      [condition = *condition, message = op.getMsg().str()](Warp &warp) {
        for (unsigned lane = 0; lane != kLanes; ++lane)
          if (warp.active(lane) && !(warp.lanes(condition)[lane] & 1))
            return warp.fail(lane, "assertion failed: " + Twine(message));
        return Outcome::Next;
      });
}

static FailureOr<Action> translateReturn(Operation *op, Translator &t) {
  if (op->getNumOperands())
    return op->emitError() << "kernels return nothing";
  return Action([](Warp &warp) {
    warp.frames.pop_back();
    return Outcome::Jump;
  });
}

void gpusim::addControlRules(Translator &t) {
  t.add("scf.if", translateIf);
  t.add("scf.for", translateFor);
  t.add("scf.while", translateWhile);
  t.add("scf.condition", translateCondition);
  t.add("scf.yield", translateYield);
  t.add("scf.index_switch", translateIndexSwitch);
  t.add("scf.execute_region", translateExecuteRegion);
  t.add("cf.br", translateBranch);
  t.add("cf.cond_br", translateCondBranch);
  t.add("cf.assert", translateAssert);
  t.addAll(translateReturn, "gpu.return", "llvm.return", "func.return");
}
