//===- CQAttributes.cpp - Attributes of the cq dialect --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQAttributes.h"
#include "CQDetail.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::cq;

#define GET_ATTRDEF_CLASSES
#include "cq/Dialect/CQ/IR/CQAttributes.cpp.inc"

void CQDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "cq/Dialect/CQ/IR/CQAttributes.cpp.inc"
      >();
}

// A dash is no part of an MLIR keyword, so names are spelled with underscores.
static std::string toKeyword(StringRef text) {
  std::string keyword = text.str();
  llvm::replace(keyword, '-', '_');
  return keyword;
}

/// Parses a keyword that `parse` (a codec function) understands.
template <typename T>
static FailureOr<T> parseKeyword(AsmParser &parser,
                                 std::optional<T> (*parse)(StringRef),
                                 StringRef what) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef keyword;
  if (parser.parseKeyword(&keyword))
    return failure();
  std::string text = keyword.str();
  llvm::replace(text, '_', '-');
  if (std::optional<T> value = parse(text))
    return *value;
  return parser.emitError(loc, "unknown ") << what << " '" << keyword << "'";
}

template <typename T, typename Attr>
static Attribute parseEnumAttr(AsmParser &parser,
                               std::optional<T> (*parse)(StringRef),
                               StringRef what) {
  if (parser.parseLess())
    return {};
  FailureOr<T> value = parseKeyword<T>(parser, parse, what);
  if (failed(value) || parser.parseGreater())
    return {};
  return Attr::get(parser.getContext(), *value);
}

Attribute QuantizerAttr::parse(AsmParser &parser, Type) {
  return parseEnumAttr<QuantizerKind, QuantizerAttr>(parser, parseQuantizerKind,
                                                     "quantizer");
}
void QuantizerAttr::print(AsmPrinter &printer) const {
  printer << '<' << toKeyword(stringifyQuantizerKind(getKind())) << '>';
}

Attribute CriterionAttr::parse(AsmParser &parser, Type) {
  return parseEnumAttr<CherryCriterion, CriterionAttr>(
      parser, parseCherryCriterion, "cherry criterion");
}
void CriterionAttr::print(AsmPrinter &printer) const {
  printer << '<' << toKeyword(stringifyCherryCriterion(getCriterion())) << '>';
}

Attribute ActivationAttr::parse(AsmParser &parser, Type) {
  return parseEnumAttr<ActivationMode, ActivationAttr>(
      parser, parseActivationMode, "activation mode");
}
void ActivationAttr::print(AsmPrinter &printer) const {
  printer << '<' << toKeyword(stringifyActivationMode(getMode())) << '>';
}

//===----------------------------------------------------------------------===//
// #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
//===----------------------------------------------------------------------===//

Attribute SchemeAttr::parse(AsmParser &parser, Type) {
  Scheme scheme;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword("bits") ||
      parser.parseEqual() || parser.parseInteger(scheme.bits) ||
      parser.parseComma() || parser.parseKeyword("group") ||
      parser.parseEqual())
    return {};
  if (succeeded(parser.parseOptionalKeyword("row")))
    scheme.group = 0;
  else if (parser.parseInteger(scheme.group))
    return {};
  if (parser.parseComma() || parser.parseKeyword("grid") || parser.parseEqual())
    return {};
  FailureOr<Grid> grid = parseKeyword<Grid>(parser, parseGrid, "grid");
  if (failed(grid) || parser.parseComma() || parser.parseKeyword("scale") ||
      parser.parseEqual())
    return {};
  FailureOr<ScaleType> type =
      parseKeyword<ScaleType>(parser, parseScaleType, "scale type");
  if (failed(type) || parser.parseGreater())
    return {};
  scheme.grid = *grid;
  scheme.scaleType = *type;
  return parser.getChecked<SchemeAttr>(loc, parser.getContext(), scheme);
}

void SchemeAttr::print(AsmPrinter &printer) const {
  Scheme scheme = getScheme();
  printer << "<bits = " << scheme.bits << ", group = ";
  if (scheme.group == 0)
    printer << "row";
  else
    printer << scheme.group;
  printer << ", grid = " << toKeyword(stringifyGrid(scheme.grid))
          << ", scale = " << stringifyScaleType(scheme.scaleType) << '>';
}

LogicalResult SchemeAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 Scheme scheme) {
  if (llvm::Error error = scheme.check())
    return emitError() << llvm::toString(std::move(error));
  return success();
}

//===----------------------------------------------------------------------===//
// #cq.layout<panel16, [192 : 3]>
//===----------------------------------------------------------------------===//

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess())
    return {};
  FailureOr<LayoutKind> kind =
      parseKeyword<LayoutKind>(parser, parseLayoutKind, "layout");
  SmallVector<RowSegment, 1> segments;
  auto parseSegment = [&]() -> ParseResult {
    RowSegment segment{};
    if (parser.parseInteger(segment.rows) || parser.parseColon() ||
        parser.parseInteger(segment.bits))
      return failure();
    segments.push_back(segment);
    return success();
  };
  if (failed(kind) || parser.parseComma() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     parseSegment))
    return {};
  bool permuted = false;
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("permuted"))
      return {};
    permuted = true;
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<LayoutAttr>(loc, parser.getContext(), *kind,
                                       ArrayRef<RowSegment>(segments),
                                       permuted);
}

void LayoutAttr::print(AsmPrinter &printer) const {
  printer << '<' << toKeyword(stringifyLayoutKind(getKind())) << ", [";
  llvm::interleaveComma(getSegments(), printer, [&](const RowSegment &segment) {
    printer << segment.rows << " : " << segment.bits;
  });
  printer << (getPermuted() ? "], permuted>" : "]>");
}

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 LayoutKind kind, ArrayRef<RowSegment> segments,
                                 bool permuted) {
  // K is not known here; one column is the least a weight can have. N is the
  // sum of the rows, and the sum may be hostile.
  int64_t n = 0;
  for (const RowSegment &segment : segments)
    if (segment.rows <= 0 || __builtin_add_overflow(n, segment.rows, &n))
      return emitError() << "layout segments need positive rows with a sum "
                            "below 2^63, got "
                         << segment.rows;
  Layout layout{kind, {segments.begin(), segments.end()}, permuted};
  if (llvm::Error error = layout.check(n, 1))
    return emitError() << llvm::toString(std::move(error));
  return success();
}

Layout LayoutAttr::getLayout() const {
  return Layout{
      getKind(), {getSegments().begin(), getSegments().end()}, getPermuted()};
}

int64_t LayoutAttr::getNumRows() const {
  int64_t n = 0;
  for (const RowSegment &segment : getSegments())
    n += segment.rows;
  return n;
}

//===----------------------------------------------------------------------===//
// #cq.cherries<slot, 1>
//===----------------------------------------------------------------------===//

Attribute CherriesAttr::parse(AsmParser &parser, Type) {
  CherrySpec spec;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess())
    return {};
  FailureOr<CherryForm> form =
      parseKeyword<CherryForm>(parser, parseCherryForm, "cherry form");
  if (failed(form) || parser.parseComma() || parser.parseInteger(spec.count) ||
      parser.parseGreater())
    return {};
  spec.form = *form;
  return parser.getChecked<CherriesAttr>(loc, parser.getContext(), spec);
}

void CherriesAttr::print(AsmPrinter &printer) const {
  printer << '<' << stringifyCherryForm(getSpec().form) << ", "
          << getSpec().count << '>';
}

LogicalResult CherriesAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   CherrySpec spec) {
  if (spec.form == CherryForm::None || spec.count <= 0)
    return emitError() << "cherries need a form (element, column, slot) and a "
                          "positive count; leave the attribute out for none";
  return success();
}
