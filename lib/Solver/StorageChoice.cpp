//===- StorageChoice.cpp - One way to store a weight --------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/StorageChoice.h"
#include "llvm/ADT/StringSwitch.h"
#include <numeric>

using namespace mlir::cq;

static llvm::Error shareError(llvm::StringRef text) {
  return llvm::createStringError("'" + text +
                                 "' is no share of rows; write a fraction or a "
                                 "decimal below 1, like 1/8 or 0.125");
}

llvm::Expected<std::pair<int64_t, int64_t>>
mlir::cq::parseShare(llvm::StringRef text) {
  int64_t numerator = 0, denominator = 1;
  auto [left, right] = text.split('/');
  if (text.contains('/')) {
    if (left.getAsInteger(10, numerator) || right.getAsInteger(10, denominator))
      return shareError(text);
  } else {
    auto [whole, decimals] = text.split('.');
    if (whole != "0" || decimals.size() > 6)
      return shareError(text);
    if (!decimals.empty() && decimals.getAsInteger(10, numerator))
      return shareError(text);
    for (size_t i = 0; i < decimals.size(); ++i)
      denominator *= 10;
  }
  if (numerator < 0 || denominator <= numerator || denominator > 1000000)
    return shareError(text);
  int64_t divisor = std::gcd(numerator, denominator);
  return std::pair(numerator / divisor, denominator / divisor);
}

std::string RowShare::str() const {
  return std::to_string(numerator) + "/" + std::to_string(denominator) + ":b" +
         std::to_string(bits);
}

llvm::Expected<RowShare> RowShare::parse(llvm::StringRef text) {
  auto [share, width] = text.split(':');
  auto parsed = parseShare(share);
  if (!parsed)
    return parsed.takeError();
  RowShare rows;
  std::tie(rows.numerator, rows.denominator) = *parsed;
  width.consume_front("b");
  if (!rows && width.empty())
    return rows;
  if (width.getAsInteger(10, rows.bits) || rows.bits < 3 || rows.bits > 8)
    return llvm::createStringError("the rows '" + text +
                                   "' need a width, like 1/8:4 for an eighth "
                                   "of the rows at 4 bits");
  return rows;
}

RowShare RowShare::of(const WideRows &wide, int64_t n) {
  if (!wide)
    return {};
  int64_t divisor = std::gcd(wide.count, n);
  return {wide.count / divisor, n / divisor, wide.bits};
}

std::string StorageChoice::str() const {
  if (keep)
    return "keep";
  std::string text = scheme.str() + (rows ? "+rows=" + rows.str() : "") + "/" +
                     stringifyQuantizerKind(quantizer).str();
  if (cherries.form != CherryForm::None)
    text += "/" + stringifyCherryForm(cherries.form).str() +
            std::to_string(cherries.count) + "-" +
            stringifyCherryCriterion(criterion).str();
  return text;
}

llvm::Expected<StorageChoice> StorageChoice::parse(llvm::StringRef text) {
  StorageChoice choice;
  if (text == "keep") {
    choice.keep = true;
    return choice;
  }
  // A share has a slash of its own: rows=1/8:b4 comes out first.
  std::string withoutRows = text.str();
  if (size_t begin = text.find("+rows="); begin != llvm::StringRef::npos) {
    size_t colon = text.find(':', begin),
           end = std::min(text.find('/', std::min(colon, text.size())),
                          text.size());
    auto rows = RowShare::parse(text.slice(begin + 6, end));
    if (!rows)
      return llvm::createStringError("the choice '" + text +
                                     "': " + llvm::toString(rows.takeError()));
    choice.rows = *rows;
    withoutRows = (text.take_front(begin) + text.drop_front(end)).str();
  }
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(withoutRows).split(parts, '/');
  auto scheme = Scheme::parse(parts.front());
  if (!scheme)
    return llvm::createStringError("the choice '" + text +
                                   "': " + llvm::toString(scheme.takeError()));
  choice.scheme = *scheme;
  if (llvm::Error error = choice.scheme.check())
    return llvm::createStringError("the choice '" + text +
                                   "': " + llvm::toString(std::move(error)));
  if (choice.rows)
    if (llvm::Error error =
            WideRows{16, choice.rows.bits}.check(INT64_MAX, choice.scheme))
      return llvm::createStringError("the choice '" + text +
                                     "': " + llvm::toString(std::move(error)));
  for (llvm::StringRef part : llvm::drop_begin(parts)) {
    if (auto quantizer = parseQuantizerKind(part)) {
      choice.quantizer = *quantizer;
      continue;
    }
    auto [sized, criterion] = part.split('-');
    llvm::StringRef form = sized.rtrim("0123456789");
    auto parsedForm = parseCherryForm(form);
    auto parsedCriterion = parseCherryCriterion(criterion);
    int64_t count = 0;
    if (!parsedForm || *parsedForm == CherryForm::None || !parsedCriterion ||
        sized.drop_front(form.size()).getAsInteger(10, count) || count < 1 ||
        count > 65536)
      return llvm::createStringError(
          "the choice '" + text + "' has a part '" + part +
          "' that is neither a quantizer (rtn, mse, gptq) nor cherries like "
          "slot1-magnitude");
    choice.cherries = {*parsedForm, count};
    choice.criterion = *parsedCriterion;
  }
  return choice;
}

PlanEntry StorageChoice::entryFor(const WeightFacts &weight,
                                  LayoutKind layout) const {
  PlanEntry entry;
  entry.weight = weight.name;
  entry.n = weight.n;
  entry.k = weight.k;
  entry.keep = keep;
  entry.scheme = scheme;
  entry.quantizer = quantizer;
  entry.layout = layout;
  entry.criterion = criterion;
  if (cherries.form != CherryForm::None &&
      cherries.numDeltas(weight.n, weight.k) != 0)
    entry.cherries = cherries;
  if (rows && !weight.feedsGather)
    entry.wide = {
        WideRows::roundedCount(rows.numerator, rows.denominator, weight.n),
        rows.bits};
  return entry;
}

int64_t StorageChoice::bytes(const WeightFacts &weight,
                             LayoutKind layout) const {
  // Whatever the checkpoint had: archives hold what is not packed as f32.
  return keep ? 4 * weight.n * weight.k : entryFor(weight, layout).bytes();
}

StorageChoice StorageChoice::of(const PlanEntry &entry) {
  return {entry.scheme,
          entry.quantizer,
          entry.cherries,
          entry.criterion,
          RowShare::of(entry.wide, entry.n),
          entry.keep};
}

std::pair<llvm::StringRef, llvm::StringRef>
mlir::cq::splitOverride(llvm::StringRef text) {
  size_t colon = text.take_front(text.find("+rows=")).rfind(':');
  if (colon == llvm::StringRef::npos)
    return {text, ""};
  return {text.take_front(colon), text.drop_front(colon + 1)};
}

const PlanCandidate *mlir::cq::chosenCandidate(const PlanEntry &entry) {
  WeightFacts weight;
  weight.n = entry.n, weight.k = entry.k;
  std::string stored = StorageChoice::of(entry).str();
  for (const PlanCandidate &candidate : entry.candidates) {
    auto choice = StorageChoice::parse(candidate.choice);
    if (!choice) {
      llvm::consumeError(choice.takeError());
      continue;
    }
    // Shares and cherries become what there is room for.
    PlanEntry would = choice->entryFor(weight, entry.layout);
    if (StorageChoice::of(would).str() == stored)
      return &candidate;
  }
  return nullptr;
}

std::vector<StorageChoice> mlir::cq::defaultChoices(QuantizerKind quantizer,
                                                    CherryCriterion criterion) {
  std::vector<StorageChoice> choices;
  auto add = [&](unsigned bits, int64_t group, bool cherries) {
    StorageChoice choice;
    choice.scheme = {bits, group, Grid::Symmetric, ScaleType::F16};
    choice.quantizer = quantizer;
    if (cherries) {
      choice.cherries = {CherryForm::Slot, 1};
      choice.criterion = criterion;
    }
    choices.push_back(choice);
  };
  for (unsigned bits : {2u, 3u, 4u}) {
    add(bits, 128, false);
    add(bits, 128, true);
    add(bits, 64, true);
  }
  for (unsigned bits : {5u, 6u, 8u})
    add(bits, 128, false);
  return choices;
}

llvm::Expected<std::vector<StorageChoice>>
mlir::cq::parseChoices(llvm::ArrayRef<std::string> texts) {
  std::vector<StorageChoice> choices;
  for (const std::string &text : texts) {
    auto choice = StorageChoice::parse(text);
    if (!choice)
      return choice.takeError();
    if (llvm::none_of(choices, [&](const StorageChoice &other) {
          return other.str() == choice->str();
        }))
      choices.push_back(*choice);
  }
  return choices;
}

llvm::Expected<std::vector<StorageChoice>>
mlir::cq::withRowShares(std::vector<StorageChoice> choices,
                        llvm::ArrayRef<std::string> rows) {
  std::vector<StorageChoice> all = choices;
  for (llvm::StringRef text : rows) {
    bool oneUp = !text.contains(':');
    auto share = RowShare::parse(oneUp ? text.str() + ":3" : text.str());
    if (!share)
      return share.takeError();
    for (StorageChoice choice : choices) {
      choice.rows = *share;
      if (oneUp)
        choice.rows.bits = choice.scheme.bits + 1;
      if (!*share || choice.scheme.bits > 4)
        continue;
      // A width that the others have, or that the grid lacks: no choice.
      if (llvm::Error error =
              WideRows{16, choice.rows.bits}.check(INT64_MAX, choice.scheme)) {
        llvm::consumeError(std::move(error));
        continue;
      }
      all.push_back(choice);
    }
  }
  return all;
}

llvm::Expected<int64_t> mlir::cq::parseByteCount(llvm::StringRef text) {
  llvm::StringRef unit = text.ltrim("0123456789.");
  llvm::StringRef digits = text.drop_back(unit.size());
  double scale = llvm::StringSwitch<double>(unit.trim())
                     .Cases({"", "B"}, 1)
                     .Cases({"kB", "KB", "k", "K"}, 1e3)
                     .Cases({"MB", "M"}, 1e6)
                     .Cases({"GB", "G"}, 1e9)
                     .Case("KiB", 1024)
                     .Case("MiB", 1024.0 * 1024)
                     .Case("GiB", 1024.0 * 1024 * 1024)
                     .Default(0);
  double value = 0;
  if (scale == 0 || digits.empty() || digits.getAsDouble(value) ||
      !(value * scale <= 0x1p53))
    return llvm::createStringError("'" + text +
                                   "' is no size; write 60MB, 1.5GiB or bytes");
  return static_cast<int64_t>(value * scale);
}
