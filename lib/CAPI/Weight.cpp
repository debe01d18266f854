//===- Weight.cpp - C API: quantized weights ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq-c/Weight.h"
#include "Guard.h"
#include "Handles.h"
#include "cq/Codec/MixedRows.h"
#include "cq/Solver/StorageChoice.h"

using namespace mlir::cq;
using namespace mlir::cq::capi;

/// How W [n, k] is stored: shape, choice and layout checked.
static llvm::Expected<PlanEntry>
entryOf(int64_t n, int64_t k, const char *choiceText, const char *layoutText) {
  auto count = countOf(n, k);
  if (!count)
    return count.takeError();
  if (llvm::Error error = needs(choiceText, "choice"))
    return std::move(error);
  auto choice = StorageChoice::parse(choiceText);
  if (!choice)
    return choice.takeError();
  if (choice->keep)
    return fail("a weight that is kept has no planes");
  auto layout = parseLayoutKind(layoutText ? layoutText : "panel16");
  if (!layout)
    return fail("'" + textOf(layoutText) + "' is no layout: panel16 or linear");
  if (choice->cherries.form != CherryForm::None && choice->cherries.count > k)
    return fail("a row of " + llvm::Twine(k) + " columns has no room for " +
                llvm::Twine(choice->cherries.count) + " cherries");
  WeightFacts facts;
  facts.n = n;
  facts.k = k;
  PlanEntry entry = choice->entryFor(facts, *layout);
  if (entry.wide)
    if (llvm::Error error = entry.wide.check(n, entry.scheme))
      return std::move(error);
  Layout places = entry.codeLayout();
  if (llvm::Error error = places.check(n, k))
    return std::move(error);
  if (llvm::Error error = places.checkWidths(entry.scheme))
    return std::move(error);
  if (llvm::Error error = entry.cherries.check(n, k))
    return std::move(error);
  return entry;
}

static llvm::Error checkInputs(const CqQuantizeInputs &inputs, int64_t n,
                               int64_t k) {
  auto isSquare = [](float value) { return value >= 0 && value <= 3.4e38f; };
  if (inputs.column_weights &&
      !std::all_of(inputs.column_weights, inputs.column_weights + k, isSquare))
    return fail("column_weights are means of squares: finite, not negative");
  if (inputs.fisher &&
      !std::all_of(inputs.fisher, inputs.fisher + n * k, isSquare))
    return fail("fisher values are means of squares: finite, not negative");
  return llvm::Error::success();
}

static llvm::Expected<CqWeight> quantize(const float *w, int64_t n, int64_t k,
                                         const PlanEntry &entry,
                                         const CqQuantizeInputs &inputs) {
  if (llvm::Error error = checkInputs(inputs, n, k))
    return std::move(error);
  Layout layout = entry.codeLayout();
  QuantizerInputs knows;
  knows.columnWeights = inputs.column_weights;
  knows.threads = inputs.threads;
  CherryInputs says;
  says.columnWeights = inputs.column_weights;
  says.fisher = inputs.fisher;
  says.threads = inputs.threads;
  std::optional<SecondMoments> moments;
  if (inputs.second_moments && entry.quantizer == QuantizerKind::GPTQ) {
    auto factor = SecondMoments::factorise(
        llvm::ArrayRef(inputs.second_moments,
                       static_cast<size_t>(k) * (k + 1) / 2),
        k, {}, inputs.threads);
    if (!factor)
      return factor.takeError();
    moments = std::move(*factor);
    knows.moments = &*moments;
  }
  // Wide rows come first; what is known of elements moves with them.
  std::vector<uint32_t> order;
  std::vector<float> numbers, fisher;
  if (entry.wide) {
    auto ranked =
        rankRows(w, n, k, entry.scheme, entry.wide.count,
                 {inputs.column_weights, inputs.fisher, inputs.threads});
    if (!ranked)
      return ranked.takeError();
    order = std::move(*ranked);
    numbers = permuteRows(w, k, order);
    w = numbers.data();
    if (inputs.fisher) {
      fisher = permuteRows(inputs.fisher, k, order);
      says.fisher = fisher.data();
    }
    knows.segments = says.segments = layout.segments;
  }
  CherryPositions cherries;
  const CherryPositions *positions = nullptr;
  if (entry.cherries.form != CherryForm::None) {
    auto selected = selectCherries(w, n, k, entry.cherries, entry.criterion,
                                   entry.scheme, says);
    if (!selected)
      return selected.takeError();
    cherries = std::move(*selected);
    positions = &cherries;
  }
  auto quantized =
      quantizeWeight(w, n, k, entry.scheme, entry.quantizer, positions, knows);
  if (!quantized)
    return quantized.takeError();
  quantized->order = std::move(order);
  return new CqWeight_{packWeight(*quantized, positions, layout)};
}

CqWeight cqWeightQuantize(const float *w, int64_t n, int64_t k,
                          const char *choice, const char *layout,
                          const CqQuantizeInputs *inputs) {
  return guard<CqWeight>(nullptr, [&]() -> llvm::Expected<CqWeight> {
    if (llvm::Error error = needs(w, "w"))
      return std::move(error);
    auto entry = entryOf(n, k, choice, layout);
    if (!entry)
      return entry.takeError();
    CqQuantizeInputs given = {};
    if (llvm::Error error = copyOptions(inputs, given, "CqQuantizeInputs"))
      return std::move(error);
    return quantize(w, n, k, *entry, given);
  });
}

static PlaneBytes bytesOf(const PlanEntry &entry) {
  return planeBytes(entry.n, entry.k, entry.scheme, entry.codeLayout(),
                    entry.cherries);
}

int cqWeightPlaneSizes(int64_t n, int64_t k, const char *choice,
                       const char *layout, int64_t sizes[CQ_NUM_PLANES]) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(sizes, "sizes"))
      return error;
    auto entry = entryOf(n, k, choice, layout);
    if (!entry)
      return entry.takeError();
    PlaneBytes bytes = bytesOf(*entry);
    int64_t all[] = {bytes.codes,         bytes.scales,       bytes.zeros,
                     bytes.cherryColumns, bytes.cherryDeltas, bytes.rowOrder};
    static_assert(std::size(all) == CQ_NUM_PLANES);
    std::copy(std::begin(all), std::end(all), sizes);
    return llvm::Error::success();
  });
}

CqWeight cqWeightFromPlanes(int64_t n, int64_t k, const char *choice,
                            const char *layout,
                            const uint8_t *const planes[CQ_NUM_PLANES],
                            const size_t sizes[CQ_NUM_PLANES]) {
  return guard<CqWeight>(nullptr, [&]() -> llvm::Expected<CqWeight> {
    if (llvm::Error error = needs(planes, "planes"))
      return std::move(error);
    if (llvm::Error error = needs(sizes, "sizes"))
      return std::move(error);
    auto entry = entryOf(n, k, choice, layout);
    if (!entry)
      return entry.takeError();
    int64_t expected[CQ_NUM_PLANES];
    if (cqWeightPlaneSizes(n, k, choice, layout, expected))
      return fail(cqLastError());
    static const char *const names[] = {"codes",         "scales",
                                        "zeros",         "cherry columns",
                                        "cherry deltas", "row order"};
    // Before anything is copied: sizes may be anything.
    for (unsigned i = 0; i < CQ_NUM_PLANES; ++i) {
      if (sizes[i] != static_cast<size_t>(expected[i]))
        return fail(llvm::Twine("the plane of ") + names[i] + " has " +
                    llvm::Twine(sizes[i]) +
                    " bytes, but shape, choice and layout make it " +
                    llvm::Twine(expected[i]));
      if (sizes[i] && !planes[i])
        return fail(llvm::Twine("the plane of ") + names[i] + " is NULL");
    }
    PackedWeight packed;
    packed.n = n;
    packed.k = k;
    packed.scheme = entry->scheme;
    packed.layout = entry->codeLayout();
    packed.cherries = entry->cherries;
    std::vector<uint8_t> *to[] = {&packed.codes,        &packed.scales,
                                  &packed.zeros,        &packed.cherryColumns,
                                  &packed.cherryDeltas, &packed.rowOrder};
    for (unsigned i = 0; i < CQ_NUM_PLANES; ++i)
      if (sizes[i])
        to[i]->assign(planes[i], planes[i] + sizes[i]);
    // Reads everything once: cherries and row order are checked.
    auto unpacked = unpackWeight(packed, nullptr);
    if (!unpacked)
      return unpacked.takeError();
    return new CqWeight_{std::move(packed)};
  });
}

CqWeight cqWeightRelayout(CqWeight weight, const char *layout) {
  return guard<CqWeight>(nullptr, [&]() -> llvm::Expected<CqWeight> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    auto kind = parseLayoutKind(textOf(layout));
    if (!kind)
      return fail("'" + textOf(layout) + "' is no layout: panel16 or linear");
    CherryPositions cherries;
    auto unpacked = unpackWeight(weight->packed, &cherries);
    if (!unpacked)
      return unpacked.takeError();
    Layout to = weight->packed.layout;
    to.kind = *kind;
    if (llvm::Error error = to.check(unpacked->n, unpacked->k))
      return std::move(error);
    bool has = cherries.spec.form != CherryForm::None;
    return new CqWeight_{packWeight(*unpacked, has ? &cherries : nullptr, to)};
  });
}

void cqWeightFree(CqWeight weight) { delete weight; }

const uint8_t *cqWeightPlane(CqWeight weight, int plane, size_t *size) {
  // Also what an absent plane points to.
  static const uint8_t nothing = 0;
  return guard<const uint8_t *>(
      nullptr, [&]() -> llvm::Expected<const uint8_t *> {
        if (llvm::Error error = needs(weight, "weight"))
          return std::move(error);
        if (llvm::Error error = needs(size, "size"))
          return std::move(error);
        const PackedWeight &packed = weight->packed;
        const std::vector<uint8_t> *planes[] = {
            &packed.codes,         &packed.scales,       &packed.zeros,
            &packed.cherryColumns, &packed.cherryDeltas, &packed.rowOrder};
        if (plane < 0 || plane >= CQ_NUM_PLANES)
          return fail("there is no plane " + llvm::Twine(plane));
        *size = planes[plane]->size();
        return *size ? planes[plane]->data() : &nothing;
      });
}

int64_t cqWeightRows(CqWeight weight) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    return weight->packed.n;
  });
}

int64_t cqWeightColumns(CqWeight weight) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    return weight->packed.k;
  });
}

char *cqWeightLayout(CqWeight weight) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    return copyText(stringifyLayoutKind(weight->packed.layout.kind));
  });
}

char *cqWeightChoice(CqWeight weight) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    const PackedWeight &packed = weight->packed;
    std::string text = packed.scheme.str();
    if (packed.layout.isMixed()) {
      const RowSegment &wide = packed.layout.segments.front();
      text += "+rows=" + RowShare::of({wide.rows, wide.bits}, packed.n).str();
    }
    // Without a criterion a choice would not parse; magnitude says nothing.
    if (packed.cherries.form != CherryForm::None)
      text += "/" + stringifyCherryForm(packed.cherries.form).str() +
              std::to_string(packed.cherries.count) + "-magnitude";
    return copyText(text);
  });
}

double cqWeightBitsPerWeight(CqWeight weight) {
  return guard<double>(-1, [&]() -> llvm::Expected<double> {
    if (llvm::Error error = needs(weight, "weight"))
      return std::move(error);
    const PackedWeight &packed = weight->packed;
    return planeBytes(packed.n, packed.k, packed.scheme, packed.layout,
                      packed.cherries)
        .bitsPerWeight(packed.n, packed.k);
  });
}

int64_t cqCherryCount(const char *form, double share, int64_t k) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    auto kind = parseCherryForm(textOf(form));
    if (!kind || *kind == CherryForm::None)
      return fail("'" + textOf(form) +
                  "' is no form of cherries: slot, element or column");
    if (!(share > 0 && share <= 1))
      return fail("the share of cherries must be above 0 and at most 1");
    auto count = countOf(1, k);
    if (!count)
      return count.takeError();
    return CherrySpec::fromRatio(*kind, share, k).count;
  });
}

int cqWeightDequantize(CqWeight weight, float *out, size_t count) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(weight, "weight"))
      return error;
    if (llvm::Error error = needs(out, "out"))
      return error;
    const PackedWeight &packed = weight->packed;
    if (count != static_cast<size_t>(packed.n * packed.k))
      return fail("the weight has " + llvm::Twine(packed.n) + " x " +
                  llvm::Twine(packed.k) + " elements, there is room for " +
                  llvm::Twine(count));
    CherryPositions cherries;
    auto quantized = unpackWeight(packed, &cherries);
    if (!quantized)
      return quantized.takeError();
    bool has = cherries.spec.form != CherryForm::None;
    dequantizeWeight(*quantized, has ? &cherries : nullptr, out);
    return llvm::Error::success();
  });
}
