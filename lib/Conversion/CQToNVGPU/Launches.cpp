//===- Launches.cpp - What runs a product on a device ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToNVGPU/Launches.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::cq;

static nv::ProductLaunch launchOf(gpu::GPUFuncOp kernel, int64_t m) {
  nv::ProductLaunch launch;
  launch.kernel = kernel.getName().str();
  auto sizes = [&](StringRef name, std::array<int64_t, 3> &to) {
    auto given = kernel->getAttrOfType<DenseI32ArrayAttr>(name).asArrayRef();
    std::copy_n(given.begin(), 3, to.begin());
  };
  auto integer = [&](StringRef name) {
    return kernel->getAttrOfType<IntegerAttr>(name).getInt();
  };
  sizes("cq.grid", launch.grid);
  sizes("cq.block", launch.block);
  if (kernel->hasAttr("cq.token_blocks"))
    launch.grid[1] = llvm::divideCeil(m, integer("cq.tokens"));
  launch.sharedBytes = integer("cq.shared_bytes");
  for (Attribute role : kernel->getAttrOfType<ArrayAttr>("cq.arguments"))
    launch.arguments.push_back(cast<StringAttr>(role).getValue().str());
  return launch;
}

std::vector<nv::ProductLaunch> nv::launchesOf(gpu::GPUFuncOp kernel,
                                              int64_t m) {
  std::vector<ProductLaunch> launches;
  auto add = [&](StringRef attribute) {
    if (auto symbol = kernel->getAttrOfType<FlatSymbolRefAttr>(attribute))
      launches.push_back(
          launchOf(cast<gpu::GPUModuleOp>(kernel->getParentOp())
                       .lookupSymbol<gpu::GPUFuncOp>(symbol.getValue()),
                   m));
  };
  add("cq.prepare");
  launches.push_back(launchOf(kernel, m));
  add("cq.finish");
  return launches;
}

int64_t nv::bufferBytes(const MatmulSpec &spec, int64_t m,
                        llvm::StringRef role) {
  MatmulSpec now = spec;
  now.maxTokens = m;
  PlaneBytes planes =
      planeBytes(spec.n, spec.k, spec.scheme, spec.layout, spec.cherries);
  return llvm::StringSwitch<int64_t>(role)
      .Case("x", m * spec.k * scaleBytes(spec.x))
      .Case("packed", now.packedElements() * scaleBytes(spec.compute))
      .Case("codes", planes.codes)
      .Case("scales", planes.scales)
      .Case("zeros", planes.zeros)
      .Case("cherry_columns", planes.cherryColumns)
      .Case("cherry_deltas", planes.cherryDeltas)
      .Case("row_order", spec.n * Layout::orderEntryBytes(spec.n))
      .Case("partial", m * spec.options.splitK * spec.n * 4)
      .Case("y", m * spec.n * scaleBytes(spec.y))
      .Default(0);
}
