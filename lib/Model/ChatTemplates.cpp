//===- ChatTemplates.cpp - Fixed forms of chat prompts --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Special tokens in the user's text are parsed with the rest: the text is the
// user's own, and the contract of `encode` knows one text.
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Tokenizer.h"
#include "llvm/ADT/Twine.h"

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

static std::string chatML(StringRef user, StringRef system) {
  auto turn = [](StringRef role, StringRef text) {
    return ("<|im_start|>" + role + "\n" + text + "<|im_end|>\n").str();
  };
  return (system.empty() ? "" : turn("system", system)) + turn("user", user) +
         "<|im_start|>assistant\n";
}

static std::string llama3(StringRef user, StringRef system) {
  auto header = [](StringRef role) {
    return ("<|start_header_id|>" + role + "<|end_header_id|>\n\n").str();
  };
  std::string text;
  if (!system.empty())
    text += header("system") + system.str() + "<|eot_id|>";
  return text + header("user") + user.str() + "<|eot_id|>" +
         header("assistant");
}

static std::string llama2(StringRef user, StringRef system) {
  if (system.empty())
    return ("[INST] " + user + " [/INST]").str();
  return ("[INST] <<SYS>>\n" + system + "\n<</SYS>>\n\n" + user + " [/INST]")
      .str();
}

std::string mlir::cq::formatChat(ChatTemplate form, StringRef user,
                                 StringRef system) {
  switch (form) {
  case ChatTemplate::ChatML:
    return chatML(user, system);
  case ChatTemplate::Llama2:
    return llama2(user, system);
  case ChatTemplate::Llama3:
    return llama3(user, system);
  case ChatTemplate::None:
    break;
  }
  return system.empty() ? user.str() : (system + "\n\n" + user).str();
}
