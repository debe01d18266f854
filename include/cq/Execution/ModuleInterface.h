//===- ModuleInterface.h - What drivers know of compiled code ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Signatures, parameters and model attributes of a module, taken from the
// module before lowering and stored as JSON beside its object code, so that a
// second start neither parses nor lowers anything.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_MODULEINTERFACE_H
#define CQ_EXECUTION_MODULEINTERFACE_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir {
class ModuleOp;
} // namespace mlir

namespace mlir::cq {

/// A tensor of static shape, or a scalar.
struct ValueInfo {
  bool isTensor = false;
  std::string elementType; ///< as MLIR prints it: "f32", "i32", "index", …
  llvm::SmallVector<int64_t, 4> shape;
  /// Results only: the argument that is updated in place instead of a pointer
  /// of its own.
  std::optional<unsigned> argument;
  int64_t numElements() const;
  int64_t numBytes() const; ///< elements in whole bytes each
};

/// A public function @name, compiled as
/// `void entryPoint(void **parameters, arguments…, results…)`.
struct FunctionInfo {
  std::string name, entryPoint;
  std::vector<ValueInfo> arguments, results;
};

/// An entry of the parameter table.
struct ParameterSlot {
  std::string name;
  ValueInfo type;
};

struct ModuleInterface {
  std::vector<FunctionInfo> functions;
  std::vector<ParameterSlot> parameters;
  /// Module attributes `cq.*` that are numbers, strings, bools or arrays and
  /// dictionaries of these, without the prefix: "parameters", "model".
  llvm::json::Object attributes;

  const FunctionInfo *find(llvm::StringRef name) const;

  static llvm::Expected<ModuleInterface> of(ModuleOp module);
  llvm::json::Value toJSON() const;
  static llvm::Expected<ModuleInterface>
  fromJSON(const llvm::json::Value &value);
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_MODULEINTERFACE_H
