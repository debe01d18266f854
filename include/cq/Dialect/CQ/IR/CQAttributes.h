//===- CQAttributes.h - Attributes of the cq dialect ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQATTRIBUTES_H
#define CQ_DIALECT_CQ_IR_CQATTRIBUTES_H

#include "cq/Codec/Layout.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Codec/ReferenceGemm.h"
#include "cq/Codec/Scheme.h"
#include "mlir/IR/Attributes.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/Hashing.h"

namespace mlir::cq {

// Attribute storage is uniqued by hash; the codec itself needs none.
inline llvm::hash_code hash_value(const Scheme &s) {
  return llvm::hash_combine(s.bits, s.group, s.grid, s.scaleType);
}
inline llvm::hash_code hash_value(const RowSegment &s) {
  return llvm::hash_combine(s.rows, s.bits);
}
inline llvm::hash_code hash_value(const CherrySpec &s) {
  return llvm::hash_combine(s.form, s.count);
}

} // namespace mlir::cq

#define GET_ATTRDEF_CLASSES
#include "cq/Dialect/CQ/IR/CQAttributes.h.inc"

#endif // CQ_DIALECT_CQ_IR_CQATTRIBUTES_H
