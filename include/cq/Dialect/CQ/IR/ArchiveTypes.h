//===- ArchiveTypes.h - Element types of archives ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_ARCHIVETYPES_H
#define CQ_DIALECT_CQ_IR_ARCHIVETYPES_H

#include "cq/Model/Parameters.h"
#include "mlir/IR/Types.h"
#include <optional>

namespace mlir::cq {

/// What an archive calls numbers of this type; none for types it cannot hold.
inline std::optional<DType> toDType(Type type) {
  if (type.isF32())
    return DType::F32;
  if (type.isF16())
    return DType::F16;
  if (type.isBF16())
    return DType::BF16;
  if (type.isInteger(8))
    return DType::I8;
  if (type.isInteger(16))
    return DType::I16;
  if (type.isInteger(32))
    return DType::I32;
  if (type.isInteger(64))
    return DType::I64;
  return std::nullopt;
}

} // namespace mlir::cq

#endif // CQ_DIALECT_CQ_IR_ARCHIVETYPES_H
