//===- TransposeActivations.cpp - x by columns, once for all products -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "Heuristics.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "cq/Conversion/Transpose.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

static constexpr int64_t kTokens = kTransposedTokens, kLanes = 8;

MemRefType mlir::cq::x86::transposedType(MLIRContext *context, int64_t m,
                                         int64_t k) {
  return MemRefType::get(
      {(m + kTokens - 1) / kTokens, CherrySpec::slotBlocks(k) * 256, kTokens},
      Float32Type::get(context));
}

// Tasks are tokens, so that cq-parallelize-rows can have a token transposed
// while it is in the cache of the thread that made it. Eight tokens at a time
// are a vector of a column: a range that begins or ends among them stores the
// lanes that it has.
func::FuncOp mlir::cq::x86::buildTransposeKernel(OpBuilder &builder,
                                                 Location loc, StringRef name,
                                                 MemRefType x,
                                                 MemRefType columns) {
  OpBuilder::InsertionGuard guard(builder);
  int64_t m = x.getDimSize(0), k = x.getDimSize(1);
  // A short last block of 256 columns has no cherries, and is not needed.
  int64_t width = std::min(k, columns.getDimSize(1));
  assert(width % kLanes == 0);
  Value from, to, begin, end;
  std::pair<MemRefType, Value *> slots[] = {{x, &from}, {columns, &to}};
  func::FuncOp func =
      createKernelFunction(builder, loc, name, slots, begin, end);
  Emitter e(loc, builder);
  e.setInsertionPointToStart(&func.front());
  auto transposeGroup = [&](Value group, Value stop, bool whole) {
    Value last = e.sub(e.min(stop, e.index(m)), e.index(1)), mask;
    SmallVector<Value> tokens;
    for (int64_t i = 0; i < kLanes; ++i)
      tokens.push_back(e.min(e.max(e.add(group, i), begin), last));
    if (!whole) {
      auto lanes = VectorType::get({kLanes}, e.getI1Type());
      auto upTo = [&](Value bound) {
        return vector::CreateMaskOp::create(
            e, lanes, e.min(e.sub(bound, group), e.index(kLanes)));
      };
      Value before = upTo(e.max(begin, group));
      mask = arith::XOrIOp::create(e, upTo(stop), before);
    }
    Value block = e.udiv(group, kTokens), lane = e.urem(group, kTokens);
    e.loop(e.index(0), e.index(width), kLanes, [&](Value column) {
      SmallVector<Value> rows;
      for (Value token : tokens)
        rows.push_back(e.loadVector(from, {token, column}, kLanes));
      rows = transpose8(e, loc, rows);
      for (int64_t i = 0; i < kLanes; ++i) {
        SmallVector<Value> place{block, e.add(column, i), lane};
        if (whole)
          e.store(rows[i], to, place);
        else
          vector::MaskedStoreOp::create(e, to, place, mask, rows[i]);
      }
    });
  };
  e.ifThen(
      arith::CmpIOp::create(e, arith::CmpIPredicate::ult, begin, end), [&] {
        // Tokens that do not exist repeat the last one; nobody stores what
        // becomes of them.
        Value rounded = e.index((m + kTokens - 1) / kTokens * kTokens);
        Value stop = arith::SelectOp::create(
            e,
            arith::CmpIOp::create(e, arith::CmpIPredicate::eq, end, e.index(m)),
            rounded, end);
        e.loop(e.mul(e.udiv(begin, kLanes), kLanes), stop, kLanes,
               [&](Value group) {
                 Value inside = arith::AndIOp::create(
                     e,
                     arith::CmpIOp::create(e, arith::CmpIPredicate::ule, begin,
                                           group),
                     arith::CmpIOp::create(e, arith::CmpIPredicate::ule,
                                           e.add(group, kLanes), stop));
                 e.ifThen(
                     inside, [&] { transposeGroup(group, stop, true); },
                     [&] { transposeGroup(group, stop, false); });
               });
      });
  func::ReturnOp::create(e);
  // For cq-parallelize-rows: task i is row i of x, and writes its part of this.
  func->setAttr("cq.rows_of_task", builder.getDenseI64ArrayAttr({1}));
  return func;
}

/// Products that use what `quantize` made of x before anybody else writes it:
/// until then x is what it was.
static SmallVector<MatmulOp> productsOf(DynamicQuantizeOp quantize) {
  Operation *end = nullptr;
  SmallVector<MatmulOp> products;
  for (Operation *user : quantize.getCodesInit().getUsers()) {
    if (user->getBlock() != quantize->getBlock() ||
        !quantize->isBeforeInBlock(user))
      continue;
    auto product = dyn_cast<MatmulOp>(user);
    if (product && product.getInit() != quantize.getCodesInit())
      products.push_back(product);
    else if (!end || user->isBeforeInBlock(end))
      end = user;
  }
  llvm::erase_if(products, [&](MatmulOp product) {
    return product.getActivationCodes() != quantize.getCodesInit() ||
           product.getX() != quantize.getX() ||
           (end && end->isBeforeInBlock(product));
  });
  return products;
}

void mlir::cq::x86::transposeActivations(
    ModuleOp module, KernelCache &cache,
    llvm::function_ref<bool(MatmulOp)> wanted) {
  module.walk([&](DynamicQuantizeOp quantize) {
    auto type = dyn_cast<MemRefType>(quantize.getX().getType());
    if (!type || type.getRank() != 2 || !type.hasStaticShape() ||
        !type.isLastDimUnitStride())
      return;
    SmallVector<MatmulOp> products = productsOf(quantize);
    llvm::erase_if(products,
                   [&](MatmulOp product) { return !wanted(product); });
    if (products.empty())
      return;
    int64_t m = type.getDimSize(0), k = type.getDimSize(1);
    ImplicitLocOpBuilder b(quantize.getLoc(), quantize->getContext());
    b.setInsertionPointAfter(quantize);
    MemRefType columnsType = transposedType(b.getContext(), m, k);
    Value columns = memref::AllocOp::create(b, columnsType);
    std::string name =
        "cq_transpose_k" + std::to_string(k) + "_m" + std::to_string(m);
    func::FuncOp kernel = cache.get(
        name, {type, columnsType}, [&](OpBuilder &builder, StringRef symbol) {
          return buildTransposeKernel(builder, b.getLoc(), symbol, type,
                                      columnsType);
        });
    Value tasks = arith::ConstantIndexOp::create(b, m);
    if (m * k < parallelQuantizeElements()) {
      Value zero = arith::ConstantIndexOp::create(b, 0);
      func::CallOp::create(b, kernel,
                           ValueRange{quantize.getX(), columns, zero, tasks});
    } else {
      LaunchOp::create(b, kernel.getSymName(),
                       ValueRange{quantize.getX(), columns}, tasks);
    }
    Operation *last = products.front();
    for (MatmulOp product : products) {
      cache.setColumns(product, columns);
      if (last->isBeforeInBlock(product))
        last = product;
    }
    b.setInsertionPointAfter(last);
    memref::DeallocOp::create(b, columns);
  });
}
