//===- TransposeActivations.cpp - x by columns, once for all products -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Heuristics.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

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
