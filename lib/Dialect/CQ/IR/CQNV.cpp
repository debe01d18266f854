//===- CQNV.cpp - Ops of NVIDIA kernels -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/IR/Builders.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "cq/Dialect/CQ/IR/CQNVOps.cpp.inc"
