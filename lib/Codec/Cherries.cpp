//===- Cherries.cpp - Sizes of cherry planes ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CherryWalk.h"
#include "Support.h"
#include <cmath>

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

StringRef mlir::cq::stringifyCherryForm(CherryForm form) {
  switch (form) {
  case CherryForm::None:
    return "none";
  case CherryForm::Element:
    return "element";
  case CherryForm::Column:
    return "column";
  case CherryForm::Slot:
    return "slot";
  }
  return "";
}

std::optional<CherryForm> mlir::cq::parseCherryForm(StringRef text) {
  for (CherryForm form : {CherryForm::None, CherryForm::Element,
                          CherryForm::Column, CherryForm::Slot})
    if (text == stringifyCherryForm(form))
      return form;
  return std::nullopt;
}

CherrySpec CherrySpec::fromRatio(CherryForm form, double ratio, int64_t k) {
  // Also catches NaN. A ratio of one keeps everything; no spec can hold more.
  if (form == CherryForm::None || !(ratio > 0))
    return {};
  ratio = std::min(ratio, 1.0);
  double columns =
      static_cast<double>(form == CherryForm::Slot ? 256 : k) * ratio;
  if (form == CherryForm::Element) {
    int64_t count = static_cast<int64_t>(std::ceil(columns));
    return {form, std::max<int64_t>(count / 8 * 8, 1)};
  }
  return {form, std::max<int64_t>(std::llround(columns), 1)};
}

int64_t CherrySpec::numColumns(int64_t n, int64_t k) const {
  switch (form) {
  case CherryForm::None:
    return 0;
  case CherryForm::Element:
    return n * count;
  case CherryForm::Column:
    return count;
  case CherryForm::Slot:
    return detail::ceilDiv(n, 16) * slotBlocks(k) * count * 16;
  }
  return 0;
}

int64_t CherrySpec::numDeltas(int64_t n, int64_t k) const {
  return form == CherryForm::Column ? count * n : numColumns(n, k);
}

int64_t CherrySpec::bytes(int64_t n, int64_t k) const {
  return numColumns(n, k) * columnBytes() + numDeltas(n, k) * 2;
}

llvm::Error CherrySpec::check(int64_t n, int64_t k) const {
  if (llvm::Error error = detail::checkShape(n, k))
    return error;
  if (form > CherryForm::Slot)
    return detail::makeError(
        "cherry form must be none, element, column or slot");
  if (form == CherryForm::None)
    return count == 0 ? llvm::Error::success()
                      : detail::makeError("cherry count must be 0 where the "
                                          "form is none, not " +
                                          Twine(count));
  int64_t most = k;
  if (form == CherryForm::Slot) {
    // The shortest block that has slots at all.
    most = k % 256 >= 128 ? k % 256 : 256;
  } else if (k > 65536) {
    return detail::makeError("cherries of the form " +
                             stringifyCherryForm(form) +
                             " have 16-bit columns, but the weight has " +
                             Twine(k) + " columns; use the form slot");
  }
  if (count < 1 || count > most)
    return detail::makeError("cherry count of the form " +
                             stringifyCherryForm(form) + " must be 1 to " +
                             Twine(most) + ", not " + Twine(count));
  return llvm::Error::success();
}
