//===- Weight.cpp - C API: quantized weights ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LastError.h"
#include "cq-c/CQ.h"
#include "cq/Codec/Quantizer.h"

using namespace mlir::cq;

struct CqWeight_ {
  PackedWeight packed;
};

/// The value of `text` by `parse`, or a sentence naming the argument.
template <typename Parse>
static auto parseArgument(const char *argument, const char *text, Parse parse)
    -> llvm::Expected<typename decltype(parse(""))::value_type> {
  if (text)
    if (auto value = parse(text))
      return *value;
  return llvm::createStringError(llvm::Twine(argument) + " '" +
                                 (text ? text : "(null)") + "' is not known");
}

static llvm::Expected<CqWeight>
quantize(const float *w, int64_t n, int64_t k, const char *schemeText,
         const char *quantizerText, const char *layoutText,
         const char *formText, double ratio, const char *criterionText,
         const float *columnWeights) {
  if (!w || n <= 0 || k <= 0)
    return llvm::createStringError(
        "the weight must have at least one row and one column");
  auto scheme = Scheme::parse(schemeText ? schemeText : "");
  if (!scheme)
    return scheme.takeError();
  auto quantizer =
      parseArgument("quantizer", quantizerText, parseQuantizerKind);
  if (!quantizer)
    return quantizer.takeError();
  auto kind = parseArgument("layout", layoutText, parseLayoutKind);
  if (!kind)
    return kind.takeError();
  auto form = parseArgument("cherry form", formText, parseCherryForm);
  if (!form)
    return form.takeError();

  Layout layout = Layout::uniform(*kind, n, scheme->bits);
  if (llvm::Error error = layout.check(n, k))
    return std::move(error);
  CherryPositions cherries;
  bool hasCherries = *form != CherryForm::None;
  if (hasCherries) {
    if (!(ratio > 0 && ratio <= 1))
      return llvm::createStringError(
          "the cherry ratio must be above 0 and at most 1");
    auto criterion =
        parseArgument("criterion", criterionText, parseCherryCriterion);
    if (!criterion)
      return criterion.takeError();
    CherrySpec spec = CherrySpec::fromRatio(*form, ratio, k);
    if (llvm::Error error = spec.check(n, k))
      return std::move(error);
    auto selected =
        selectCherries(w, n, k, spec, *criterion, *scheme, {columnWeights});
    if (!selected)
      return selected.takeError();
    cherries = std::move(*selected);
  }
  const CherryPositions *positions = hasCherries ? &cherries : nullptr;
  auto quantized =
      quantizeWeight(w, n, k, *scheme, *quantizer, positions, {columnWeights});
  if (!quantized)
    return quantized.takeError();
  return new CqWeight_{packWeight(*quantized, positions, layout)};
}

CqWeight cqWeightQuantize(const float *w, int64_t n, int64_t k,
                          const char *scheme, const char *quantizer,
                          const char *layout, const char *cherry_form,
                          double cherry_ratio, const char *criterion,
                          const float *column_weights) {
  auto weight = quantize(w, n, k, scheme, quantizer, layout, cherry_form,
                         cherry_ratio, criterion, column_weights);
  if (weight)
    return *weight;
  setLastError(weight.takeError());
  return nullptr;
}

int cqWeightDequantize(CqWeight weight, float *out) {
  CherryPositions cherries;
  auto quantized = unpackWeight(weight->packed, &cherries);
  if (!quantized) {
    setLastError(quantized.takeError());
    return 1;
  }
  bool hasCherries = cherries.spec.form != CherryForm::None;
  dequantizeWeight(*quantized, hasCherries ? &cherries : nullptr, out);
  return 0;
}

const uint8_t *cqWeightPlane(CqWeight weight, CqPlane plane, size_t *size) {
  const PackedWeight &packed = weight->packed;
  const std::vector<uint8_t> *planes[] = {&packed.codes, &packed.scales,
                                          &packed.zeros, &packed.cherryColumns,
                                          &packed.cherryDeltas};
  unsigned index = static_cast<unsigned>(plane);
  if (index >= std::size(planes)) {
    setLastError("there is no plane " + std::to_string(index));
    *size = 0;
    return nullptr;
  }
  *size = planes[index]->size();
  return planes[index]->data();
}

double cqWeightBitsPerWeight(CqWeight weight) {
  const PackedWeight &packed = weight->packed;
  return planeBytes(packed.n, packed.k, packed.scheme, packed.layout,
                    packed.cherries)
      .bitsPerWeight(packed.n, packed.k);
}

void cqWeightFree(CqWeight weight) { delete weight; }
