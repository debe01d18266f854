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

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

static constexpr int64_t kTokens = kTransposedTokens, kLanes = 8;
/// Columns of a task that transposes.
static constexpr int64_t kTaskColumns = 32;

MemRefType mlir::cq::x86::transposedType(MLIRContext *context, int64_t m,
                                         int64_t k) {
  return MemRefType::get(
      {(m + kTokens - 1) / kTokens, CherrySpec::slotBlocks(k) * 256, kTokens},
      Float32Type::get(context));
}

// A short last block of 256 columns has no cherries, and is not needed.
int64_t mlir::cq::x86::transposeTasks(int64_t k) {
  return std::min(k, CherrySpec::slotBlocks(k) * 256) / kTaskColumns;
}

func::FuncOp mlir::cq::x86::buildTransposeKernel(OpBuilder &builder,
                                                 Location loc, StringRef name,
                                                 MemRefType x,
                                                 MemRefType columns) {
  OpBuilder::InsertionGuard guard(builder);
  assert(x.getDimSize(1) % kTaskColumns == 0);
  Value from, to, begin, end;
  std::pair<MemRefType, Value *> slots[] = {{x, &from}, {columns, &to}};
  func::FuncOp func =
      createKernelFunction(builder, loc, name, slots, begin, end);
  Emitter e(loc, builder);
  e.setInsertionPointToStart(&func.front());
  int64_t m = x.getDimSize(0);
  e.loop(begin, end, 1, [&](Value task) {
    Value first = e.mul(task, kTaskColumns);
    e.pieces(m, kTokens, {}, [&](Value token, int64_t count, ValueRange) {
      e.loop(first, e.add(first, kTaskColumns), kLanes, [&](Value column) {
        for (int64_t t = 0; t < kTokens; t += kLanes) {
          SmallVector<Value> rows;
          // Tokens that do not exist repeat the last one; nobody stores what
          // becomes of them.
          for (int64_t i = t; i < t + kLanes; ++i)
            rows.push_back(e.loadVector(
                from, {e.add(token, std::min(i, count - 1)), column}, kLanes));
          rows = transpose8(e, loc, rows);
          for (int64_t i = 0; i < kLanes; ++i)
            e.store(rows[i], to,
                    {e.udiv(token, kTokens), e.add(column, i), e.index(t)});
        }
      });
      return SmallVector<Value>();
    });
  });
  func::ReturnOp::create(e);
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
    Value tasks = arith::ConstantIndexOp::create(b, transposeTasks(k));
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
