//===- LlamaFunctions.cpp - Blocks, forward, logits and loss --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModuleBuilder.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::llama;

/// On the call, not the function: equal blocks shall stay equal text.
static void markBlock(func::CallOp call, int64_t block) {
  Builder b(call.getContext());
  call->setAttr("cq.block", b.getI64IntegerAttr(block));
}

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
  if (config.headNorms) {
    q = layers.headNorm("q", q, weight("q_norm"));
    k = layers.headNorm("k", k, weight("k_norm"));
  }
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
    markBlock(call, block);
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

Value ModuleBuilder::buildLossHidden(LlamaLayers &layers) {
  Value x = layers.embed(argument("tokens"), load(source.embedding));
  RopeTable table = layers.ropeTable(frequencies, Value());
  for (int64_t block = 0; block < config.blocks; ++block) {
    SmallVector<Value> operands = {x, table.cos, table.sin};
    for (const Weight &weight : blockWeights(block))
      operands.push_back(load(weight.tensor));
    auto call = func::CallOp::create(builder, layers.getGraph().loc("block"),
                                     ("block_" + Twine(block) + "_loss").str(),
                                     x.getType(), operands);
    markBlock(call, block);
    x = call.getResult(0);
  }
  return layers.rmsNorm("hidden", x, load(source.finalNorm));
}

/// Token t predicts token t + 1: −log p for t in [0, T − 1).
void ModuleBuilder::buildLoss() {
  int64_t tokens = options.lossTokens;
  Arguments wanted;
  wanted.add("tokens", i32(tokens));
  beginFunction("loss", wanted, f32({tokens - 1}), /*isPrivate=*/false);
  LlamaLayers layers(builder, config, tokens);
  GraphBuilder &graph = layers.getGraph();
  Value x = buildLossHidden(layers);
  Value predicting = graph.slice("predicting", x, graph.shape({0, 0}),
                                 graph.shape({tokens - 1, config.width}));
  Value targets = graph.slice("targets", argument("tokens"), graph.shape({1}),
                              graph.shape({tokens - 1}));
  Value logits = layers.linear("logits", predicting, load(source.head));
  endFunction(layers.negativeLogLikelihood(logits, targets));
}

/// KL divergence of this model's predictions from those of another one with
/// the same head, whose final hidden states are given.
void ModuleBuilder::buildDivergence() {
  int64_t tokens = options.lossTokens;
  Arguments wanted;
  wanted.add("tokens", i32(tokens));
  wanted.add("reference", f32({tokens, config.width}));
  beginFunction("divergence", wanted, f32({tokens}), /*isPrivate=*/false);
  LlamaLayers layers(builder, config, tokens);
  Value head = load(source.head);
  Value logits = layers.linear("logits", buildLossHidden(layers), head);
  Value reference = layers.linear("reference", argument("reference"), head);
  endFunction(layers.divergence(logits, reference));
}
