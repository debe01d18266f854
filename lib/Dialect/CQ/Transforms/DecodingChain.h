//===- DecodingChain.h - What constants become in front of a product
//-------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Front ends decode integer weights in one generic, or in several (JAX, ONNX):
// a conversion, a subtraction, a multiplication, with reshapes between them,
// and perhaps shifts and masks before. Evaluating the chain over its constants,
// with codes, zero points and scales kept apart, needs no list of such forms.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_DECODINGCHAIN_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_DECODINGCHAIN_H

#include "cq/Codec/Scheme.h"
#include "cq/Model/Parameters.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Value.h"
#include <vector>

namespace mlir::cq {

/// Numbers of a tensor's elements, in order.
struct DecodedNumbers {
  enum class Kind {
    Integer, ///< `codes`, of `bits` bits, zero-extended
    Float,   ///< `scales`
    Level    ///< scales · (codes − zeros)
  };
  Kind kind = Kind::Integer;
  unsigned bits = 32;
  std::vector<int32_t> codes, zeros;
  std::vector<float> scales;
  ScaleType scaleType = ScaleType::F32; ///< of `scales`, as they are stored
  std::string name; ///< of the constant or global that holds the codes
};

/// Whether `value` is computed from constants and globals alone, integers among
/// them that become floating-point numbers on the way.
bool isDecodingChain(Value value);

/// The numbers of `value`; or a sentence why they cannot be told. `archive`
/// (may be null) has the globals by reference.
llvm::Expected<DecodedNumbers>
evaluateDecodingChain(Value value, const SymbolTable &symbols,
                      const ParameterArchive *archive);

/// The integers of a constant or global, sign-extended on request.
llvm::Expected<DecodedNumbers> readCodes(Value value, bool isSigned,
                                         const SymbolTable &symbols,
                                         const ParameterArchive *archive);

/// The floating-point numbers of a constant or global.
llvm::Expected<DecodedNumbers> readScales(Value value,
                                          const SymbolTable &symbols,
                                          const ParameterArchive *archive);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_DECODINGCHAIN_H
