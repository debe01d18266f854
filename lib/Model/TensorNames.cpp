//===- TensorNames.cpp - Names of tensors in checkpoints ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorNames.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::cq;
using llvm::StringRef;

const TensorNames mlir::cq::ggufNames = {
    "token_embd.weight",  "output_norm.weight",
    "output.weight",      "blk.",
    "attn_norm.weight",   "attn_q.weight",
    "attn_k.weight",      "attn_v.weight",
    "attn_output.weight", "ffn_norm.weight",
    "ffn_gate.weight",    "ffn_up.weight",
    "ffn_down.weight",    "attn_q.bias",
    "attn_k.bias",        "attn_v.bias",
    "attn_q_norm.weight", "attn_k_norm.weight"};
const TensorNames mlir::cq::huggingFaceNames = {
    "model.embed_tokens.weight",
    "model.norm.weight",
    "lm_head.weight",
    "model.layers.",
    "input_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "post_attention_layernorm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "self_attn.q_proj.bias",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.bias",
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight"};

static constexpr const char *TensorNames::*wholeModel[] = {
    &TensorNames::embedding, &TensorNames::finalNorm, &TensorNames::head};
static constexpr const char *TensorNames::*inBlock[] = {
    &TensorNames::attentionNorm,
    &TensorNames::q,
    &TensorNames::k,
    &TensorNames::v,
    &TensorNames::o,
    &TensorNames::mlpNorm,
    &TensorNames::gate,
    &TensorNames::up,
    &TensorNames::down,
    &TensorNames::qBias,
    &TensorNames::kBias,
    &TensorNames::vBias,
    &TensorNames::qNorm,
    &TensorNames::kNorm};

std::string mlir::cq::renamedTensor(StringRef name, const TensorNames &to) {
  for (const TensorNames *from : {&ggufNames, &huggingFaceNames}) {
    for (auto role : wholeModel)
      if (name == from->*role)
        return to.*role;
    StringRef rest = name;
    if (!rest.consume_front(from->blockPrefix))
      continue;
    auto [block, suffix] = rest.split('.');
    if (block.empty() || !llvm::all_of(block, llvm::isDigit))
      continue;
    for (auto role : inBlock)
      if (suffix == from->*role)
        return (to.blockPrefix + block + "." + to.*role).str();
  }
  return "";
}

RotatedRows mlir::cq::rotatedRows(StringRef name) {
  std::string canonical = renamedTensor(name, ggufNames);
  for (auto [suffix, rows] :
       {std::pair<StringRef, RotatedRows>{ggufNames.q, RotatedRows::Q},
        {ggufNames.qBias, RotatedRows::Q},
        {ggufNames.k, RotatedRows::K},
        {ggufNames.kBias, RotatedRows::K}})
    if (StringRef(canonical).ends_with(suffix))
      return rows;
  return RotatedRows::None;
}
