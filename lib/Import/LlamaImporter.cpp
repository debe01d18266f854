//===- LlamaImporter.cpp - A Llama-family model as MLIR -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Import/LlamaImporter.h"
#include "ModuleBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/CheckedArithmetic.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::llama;

LogicalResult ModuleBuilder::resolve() {
  title = config.name.empty() ? "the model" : "'" + config.name + "'";
  if (llvm::Error bad = config.check())
    return error() << llvm::toString(std::move(bad));
  if (static_cast<int64_t>(source.blocks.size()) != config.blocks)
    return error() << "the config has " << config.blocks << " blocks, but "
                   << source.blocks.size() << " were found in the archive";
  context = options.context ? options.context
                            : std::min<int64_t>(config.context, 2048);
  if (context < 1 || context > config.context)
    return error() << "context " << context << " is outside of 1 to "
                   << config.context
                   << ", the positions the model was trained for";
  // Sizes are bounded one by one; their product is what gets allocated.
  std::optional<int64_t> cache = context;
  for (int64_t size : {config.blocks, config.kvHeads, config.headDim})
    cache = cache ? llvm::checkedMul(*cache, size) : std::nullopt;
  if (!cache || *cache > int64_t(1) << 40)
    return error() << "its key/value caches of " << context
                   << " positions would take terabytes; ask for a smaller "
                      "context";
  for (int64_t chunk : options.chunks) {
    if (chunk < 1)
      return error() << "chunk size " << chunk << " is not positive";
    if (chunk > context)
      continue;
    if (llvm::is_contained(chunks, chunk))
      return error() << "chunk size " << chunk << " is given twice";
    chunks.push_back(chunk);
  }
  if (chunks.empty())
    return error() << "no chunk size is at most " << context
                   << ", the context; the usual ones are 1, 8, 64";
  if (options.lossTokens &&
      (options.lossTokens < 2 || options.lossTokens > config.context))
    return error() << "a loss over " << options.lossTokens
                   << " tokens needs 2 to " << config.context << " tokens";
  return success();
}

LogicalResult ModuleBuilder::declare(const Twine &role, StringRef name,
                                     ArrayRef<int64_t> shape) {
  if (name.empty())
    return error() << "no tensor serves as " << role;
  RankedTensorType type = f32(shape);
  auto [known, isNew] = weightTypes.try_emplace(name, type);
  if (!isNew) {
    if (known->second == type)
      return success();
    return error() << "tensor '" << name << "' serves as " << role
                   << " with shape " << type << ", but elsewhere with shape "
                   << known->second;
  }
  auto external = ml_program::ExternAttr::get(builder.getContext(), type);
  ml_program::GlobalOp::create(builder, builder.getUnknownLoc(), name, type,
                               /*is_mutable=*/false, external,
                               builder.getStringAttr("private"));
  return success();
}

LogicalResult ModuleBuilder::declareWeights() {
  int64_t d = config.width, f = config.hidden;
  int64_t q = config.heads * config.headDim;
  int64_t kv = config.kvHeads * config.headDim;
  bool failedAny = failed(
      declare("the embedding", source.embedding, {config.vocabulary, d}));
  for (auto [i, block] : llvm::enumerate(source.blocks)) {
    SmallVector<std::tuple<StringRef, StringRef, SmallVector<int64_t>>> roles =
        {{"attention norm", block.attentionNorm, {d}},
         {"query projection", block.q, {q, d}},
         {"key projection", block.k, {kv, d}},
         {"value projection", block.v, {kv, d}},
         {"output projection", block.o, {d, q}},
         {"feed-forward norm", block.mlpNorm, {d}},
         {"gate projection", block.gate, {f, d}},
         {"up projection", block.up, {f, d}},
         {"down projection", block.down, {d, f}}};
    if (config.attentionBias)
      roles.append({{"query bias", block.qBias, {q}},
                    {"key bias", block.kBias, {kv}},
                    {"value bias", block.vBias, {kv}}});
    if (config.headNorms)
      roles.append({{"query norm", block.qNorm, {config.headDim}},
                    {"key norm", block.kNorm, {config.headDim}}});
    for (auto &[role, name, shape] : roles)
      failedAny = failedAny ||
                  failed(declare(role + " of block " + Twine(i), name, shape));
  }
  failedAny =
      failedAny || failed(declare("the final norm", source.finalNorm, {d}));
  failedAny = failedAny ||
              failed(declare("the head", source.head, {config.vocabulary, d}));
  return failure(failedAny);
}

SmallVector<Weight> ModuleBuilder::blockWeights(int64_t block) const {
  const BlockTensors &names = source.blocks[block];
  SmallVector<Weight> weights = {{names.attentionNorm, "attn_norm"},
                                 {names.q, "wq"},
                                 {names.k, "wk"},
                                 {names.v, "wv"},
                                 {names.o, "wo"},
                                 {names.mlpNorm, "mlp_norm"},
                                 {names.gate, "wgate"},
                                 {names.up, "wup"},
                                 {names.down, "wdown"}};
  if (config.attentionBias)
    weights.append(
        {{names.qBias, "bq"}, {names.kBias, "bk"}, {names.vBias, "bv"}});
  if (config.headNorms)
    weights.append({{names.qNorm, "q_norm"}, {names.kNorm, "k_norm"}});
  return weights;
}

/// Everything a driver needs to run the module without another file.
void ModuleBuilder::describe() {
  Builder &b = builder;
  auto integer = [&](StringRef name, int64_t value) {
    return b.getNamedAttr(name, b.getI64IntegerAttr(value));
  };
  auto text = [&](StringRef name, StringRef value) {
    return b.getNamedAttr(name, b.getStringAttr(value));
  };
  SmallVector<NamedAttribute> model = {
      text("architecture", config.architecture),
      text("name", config.name),
      integer("width", config.width),
      integer("hidden", config.hidden),
      integer("blocks", config.blocks),
      integer("heads", config.heads),
      integer("kv_heads", config.kvHeads),
      integer("head_dim", config.headDim),
      integer("vocabulary", config.vocabulary),
      integer("context", context),
      integer("trained_context", config.context),
      b.getNamedAttr("epsilon", b.getF64FloatAttr(config.epsilon)),
      b.getNamedAttr("rope_base", b.getF64FloatAttr(config.ropeBase)),
      b.getNamedAttr("interleaved_rope", b.getBoolAttr(config.interleavedRope)),
      b.getNamedAttr("attention_bias", b.getBoolAttr(config.attentionBias)),
      b.getNamedAttr("chunks", b.getI64ArrayAttr(chunks)),
      integer("loss_tokens", options.lossTokens),
      b.getNamedAttr("tied_head",
                     b.getBoolAttr(source.head == source.embedding)),
      text("embedding", source.embedding),
      text("head", source.head)};
  if (config.headNorms)
    model.push_back(b.getNamedAttr("head_norms", b.getBoolAttr(true)));
  if (!config.ropeFactors.empty())
    model.push_back(b.getNamedAttr("rope_factors",
                                   b.getDenseF32ArrayAttr(config.ropeFactors)));
  StringRef archive = options.parameters;
  if (archive.empty() && source.archive)
    archive = source.archive->path();
  Operation *op = module->getOperation();
  op->setAttr("cq.parameters", b.getStringAttr(archive));
  op->setAttr("cq.model", b.getDictionaryAttr(model));
}

OwningOpRef<ModuleOp> ModuleBuilder::build() {
  if (failed(resolve()))
    return nullptr;
  module = ModuleOp::create(builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  if (failed(declareWeights()))
    return nullptr;
  frequencies = ropeFrequencies(config);
  describe();
  // Callees first, as one run of --drop-equivalent-buffer-results wants it: it
  // goes through the functions in order.
  for (int64_t chunk : chunks) {
    for (int64_t block = 0; block < config.blocks; ++block)
      buildBlock(block, chunk);
    buildForward(chunk);
    buildLogits(chunk);
  }
  if (options.lossTokens) {
    for (int64_t block = 0; block < config.blocks; ++block)
      buildLossBlock(block);
    buildLoss();
    buildDivergence();
  }
  // Also finds a tensor with the name of one of our functions.
  if (failed(verify(*module)))
    return nullptr;
  return std::move(module);
}

OwningOpRef<ModuleOp> cq::importLlama(MLIRContext &context,
                                      const ModelSource &source,
                                      const ImportOptions &options) {
  context.loadDialect<arith::ArithDialect, func::FuncDialect,
                      linalg::LinalgDialect, math::MathDialect,
                      ml_program::MLProgramDialect, tensor::TensorDialect>();
  return ModuleBuilder(context, source, options).build();
}

void cq::printModel(ModuleOp module, raw_ostream &os) {
  module->print(os, OpPrintingFlags().printNameLocAsPrefix());
}
