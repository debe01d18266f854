//===- LastError.cpp - One sentence a thread ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LastError.h"
#include "cq-c/CQ.h"
#include <cstdlib>
#include <string>

static thread_local std::string lastError;

void mlir::cq::setLastError(llvm::Error error) {
  lastError = llvm::toString(std::move(error));
}

void mlir::cq::setLastError(std::string sentence) {
  lastError = std::move(sentence);
}

const char *cqLastError(void) { return lastError.c_str(); }

void cqStringFree(char *text) { std::free(text); }
