//===- ModuleBuilder.h - Weights and functions of a model -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_IMPORT_MODULEBUILDER_H
#define CQ_LIB_IMPORT_MODULEBUILDER_H

#include "LlamaLayers.h"
#include "cq/Import/LlamaImporter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq::llama {

/// One weight a function takes: its name in the archive, its name as a value.
struct Weight {
  StringRef tensor;
  StringRef role;
};

/// Arguments of a function under construction, by their names.
struct Arguments {
  SmallVector<StringRef> names;
  SmallVector<Type> types;
  void add(StringRef name, Type type) {
    names.push_back(name);
    types.push_back(type);
  }
};

class ModuleBuilder {
public:
  ModuleBuilder(MLIRContext &context, const ModelSource &source,
                const ImportOptions &options)
      : builder(&context), source(source), config(source.config),
        options(options) {}

  OwningOpRef<ModuleOp> build();

private:
  // Validation: each failure has been reported when these return.
  LogicalResult resolve();
  LogicalResult declareWeights();
  LogicalResult declare(const Twine &role, StringRef name,
                        ArrayRef<int64_t> shape);
  InFlightDiagnostic error() {
    return emitError(builder.getUnknownLoc(), "cannot import " + title + ": ");
  }

  void describe();
  void buildBlock(int64_t block, int64_t tokens);
  void buildForward(int64_t tokens);
  void buildLogits(int64_t tokens);
  void buildLossBlock(int64_t block);
  /// Final hidden states of @loss's tokens, block by block.
  Value buildLossHidden(LlamaLayers &layers);
  void buildLoss();
  void buildDivergence();

  /// Attention and feed-forward around the two residual additions. `cached`
  /// maps this call's keys and values to all that attention sees.
  Value buildLayers(LlamaLayers &layers, Value x, const RopeTable &table,
                    function_ref<Value(StringRef)> weight,
                    function_ref<KeyValues(Value, Value)> cached);

  func::FuncOp beginFunction(const Twine &name, const Arguments &arguments,
                             TypeRange results, bool isPrivate);
  void endFunction(ValueRange results);
  Value argument(StringRef name) { return arguments.lookup(name); }
  Value load(StringRef tensor);
  SmallVector<Weight> blockWeights(int64_t block) const;

  RankedTensorType f32(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, builder.getF32Type());
  }
  RankedTensorType i32(int64_t size) {
    return RankedTensorType::get({size}, builder.getI32Type());
  }
  RankedTensorType cacheType() {
    return f32({config.blocks, context, config.kvHeads, config.headDim});
  }

  OpBuilder builder;
  const ModelSource &source;
  const ModelConfig &config;
  const ImportOptions &options;
  OwningOpRef<ModuleOp> module;
  std::string title;
  int64_t context = 0;
  SmallVector<int64_t> chunks;
  SmallVector<float> frequencies;
  llvm::StringMap<RankedTensorType> weightTypes;
  llvm::StringMap<Value> arguments; ///< of the function being built
};

} // namespace mlir::cq::llama

#endif // CQ_LIB_IMPORT_MODULEBUILDER_H
