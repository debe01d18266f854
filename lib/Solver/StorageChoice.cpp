//===- StorageChoice.cpp - One way to store a weight --------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/StorageChoice.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::cq;

std::string StorageChoice::str() const {
  std::string text =
      scheme.str() + "/" + stringifyQuantizerKind(quantizer).str();
  if (cherries.form != CherryForm::None)
    text += "/" + stringifyCherryForm(cherries.form).str() +
            std::to_string(cherries.count) + "-" +
            stringifyCherryCriterion(criterion).str();
  return text;
}

llvm::Expected<StorageChoice> StorageChoice::parse(llvm::StringRef text) {
  llvm::SmallVector<llvm::StringRef> parts;
  text.split(parts, '/');
  StorageChoice choice;
  auto scheme = Scheme::parse(parts.front());
  if (!scheme)
    return llvm::createStringError("the choice '" + text +
                                   "': " + llvm::toString(scheme.takeError()));
  choice.scheme = *scheme;
  if (llvm::Error error = choice.scheme.check())
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
  entry.scheme = scheme;
  entry.quantizer = quantizer;
  entry.layout = layout;
  entry.criterion = criterion;
  if (cherries.form != CherryForm::None &&
      cherries.numDeltas(weight.n, weight.k) != 0)
    entry.cherries = cherries;
  return entry;
}

StorageChoice StorageChoice::of(const PlanEntry &entry) {
  return {entry.scheme, entry.quantizer, entry.cherries, entry.criterion};
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
