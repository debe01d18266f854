//===- ArchiveBytes.cpp - The size of a planned archive -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArchiveBytes.h"
#include "PlaneBuilder.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Regex.h"

using namespace mlir;
using namespace mlir::cq;

void cq::declareParameters(ModuleOp module, ParameterArchive &archive) {
  for (auto global : module.getOps<ml_program::GlobalOp>()) {
    auto type = dyn_cast<RankedTensorType>(global.getType());
    if (!isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr()) ||
        !type || !type.hasStaticShape())
      continue;
    if (std::optional<DType> element = toDType(type.getElementType()))
      archive.declare(global.getSymName(), *element, type.getShape());
  }
}

static llvm::Error addPlanes(MLIRContext *context, const PlanEntry &entry,
                             std::vector<SafetensorsWriter::Entry> &to) {
  PlannedAttributes attrs(context, entry);
  auto types = PlaneTypes::get(context, entry.n, entry.k, attrs.scheme,
                               attrs.layout, attrs.cherries);
  if (!types)
    return types.takeError();
  for (auto [suffix, type] :
       {std::pair("codes", types->codes), std::pair("scales", types->scales),
        std::pair("zeros", types->zeros),
        std::pair("cherry_columns", types->cherryColumns),
        std::pair("cherry_deltas", types->cherryDeltas),
        std::pair("row_order", types->rowOrder)})
    if (type)
      to.push_back({entry.weight + ":" + suffix,
                    *toDType(type.getElementType()),
                    llvm::SmallVector<int64_t, 4>(type.getShape())});
  return llvm::Error::success();
}

llvm::Expected<int64_t>
ArchiveBytes::fileBytes(ArrayRef<PlanEntry> entries) const {
  std::vector<SafetensorsWriter::Entry> tensors;
  llvm::StringSet<> packed;
  for (const PlanEntry &entry : entries) {
    if (entry.keep)
      continue;
    if (llvm::Error error = addPlanes(module.getContext(), entry, tensors))
      return std::move(error);
    // Matrix e of a stack is NAME.e.
    StringRef name = entry.weight;
    packed.insert(name);
    if (auto [stack, number] = name.rsplit('.');
        !number.empty() && llvm::all_of(number, llvm::isDigit))
      packed.insert(stack);
  }
  for (auto global : module.getOps<ml_program::GlobalOp>()) {
    auto type = dyn_cast<RankedTensorType>(global.getType());
    if (!isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr()) ||
        packed.contains(global.getSymName()) || !type ||
        !type.hasStaticShape() || !toDType(type.getElementType()))
      continue;
    tensors.push_back({global.getSymName().str(),
                       *toDType(type.getElementType()),
                       llvm::SmallVector<int64_t, 4>(type.getShape())});
  }
  return SafetensorsWriter::fileBytes("the archive", tensors,
                                      {{"format", "cq"}});
}

llvm::Expected<int64_t> ArchiveBytes::of(const Plan &plan) const {
  return fileBytes(plan.entries);
}

llvm::Expected<int64_t>
ArchiveBytes::beside(ArrayRef<WeightFacts> facts,
                     const RatioPlanOptions &options) const {
  std::vector<StorageChoice> choices = options.choices;
  if (options.outer)
    choices.push_back(*options.outer);
  for (const ChoiceOverride &item : options.overrides)
    choices.push_back(item.choice);
  // The choice with most planes has most names in the header.
  auto planes = [](const PlanEntry &entry) {
    return (entry.scheme.hasZeroPoints() ? 1 : 0) + (entry.wide ? 1 : 0) +
           (entry.cherries.form != CherryForm::None ? 2 : 0);
  };
  std::vector<PlanEntry> entries;
  int64_t payload = 0;
  for (const WeightFacts &weight : facts) {
    std::optional<PlanEntry> most;
    for (const StorageChoice &choice : choices) {
      PlanEntry entry = choice.entryFor(weight, options.layout);
      if (!choice.keep && (!most || planes(entry) > planes(*most)))
        most = std::move(entry);
    }
    if (!most || llvm::any_of(options.keep, [&](const std::string &pattern) {
          return llvm::Regex(pattern).match(weight.name);
        }))
      continue; // a tensor as it is
    payload += most->bytes();
    entries.push_back(std::move(*most));
  }
  auto bytes = fileBytes(entries);
  if (!bytes)
    return bytes.takeError();
  // Offsets may have more digits: four a plane are plenty.
  return *bytes - payload + 24 * static_cast<int64_t>(entries.size());
}
