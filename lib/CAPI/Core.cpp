//===- Core.cpp - C API: version, errors, text ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq-c/Core.h"
#include "Guard.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Config/llvm-config.h"
#include <cstdlib>
#include <cstring>

using namespace mlir::cq;

static thread_local std::string lastError;

void capi::setLastError(llvm::Error error) {
  lastError = llvm::toString(std::move(error));
}

void capi::setLastError(const char *sentence) noexcept {
  try {
    lastError = sentence;
  } catch (...) {
    lastError.clear();
  }
}

llvm::Error capi::needs(const void *argument, const char *name) {
  if (argument)
    return llvm::Error::success();
  return fail(llvm::Twine("the argument ") + name + " is NULL");
}

llvm::Expected<size_t> capi::countOf(int64_t n, int64_t k) {
  constexpr int64_t most = int64_t(1) << 40;
  if (n <= 0 || k <= 0)
    return fail("a weight has at least one row and one column, not " +
                llvm::Twine(n) + " x " + llvm::Twine(k));
  if (n > most / k)
    return fail("a weight of " + llvm::Twine(n) + " x " + llvm::Twine(k) +
                " is larger than 2^40 elements");
  return static_cast<size_t>(n * k);
}

char *capi::copyText(llvm::StringRef text) {
  auto *copy = static_cast<char *>(std::malloc(text.size() + 1));
  if (!copy)
    throw std::bad_alloc();
  if (!text.empty())
    std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  return copy;
}

std::vector<std::string> capi::splitList(const char *text) {
  llvm::SmallVector<llvm::StringRef> parts;
  textOf(text).split(parts, ',', -1, /*KeepEmpty=*/false);
  return std::vector<std::string>(parts.begin(), parts.end());
}

int cqApiVersion(void) { return CQ_API_VERSION; }

const char *cqVersion(void) {
  return CQ_VERSION " (LLVM " LLVM_VERSION_STRING ")";
}

const char *cqLastError(void) { return lastError.c_str(); }

void cqStringFree(char *text) { std::free(text); }

int cqSetThreads(int threads) {
  return capi::guardStatus([&]() -> llvm::Error {
    if (threads < 0 || threads > 4096)
      return fail(llvm::Twine(threads) +
                  " is no number of threads (0 to 4096)");
    cq_set_threads(threads);
    return llvm::Error::success();
  });
}
