//===- FieldReader.h - Fields of hostile JSON objects -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_FIELDREADER_H
#define CQ_LIB_SOLVER_FIELDREADER_H

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <cmath>
#include <optional>

namespace mlir::cq {

/// Reads the fields of one JSON object; the first problem is kept as a
/// sentence.
class FieldReader {
public:
  FieldReader(const llvm::json::Object &object, std::string where)
      : object(object), where(std::move(where)) {}

  bool has(llvm::StringRef key) {
    known.insert(key);
    return object.get(key) != nullptr;
  }
  std::string text(llvm::StringRef key) {
    known.insert(key);
    if (auto value = object.getString(key))
      return value->str();
    fail("needs the text field '" + key + "'");
    return "";
  }
  int64_t integer(llvm::StringRef key, int64_t low, int64_t high) {
    known.insert(key);
    auto value = object.getInteger(key);
    if (value && *value >= low && *value <= high)
      return *value;
    fail(llvm::formatv("needs the field '{0}' between {1} and {2}", key, low,
                       high));
    return low;
  }
  /// A finite number.
  double number(llvm::StringRef key) {
    known.insert(key);
    if (auto value = object.getNumber(key); value && std::isfinite(*value))
      return *value;
    fail("needs the finite number '" + key + "'");
    return 0;
  }
  bool boolean(llvm::StringRef key) {
    known.insert(key);
    if (!object.get(key))
      return false;
    if (auto value = object.getBoolean(key))
      return *value;
    fail("has a field '" + key + "' that is not true or false");
    return false;
  }
  template <typename T>
  T oneOf(llvm::StringRef key, std::optional<T> (*parse)(llvm::StringRef)) {
    std::string value = text(key);
    if (std::optional<T> parsed = parse(value))
      return *parsed;
    fail("has an unknown " + key + " '" + value + "'");
    return T();
  }
  const llvm::json::Object *child(llvm::StringRef key) {
    known.insert(key);
    if (!object.get(key))
      return nullptr;
    const llvm::json::Object *value = object.getObject(key);
    if (!value)
      fail("has a field '" + key + "' that is not an object");
    return value;
  }
  const llvm::json::Array *array(llvm::StringRef key) {
    known.insert(key);
    const llvm::json::Array *value = object.getArray(key);
    if (!value)
      fail("needs the list '" + key + "'");
    return value;
  }
  void ignore(llvm::StringRef key) { known.insert(key); }
  void fail(const llvm::Twine &what) {
    if (problem.empty())
      problem = (llvm::Twine(where) + " " + what).str();
  }
  /// After all fields: a key nobody asked for is a typing error.
  llvm::Error finish() {
    for (const auto &field : object)
      if (!known.contains(llvm::StringRef(field.first)))
        fail("has the unknown field '" + llvm::StringRef(field.first) + "'");
    if (problem.empty())
      return llvm::Error::success();
    return llvm::createStringError(problem);
  }

private:
  const llvm::json::Object &object;
  std::string where, problem;
  llvm::StringSet<> known;
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_FIELDREADER_H
