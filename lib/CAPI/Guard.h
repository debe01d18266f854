//===- Guard.h - What every C function is wrapped in ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CAPI_GUARD_H
#define CQ_LIB_CAPI_GUARD_H

#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <cstddef>
#include <new>
#include <string>
#include <vector>

namespace mlir::cq::capi {

/// Keeps the sentence for cqLastError().
void setLastError(llvm::Error error);
void setLastError(const char *sentence) noexcept;

/// Runs `body`, which returns Expected<Result>: its value, or `failure` and the
/// sentence. Exceptions (memory, mostly) end here.
template <typename Result, typename Body>
Result guard(Result failure, Body body) noexcept {
  try {
    llvm::Expected<Result> result = body();
    if (result)
      return std::move(*result);
    setLastError(result.takeError());
  } catch (const std::bad_alloc &) {
    setLastError("there is not enough memory");
  } catch (const std::exception &exception) {
    setLastError(exception.what());
  } catch (...) {
    setLastError("an unknown exception");
  }
  return failure;
}

/// The same where `body` returns an Error: 0, or 1 and the sentence.
template <typename Body> int guardStatus(Body body) noexcept {
  return guard<int>(1, [&]() -> llvm::Expected<int> {
    if (llvm::Error error = body())
      return std::move(error);
    return 0;
  });
}

/// An error where an argument is NULL.
llvm::Error needs(const void *argument, const char *name);

/// Elements of a matrix of the caller, at most 2^40, or a sentence.
llvm::Expected<size_t> countOf(int64_t n, int64_t k);

/// A NUL-terminated copy that cqStringFree frees; `text` may hold zero bytes.
char *copyText(llvm::StringRef text);

/// "a,b" as {a, b}; NULL and "" are nothing.
std::vector<std::string> splitList(const char *text);

/// `text`, or "" for NULL.
inline llvm::StringRef textOf(const char *text) {
  return text ? llvm::StringRef(text) : llvm::StringRef();
}

/// Copies the fields that a caller's struct has; the rest stays as in `out`.
template <typename Options>
llvm::Error copyOptions(const Options *in, Options &out, const char *type) {
  if (!in)
    return llvm::Error::success();
  if (in->struct_size < sizeof(size_t) || in->struct_size > 4096)
    return fail(llvm::Twine("the field struct_size of ") + type +
                " is not its size");
  __builtin_memcpy(&out, in, std::min(in->struct_size, sizeof(Options)));
  return llvm::Error::success();
}

} // namespace mlir::cq::capi

#endif // CQ_LIB_CAPI_GUARD_H
