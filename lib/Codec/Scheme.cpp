//===- Scheme.cpp - What the numbers of a quantized weight mean -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Scheme.h"
#include "Support.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

StringRef mlir::cq::stringifyGrid(Grid grid) {
  switch (grid) {
  case Grid::Symmetric:
    return "symmetric";
  case Grid::Affine:
    return "affine";
  case Grid::HalfStep:
    return "half-step";
  }
  return "";
}

StringRef mlir::cq::stringifyScaleType(ScaleType type) {
  switch (type) {
  case ScaleType::F16:
    return "f16";
  case ScaleType::BF16:
    return "bf16";
  case ScaleType::F32:
    return "f32";
  }
  return "";
}

std::optional<Grid> mlir::cq::parseGrid(StringRef text) {
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
    if (text == stringifyGrid(grid))
      return grid;
  return std::nullopt;
}

std::optional<ScaleType> mlir::cq::parseScaleType(StringRef text) {
  for (ScaleType type : {ScaleType::F16, ScaleType::BF16, ScaleType::F32})
    if (text == stringifyScaleType(type))
      return type;
  return std::nullopt;
}

llvm::Error Scheme::check() const {
  if (!detail::isValidBits(bits))
    return detail::makeError("bits must be 2, 3, 4, 5, 6 or 8, not " +
                             Twine(bits));
  if (group != 0 && group != 32 && group != 64 && group != 128)
    return detail::makeError(
        "group must be 32, 64, 128 or the whole row (0), not " + Twine(group));
  if (grid > Grid::HalfStep)
    return detail::makeError("grid must be symmetric, affine or half-step");
  if (scaleType > ScaleType::F32)
    return detail::makeError("scale type must be f16, bf16 or f32");
  if (grid == Grid::HalfStep && bits > 4)
    return detail::makeError("the half-step grid has 2 to 4 bits, not " +
                             Twine(bits) + "; use symmetric above four bits");
  return llvm::Error::success();
}

std::string Scheme::str() const {
  std::string length = group == 0 ? "row" : "g" + std::to_string(group);
  return ("b" + Twine(bits) + "-" + length + "-" + stringifyGrid(grid) + "-" +
          stringifyScaleType(scaleType))
      .str();
}

llvm::Expected<Scheme> Scheme::parse(StringRef text) {
  StringRef rest = text;
  auto malformed = [&](const Twine &why) {
    return detail::makeError("'" + text + "' is not a scheme (" + why +
                             "); write it like b3-g64-symmetric-f16");
  };
  Scheme scheme;
  if (!rest.consume_front("b") || rest.empty() ||
      !llvm::isDigit(rest.front()) || rest.consumeInteger(10, scheme.bits))
    return malformed("it has to begin with b and the number of bits");
  if (rest.consume_front("-row")) {
    scheme.group = 0;
  } else {
    uint32_t group;
    if (!rest.consume_front("-g") || rest.empty() ||
        !llvm::isDigit(rest.front()) || rest.consumeInteger(10, group) ||
        group == 0)
      return malformed("the group has to be g and a length, or row");
    scheme.group = group;
  }
  // The grid's own name may hold a dash, so names are matched, not split.
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
    if (rest.consume_front(("-" + stringifyGrid(grid)).str())) {
      scheme.grid = grid;
      break;
    }
  if (rest.consume_front("-")) {
    std::optional<ScaleType> type = parseScaleType(rest);
    if (!type)
      return malformed("'" + rest + "' is neither a grid nor a scale type");
    scheme.scaleType = *type;
  } else if (!rest.empty()) {
    return malformed("'" + rest + "' is too much");
  }
  if (llvm::Error error = scheme.check())
    return malformed(llvm::toString(std::move(error)));
  return scheme;
}
