//===- Html.h - Style, script and tables of the page ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_REPORT_HTML_H
#define CQ_LIB_REPORT_HTML_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// The page up to <body> and after its content.
std::string pageBegin(llvm::StringRef title);
std::string pageEnd();

/// A table that sorts by a click on a column's head.
class Table {
public:
  explicit Table(std::vector<std::string> heads) : heads(std::move(heads)) {}

  void beginRow() { rows.emplace_back(); }
  void text(llvm::StringRef words);
  /// Shown as formatNumber, sorted as what it is; none is a dash.
  void number(std::optional<double> value, llvm::StringRef unit = "");
  void integer(int64_t value);
  /// HTML as it is.
  void html(std::string cell);
  std::string str() const;

private:
  struct Cell {
    std::string html, key;
    bool numeric;
  };
  std::vector<std::string> heads;
  std::vector<std::vector<Cell>> rows;
};

} // namespace mlir::cq

#endif // CQ_LIB_REPORT_HTML_H
