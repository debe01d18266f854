//===- LlamaImporter.cpp - A Llama-family model as MLIR -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Import/LlamaImporter.h"
#include "LlamaLayers.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/CheckedArithmetic.h"

using namespace mlir;
using namespace mlir::cq;

namespace {

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
  void buildLoss();

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

} // namespace

//===----------------------------------------------------------------------===//
// Validation and weights
//===----------------------------------------------------------------------===//

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
      b.getNamedAttr("chunks", b.getI64ArrayAttr(chunks)),
      integer("loss_tokens", options.lossTokens),
      b.getNamedAttr("tied_head",
                     b.getBoolAttr(source.head == source.embedding)),
      text("embedding", source.embedding),
      text("head", source.head)};
  StringRef archive = options.parameters;
  if (archive.empty() && source.archive)
    archive = source.archive->path();
  Operation *op = module->getOperation();
  op->setAttr("cq.parameters", b.getStringAttr(archive));
  op->setAttr("cq.model", b.getDictionaryAttr(model));
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

func::FuncOp ModuleBuilder::beginFunction(const Twine &name,
                                          const Arguments &wanted,
                                          TypeRange results, bool isPrivate) {
  auto type = builder.getFunctionType(wanted.types, results);
  auto function =
      func::FuncOp::create(builder, builder.getUnknownLoc(), name.str(), type);
  if (isPrivate)
    function.setPrivate();
  SmallVector<Location> locations;
  for (StringRef argument : wanted.names)
    locations.push_back(NameLoc::get(builder.getStringAttr(argument)));
  Block *entry =
      builder.createBlock(&function.getBody(), {}, wanted.types, locations);
  arguments.clear();
  for (auto [argument, value] : llvm::zip(wanted.names, entry->getArguments()))
    arguments[argument] = value;
  return function;
}

void ModuleBuilder::endFunction(ValueRange results) {
  func::ReturnOp::create(builder, builder.getUnknownLoc(), results);
  builder.setInsertionPointToEnd(module->getBody());
}

Value ModuleBuilder::load(StringRef tensor) {
  auto symbol = SymbolRefAttr::get(builder.getContext(), tensor);
  return ml_program::GlobalLoadOp::create(
      builder, NameLoc::get(builder.getStringAttr(tensor)),
      weightTypes.lookup(tensor), symbol);
}

Value ModuleBuilder::buildLayers(LlamaLayers &layers, Value x,
                                 const RopeTable &table,
                                 function_ref<Value(StringRef)> weight,
                                 function_ref<KeyValues(Value, Value)> cached) {
  Value normed = layers.rmsNorm("normed", x, weight("attn_norm"));
  Value q = layers.linear("q", normed, weight("wq"), weight("bq"));
  Value k = layers.linear("k", normed, weight("wk"), weight("bk"));
  Value v = layers.linear("v", normed, weight("wv"), weight("bv"));
  KeyValues all =
      cached(layers.ropeKeys(k, table), layers.splitHeads("values", v));
  Value mixed = layers.attention(layers.ropeQueries(q, table), all);
  x = layers.addInPlace("x", x, layers.linear("attended", mixed, weight("wo")));

  normed = layers.rmsNorm("normed", x, weight("mlp_norm"));
  Value gate = layers.linear("gate", normed, weight("wgate"));
  Value up = layers.linear("up", normed, weight("wup"));
  Value hidden = layers.swiGlu(gate, up);
  return layers.addInPlace("x", x,
                           layers.linear("fed", hidden, weight("wdown")));
}

// The caches of all blocks come in whole, with the number of this block: a
// slice as an argument would have unknown strides in memory, which no vector
// load takes.
void ModuleBuilder::buildBlock(int64_t block, int64_t tokens) {
  Arguments wanted;
  auto hidden = f32({tokens, config.width});
  auto angles = f32({tokens, config.headDim / 2});
  wanted.add("x", hidden);
  wanted.add("pos", builder.getIndexType());
  wanted.add("layer", builder.getIndexType());
  wanted.add("cos", angles);
  wanted.add("sin", angles);
  wanted.add("kcache", cacheType());
  wanted.add("vcache", cacheType());
  for (const Weight &weight : blockWeights(block))
    wanted.add(weight.role, weightTypes.lookup(weight.tensor));
  beginFunction("block_" + Twine(block) + "_" + Twine(tokens), wanted,
                {hidden, cacheType(), cacheType()}, /*isPrivate=*/true);

  LlamaLayers layers(builder, config, tokens);
  GraphBuilder &graph = layers.getGraph();
  Value position = argument("pos"), layer = argument("layer");
  Value length = graph.add("length", position, graph.index(tokens));
  Value kcache = argument("kcache"), vcache = argument("vcache");
  auto cached = [&](Value keys, Value values) {
    Shape sizes = graph.shape({1, tokens, config.kvHeads, config.headDim});
    Shape offsets = graph.shape({0, 0, 0, 0});
    offsets[0] = layer;
    Shape seen = sizes;
    seen[1] = length;
    auto allKeys = [&](Value cache) {
      return graph.slice("seen", cache, offsets, seen, 0);
    };
    Shape here = offsets;
    here[1] = position;
    kcache = graph.insert("kcache", keys, kcache, here, sizes);
    vcache = graph.insert("vcache", values, vcache, here, sizes);
    return KeyValues{allKeys(kcache), allKeys(vcache), length, position};
  };
  Value x = buildLayers(
      layers, argument("x"), {argument("cos"), argument("sin")},
      [&](StringRef role) { return argument(role); }, cached);
  endFunction({x, kcache, vcache});
}

void ModuleBuilder::buildForward(int64_t tokens) {
  Arguments wanted;
  auto hidden = f32({tokens, config.width});
  wanted.add("tokens", i32(tokens));
  wanted.add("pos", builder.getIndexType());
  wanted.add("kcache", cacheType());
  wanted.add("vcache", cacheType());
  beginFunction("forward_" + Twine(tokens), wanted,
                {hidden, cacheType(), cacheType()}, /*isPrivate=*/false);

  LlamaLayers layers(builder, config, tokens);
  GraphBuilder &graph = layers.getGraph();
  Value position = argument("pos");
  Value x = layers.embed(argument("tokens"), load(source.embedding));
  RopeTable table = layers.ropeTable(frequencies, position);
  Value kcache = argument("kcache"), vcache = argument("vcache");
  for (int64_t block = 0; block < config.blocks; ++block) {
    SmallVector<Value> operands = {
        x, position, graph.index(block), table.cos, table.sin, kcache, vcache};
    for (const Weight &weight : blockWeights(block))
      operands.push_back(load(weight.tensor));
    std::string callee = ("block_" + Twine(block) + "_" + Twine(tokens)).str();
    auto call = func::CallOp::create(
        builder, graph.loc("block"), callee,
        TypeRange{hidden, cacheType(), cacheType()}, operands);
    x = call.getResult(0);
    kcache = call.getResult(1);
    vcache = call.getResult(2);
  }
  x = layers.rmsNorm("hidden", x, load(source.finalNorm));
  endFunction({x, kcache, vcache});
}

void ModuleBuilder::buildLogits(int64_t tokens) {
  Arguments wanted;
  wanted.add("hidden", f32({tokens, config.width}));
  beginFunction("logits_" + Twine(tokens), wanted,
                f32({tokens, config.vocabulary}), /*isPrivate=*/false);
  LlamaLayers layers(builder, config, tokens);
  endFunction(layers.linear("logits", argument("hidden"), load(source.head)));
}

void ModuleBuilder::buildLossBlock(int64_t block) {
  int64_t tokens = options.lossTokens;
  Arguments wanted;
  auto hidden = f32({tokens, config.width});
  auto angles = f32({tokens, config.headDim / 2});
  wanted.add("x", hidden);
  wanted.add("cos", angles);
  wanted.add("sin", angles);
  for (const Weight &weight : blockWeights(block))
    wanted.add(weight.role, weightTypes.lookup(weight.tensor));
  beginFunction("block_" + Twine(block) + "_loss", wanted, hidden,
                /*isPrivate=*/true);
  LlamaLayers layers(builder, config, tokens);
  auto uncached = [&](Value keys, Value values) {
    return KeyValues{keys, values, builder.getIndexAttr(tokens), Value()};
  };
  endFunction(buildLayers(
      layers, argument("x"), {argument("cos"), argument("sin")},
      [&](StringRef role) { return argument(role); }, uncached));
}

/// Token t predicts token t + 1: −log p for t in [0, T − 1).
void ModuleBuilder::buildLoss() {
  int64_t tokens = options.lossTokens;
  Arguments wanted;
  wanted.add("tokens", i32(tokens));
  beginFunction("loss", wanted, f32({tokens - 1}), /*isPrivate=*/false);
  LlamaLayers layers(builder, config, tokens);
  GraphBuilder &graph = layers.getGraph();
  Value x = layers.embed(argument("tokens"), load(source.embedding));
  RopeTable table = layers.ropeTable(frequencies, Value());
  for (int64_t block = 0; block < config.blocks; ++block) {
    SmallVector<Value> operands = {x, table.cos, table.sin};
    for (const Weight &weight : blockWeights(block))
      operands.push_back(load(weight.tensor));
    x = func::CallOp::create(builder, graph.loc("block"),
                             ("block_" + Twine(block) + "_loss").str(),
                             x.getType(), operands)
            .getResult(0);
  }
  x = layers.rmsNorm("hidden", x, load(source.finalNorm));
  Value predicting = graph.slice("predicting", x, graph.shape({0, 0}),
                                 graph.shape({tokens - 1, config.width}));
  Value targets = graph.slice("targets", argument("tokens"), graph.shape({1}),
                              graph.shape({tokens - 1}));
  Value logits = layers.linear("logits", predicting, load(source.head));
  endFunction(layers.negativeLogLikelihood(logits, targets));
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
