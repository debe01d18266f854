//===- CQNV.h - Ops of NVIDIA kernels ---------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ops cq.nv.* of the cq dialect: CQNVOps.td describes them.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQNV_H
#define CQ_DIALECT_CQ_IR_CQNV_H

#include "cq/Dialect/CQ/IR/CQ.h"

#define GET_OP_CLASSES
#include "cq/Dialect/CQ/IR/CQNVOps.h.inc"

#endif // CQ_DIALECT_CQ_IR_CQNV_H
