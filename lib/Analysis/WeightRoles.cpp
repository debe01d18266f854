//===- WeightRoles.cpp - What a weight is used for ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightRoles.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace mlir::cq;

bool cq::isHeadName(StringRef name) {
  name.consume_back(".weight");
  // The whole last component: "attn_output" and "output.dense" are no heads.
  return name.rsplit('.').second.empty()
             ? name == "output" || name == "lm_head" || name == "head"
             : llvm::is_contained({"output", "lm_head"},
                                  name.rsplit('.').second);
}

bool cq::isVocabulary(Operation *module, int64_t n) {
  auto model = module->getAttrOfType<DictionaryAttr>("cq.model");
  auto vocabulary =
      model ? model.getAs<IntegerAttr>("vocabulary") : IntegerAttr();
  return vocabulary && vocabulary.getInt() == n;
}

bool cq::feedsResult(Operation *op) {
  SmallVector<Operation *> worklist(op->user_begin(), op->user_end());
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!worklist.empty() && seen.size() < 64) {
    Operation *user = worklist.pop_back_val();
    if (!seen.insert(user).second)
      continue;
    if (isa<func::ReturnOp>(user)) {
      if (user->getParentOfType<func::FuncOp>().isPublic())
        return true;
      continue;
    }
    auto linalgOp = dyn_cast<linalg::LinalgOp>(user);
    bool elementwise = linalgOp && linalgOp.getNumReductionLoops() == 0;
    if (elementwise || isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                           tensor::CastOp, tensor::ExtractSliceOp>(user))
      worklist.append(user->user_begin(), user->user_end());
  }
  return false;
}

bool cq::isRowGather(linalg::GenericOp generic, tensor::ExtractOp extract,
                     std::string &why) {
  auto fail = [&](const char *reason) {
    why = reason;
    return false;
  };
  if (generic.getNumDpsInits() != 1 || generic.getNumReductionLoops() != 0 ||
      !generic.hasPureTensorSemantics() ||
      !generic.getIndexingMapsArray().back().isIdentity())
    return fail("the op that picks its elements does more than that");
  if (generic.getBody()->getTerminator()->getOperand(0) != extract.getResult())
    return fail("the op that picks its elements computes with them");
  unsigned last = generic.getNumLoops() - 1;
  auto column = extract.getIndices()[1].getDefiningOp<linalg::IndexOp>();
  if (!column || column.getDim() != last)
    return fail("its elements are picked one by one, not in rows");
  auto type = cast<RankedTensorType>(generic.getResult(0).getType());
  if (type.getDimSize(last) != extract.getTensor().getType().getDimSize(1))
    return fail("parts of its rows are picked");
  // The row may depend on everything but the column.
  for (Operation &op : *generic.getBody())
    if (auto index = dyn_cast<linalg::IndexOp>(op);
        index && index.getDim() == last)
      for (Operation *user : index->getUsers())
        if (user != extract)
          return fail("the row that is picked depends on the column");
  for (auto [number, map] : llvm::enumerate(generic.getIndexingMapsArray()))
    if (static_cast<int64_t>(number) < generic.getNumDpsInputs() &&
        map.isFunctionOfDim(last) &&
        !generic.getBody()->getArgument(number).use_empty())
      return fail("the row that is picked depends on the column");
  if (extract.getIndices()[0] == extract.getIndices()[1])
    return fail("its diagonal is picked");
  return true;
}
