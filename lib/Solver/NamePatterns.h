//===- NamePatterns.h - Regular expressions over weight names -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_NAMEPATTERNS_H
#define CQ_LIB_SOLVER_NAMEPATTERNS_H

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/Regex.h"
#include <optional>
#include <vector>

namespace mlir::cq {

/// Compiled patterns that remember whether they matched anything.
class NamePatterns {
public:
  llvm::Error add(const std::string &pattern) {
    llvm::Regex regex(pattern);
    std::string problem;
    if (!regex.isValid(problem))
      return llvm::createStringError("the regular expression '" + pattern +
                                     "' is not valid: " + problem);
    regexes.push_back({pattern, std::move(regex), false});
    return llvm::Error::success();
  }
  /// Index of the first pattern found in `name`.
  std::optional<size_t> match(llvm::StringRef name) {
    std::optional<size_t> first;
    for (auto [index, item] : llvm::enumerate(regexes)) {
      if (!item.regex.match(name))
        continue;
      item.used = true;
      if (!first)
        first = index;
    }
    return first;
  }
  llvm::Error checkAllUsed(llvm::StringRef option) const {
    for (const Item &item : regexes)
      if (!item.used)
        return llvm::createStringError(
            option + "='" + item.pattern +
            "' matches no weight of the model; cq-print-weights lists them");
    return llvm::Error::success();
  }

private:
  struct Item {
    std::string pattern;
    llvm::Regex regex;
    bool used;
  };
  std::vector<Item> regexes;
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_NAMEPATTERNS_H
