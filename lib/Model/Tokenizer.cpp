//===- Tokenizer.cpp - Opening tokenizers ---------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Tokenizer.h"
#include "Diagnostics.h"

using namespace mlir::cq;

Tokenizer::~Tokenizer() = default;

llvm::Expected<std::shared_ptr<Tokenizer>>
Tokenizer::open(llvm::StringRef path) {
  return fail("tokenizers are not read yet: " + quoted(path));
}

std::string mlir::cq::formatChat(ChatTemplate, llvm::StringRef user,
                                 llvm::StringRef) {
  return user.str();
}
