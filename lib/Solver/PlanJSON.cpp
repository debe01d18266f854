//===- PlanJSON.cpp - Plans as files --------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FieldReader.h"
#include "cq/Solver/Plan.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;

/// No weight of a real model comes near it, and no product of two overflows.
static constexpr int64_t maxExtent = int64_t(1) << 31;

static llvm::json::Value entryToJSON(const PlanEntry &entry) {
  llvm::json::Object object{{"weight", entry.weight},
                            {"shape", llvm::json::Array{entry.n, entry.k}},
                            {"reason", entry.reason}};
  if (entry.keep) {
    object["keep"] = true;
    return object;
  }
  object["scheme"] = entry.scheme.str();
  object["quantizer"] = stringifyQuantizerKind(entry.quantizer);
  object["layout"] = stringifyLayoutKind(entry.layout);
  if (entry.cherries.form != CherryForm::None)
    object["cherries"] = llvm::json::Object{
        {"form", stringifyCherryForm(entry.cherries.form)},
        {"count", entry.cherries.count},
        {"criterion", stringifyCherryCriterion(entry.criterion)}};
  if (entry.wide)
    object["wide_rows"] = llvm::json::Object{{"count", entry.wide.count},
                                             {"bits", entry.wide.bits}};
  object["bytes"] = entry.bytes();
  if (!entry.candidates.empty()) {
    llvm::json::Array candidates;
    for (const PlanCandidate &candidate : entry.candidates)
      candidates.push_back(llvm::json::Object{{"choice", candidate.choice},
                                              {"bytes", candidate.bytes},
                                              {"loss", candidate.loss}});
    object["candidates"] = std::move(candidates);
  }
  return object;
}

static llvm::json::Value decisionToJSON(const PlanDecision &decision) {
  llvm::json::Object object{{"method", decision.method},
                            {"loss", decision.loss},
                            {"budget", decision.budget},
                            {"bytes", decision.bytes},
                            {"other_bytes", decision.otherBytes},
                            {"predicted_loss", decision.predictedLoss},
                            {"price", decision.price}};
  if (decision.bound)
    object["bound"] = *decision.bound;
  if (!decision.curve.empty()) {
    llvm::json::Array curve;
    for (auto [bits, loss] : decision.curve)
      curve.push_back(llvm::json::Array{bits, loss});
    object["curve"] = std::move(curve);
  }
  return object;
}

llvm::json::Value Plan::toJSON() const {
  llvm::json::Array weights;
  for (const PlanEntry &entry : entries)
    weights.push_back(entryToJSON(entry));
  PlanTotals sum = totals();
  llvm::json::Object object{
      {"cq_plan", version},
      {"weights", std::move(weights)},
      {"totals", llvm::json::Object{{"weights", sum.weights},
                                    {"bytes", sum.bytes},
                                    {"kept_weights", sum.keptWeights},
                                    {"bits_per_weight", sum.bitsPerWeight()}}}};
  if (decision)
    object["decision"] = decisionToJSON(*decision);
  return object;
}

static constexpr int64_t maxBytes = int64_t(1) << 53;

static llvm::Error readCandidates(FieldReader &fields, const std::string &where,
                                  PlanEntry &entry) {
  if (!fields.has("candidates"))
    return llvm::Error::success();
  const llvm::json::Array *list = fields.array("candidates");
  for (size_t i = 0; list && i < list->size(); ++i) {
    std::string place = llvm::formatv("{0}, candidate {1}", where, i);
    const llvm::json::Object *object = (*list)[i].getAsObject();
    if (!object)
      return llvm::createStringError(place + " is not an object");
    FieldReader inner(*object, place);
    PlanCandidate candidate;
    candidate.choice = inner.text("choice");
    candidate.bytes = inner.integer("bytes", 0, maxBytes);
    candidate.loss = inner.number("loss");
    if (llvm::Error error = inner.finish())
      return error;
    entry.candidates.push_back(std::move(candidate));
  }
  return llvm::Error::success();
}

static llvm::Expected<PlanDecision>
readDecision(const llvm::json::Object &object, const std::string &where) {
  FieldReader fields(object, where);
  PlanDecision decision;
  decision.method = fields.text("method");
  decision.loss = fields.text("loss");
  decision.budget = fields.integer("budget", 0, maxBytes);
  decision.bytes = fields.integer("bytes", 0, maxBytes);
  decision.otherBytes = fields.integer("other_bytes", 0, maxBytes);
  decision.predictedLoss = fields.number("predicted_loss");
  decision.price = fields.number("price");
  if (fields.has("bound"))
    decision.bound = fields.number("bound");
  const llvm::json::Array *curve =
      fields.has("curve") ? fields.array("curve") : nullptr;
  for (size_t i = 0; curve && i < curve->size(); ++i) {
    const llvm::json::Array *point = (*curve)[i].getAsArray();
    auto bits =
        point && point->size() == 2 ? (*point)[0].getAsNumber() : std::nullopt;
    auto loss = bits ? (*point)[1].getAsNumber() : std::nullopt;
    if (!loss || !std::isfinite(*bits) || !std::isfinite(*loss)) {
      fields.fail("needs a curve of [bits per weight, loss]");
      break;
    }
    decision.curve.push_back({*bits, *loss});
  }
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return decision;
}

static void readShape(FieldReader &fields, PlanEntry &entry) {
  const llvm::json::Array *shape = fields.array("shape");
  if (!shape)
    return;
  std::optional<int64_t> n, k;
  if (shape->size() == 2) {
    n = (*shape)[0].getAsInteger();
    k = (*shape)[1].getAsInteger();
  }
  if (!n || !k || *n <= 0 || *k <= 0 || *n > maxExtent || *k > maxExtent)
    return fields.fail("needs a shape of two positive extents");
  entry.n = *n;
  entry.k = *k;
}

static llvm::Expected<PlanEntry> readEntry(const llvm::json::Value &value,
                                           llvm::StringRef origin,
                                           size_t index) {
  const llvm::json::Object *object = value.getAsObject();
  std::string where =
      llvm::formatv("the plan {0}: entry {1}", origin, index).str();
  if (!object)
    return llvm::createStringError(where + " is not an object");
  if (auto name = object->getString("weight"))
    where = ("the plan " + origin + ": weight '" + *name + "'").str();
  FieldReader fields(*object, where);
  PlanEntry entry;
  entry.weight = fields.text("weight");
  readShape(fields, entry);
  entry.reason = fields.has("reason") ? fields.text("reason") : "";
  entry.keep = fields.boolean("keep");
  if (entry.keep) {
    // A weight can be turned to `keep` by adding one field.
    for (const char *key : {"scheme", "quantizer", "layout", "cherries",
                            "wide_rows", "bytes", "candidates"})
      fields.ignore(key);
    if (llvm::Error error = fields.finish())
      return std::move(error);
    return entry;
  }
  auto scheme = Scheme::parse(fields.text("scheme"));
  if (scheme)
    entry.scheme = *scheme;
  else
    fields.fail("has a bad scheme: " + llvm::toString(scheme.takeError()));
  entry.quantizer =
      fields.oneOf<QuantizerKind>("quantizer", parseQuantizerKind);
  entry.layout = fields.oneOf<LayoutKind>("layout", parseLayoutKind);
  if (const llvm::json::Object *cherries = fields.child("cherries")) {
    FieldReader inner(*cherries, where + ", cherries");
    entry.cherries.form = inner.oneOf<CherryForm>("form", parseCherryForm);
    entry.cherries.count = inner.integer("count", 1, maxExtent);
    entry.criterion =
        inner.oneOf<CherryCriterion>("criterion", parseCherryCriterion);
    if (llvm::Error error = inner.finish())
      return std::move(error);
  }
  if (const llvm::json::Object *wide = fields.child("wide_rows")) {
    FieldReader inner(*wide, where + ", wide_rows");
    entry.wide.count = inner.integer("count", 16, maxExtent);
    entry.wide.bits = static_cast<unsigned>(inner.integer("bits", 3, 8));
    if (llvm::Error error = inner.finish())
      return std::move(error);
    if (llvm::Error error = entry.wide.check(entry.n, entry.scheme))
      return llvm::createStringError(where + " has impossible wide rows: " +
                                     llvm::toString(std::move(error)));
  }
  // Written for people and for verifyPlan's comparison; not needed to apply.
  fields.ignore("bytes");
  if (llvm::Error error = readCandidates(fields, where, entry))
    return std::move(error);
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return entry;
}

llvm::Expected<Plan> Plan::fromJSON(llvm::StringRef text,
                                    llvm::StringRef origin) {
  auto value = parseBoundedJSON(text, origin);
  if (!value)
    return value.takeError();
  const llvm::json::Object *object = value->getAsObject();
  if (!object || !object->getInteger("cq_plan"))
    return llvm::createStringError(origin +
                                   " is not a plan: it has no field 'cq_plan'");
  if (int64_t found = *object->getInteger("cq_plan");
      found < 1 || found > version)
    return llvm::createStringError(
        llvm::formatv("the plan {0} has version {1} and this cq reads version "
                      "{2}; make it anew with plan-out=",
                      origin, *object->getInteger("cq_plan"), version));
  FieldReader fields(*object, ("the plan " + origin).str());
  fields.ignore("cq_plan");
  fields.ignore("totals"); // counted again on use
  Plan plan;
  llvm::StringSet<> names;
  if (const llvm::json::Array *weights = fields.array("weights")) {
    for (auto [index, item] : llvm::enumerate(*weights)) {
      auto entry = readEntry(item, origin, index);
      if (!entry)
        return entry.takeError();
      if (!names.insert(entry->weight).second)
        return llvm::createStringError("the plan " + origin + ": weight '" +
                                       entry->weight + "' appears twice");
      plan.entries.push_back(std::move(*entry));
    }
  }
  if (const llvm::json::Object *decision = fields.child("decision")) {
    auto read =
        readDecision(*decision, ("the plan " + origin + ": decision").str());
    if (!read)
      return read.takeError();
    plan.decision = std::move(*read);
  }
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return plan;
}

llvm::Expected<Plan> Plan::read(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError("cannot read the plan " + path + ": " +
                                   file.getError().message());
  return fromJSON((*file)->getBuffer(), path);
}

llvm::Error Plan::write(llvm::StringRef path) const {
  return writeFileAtomically(path, llvm::formatv("{0:2}\n", toJSON()).str());
}
