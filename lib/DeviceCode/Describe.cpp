//===- Describe.cpp - What a launcher has to know -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/DeviceCode/DeviceCode.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;

std::string cq::describeKernels(ModuleOp module, StringRef chip,
                                ArrayRef<KernelUsage> usage) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::json::OStream json(os, 2);
  auto integers = [&](StringRef key, Attribute attribute) {
    json.attributeArray(key, [&] {
      if (auto array = dyn_cast_if_present<DenseI32ArrayAttr>(attribute))
        for (int32_t value : array.asArrayRef())
          json.value(value);
    });
  };
  auto integer = [&](StringRef key, Attribute attribute) {
    if (auto value = dyn_cast_if_present<IntegerAttr>(attribute))
      json.attribute(key, value.getInt());
  };
  json.object([&] {
    json.attribute("chip", chip);
    json.attributeArray("kernels", [&] {
      module.walk([&](gpu::GPUFuncOp kernel) {
        json.object([&] {
          json.attribute("name", kernel.getName());
          json.attributeArray("arguments", [&] {
            auto names = kernel->getAttrOfType<ArrayAttr>("cq.arguments");
            for (unsigned i = 0; i < kernel.getNumArguments(); ++i)
              json.object([&] {
                if (names && i < names.size())
                  json.attribute("name", cast<StringAttr>(names[i]).getValue());
                std::string spelled;
                llvm::raw_string_ostream(spelled)
                    << kernel.getArgument(i).getType();
                json.attribute("type", spelled);
              });
          });
          integers("block", kernel->getAttr("cq.block"));
          integers("grid", kernel->getAttr("cq.grid"));
          integer("shared_bytes", kernel->getAttr("cq.shared_bytes"));
          integer("tokens", kernel->getAttr("cq.tokens"));
          json.attribute("grid_y_is_token_blocks",
                         kernel->hasAttr("cq.token_blocks"));
          auto symbol = [&](StringRef key, StringRef name) {
            if (auto other = kernel->getAttrOfType<FlatSymbolRefAttr>(name))
              json.attribute(key, other.getValue());
          };
          symbol("prepare", "cq.prepare");
          symbol("finish", "cq.finish");
          for (const KernelUsage &used : usage)
            if (used.kernel == kernel.getName()) {
              json.attribute("registers", used.registers);
              json.attribute("stack_bytes", used.stackBytes);
              json.attribute("spill_bytes",
                             used.spillStoreBytes + used.spillLoadBytes);
              json.attribute("static_shared_bytes", used.staticSharedBytes);
              if (used.serializedProducts)
                json.attribute("serialized_wgmma", true);
            }
        });
      });
    });
  });
  os << '\n';
  return text;
}
