//===- QuantizedArchive.cpp - Reading planned weights ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/QuantizedArchive.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;

llvm::Expected<QuantizedWeight>
mlir::cq::readQuantizedWeight(const ParameterArchive &archive,
                              const PlanEntry &entry,
                              CherryPositions &cherries) {
  // One that is absent is empty: unpackWeight knows which there must be.
  auto plane = [&](llvm::StringRef suffix) {
    std::vector<uint8_t> bytes;
    if (const ParameterInfo *info =
            archive.find((entry.weight + ":" + suffix).str()))
      bytes.assign(info->bytes.begin(), info->bytes.end());
    return bytes;
  };
  PackedWeight packed;
  packed.n = entry.n;
  packed.k = entry.k;
  packed.scheme = entry.scheme;
  packed.layout = entry.codeLayout();
  packed.cherries = entry.cherries;
  packed.codes = plane("codes");
  packed.scales = plane("scales");
  packed.zeros = plane("zeros");
  packed.cherryColumns = plane("cherry_columns");
  packed.cherryDeltas = plane("cherry_deltas");
  packed.rowOrder = plane("row_order");
  auto quantized = unpackWeight(packed, &cherries);
  if (!quantized)
    return fail("the planes of weight " + quoted(entry.weight) + " in " +
                quoted(archive.path()) + " do not fit the plan: " +
                llvm::toString(quantized.takeError()));
  return quantized;
}
