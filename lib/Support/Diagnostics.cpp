//===- Diagnostics.cpp - One-sentence errors of the readers ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;

llvm::Error mlir::cq::fail(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

std::string mlir::cq::quoted(llvm::StringRef name) {
  constexpr size_t limit = 80;
  std::string text = "'";
  for (char c : name.take_front(limit)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && byte < 0x80)
      text += c;
    else
      text += "\\x" + llvm::utohexstr(byte, /*LowerCase=*/true, /*Width=*/2);
  }
  if (name.size() > limit)
    text += "...";
  return text + "'";
}

std::optional<int64_t>
mlir::cq::checkedElements(llvm::ArrayRef<int64_t> shape) {
  int64_t product = 1;
  for (int64_t extent : shape)
    if (extent <= 0 || __builtin_mul_overflow(product, extent, &product) ||
        product > (int64_t(1) << 62))
      return std::nullopt;
  return product;
}

std::string mlir::cq::printShape(llvm::ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << '[';
  llvm::interleaveComma(shape, os);
  os << ']';
  return text;
}
