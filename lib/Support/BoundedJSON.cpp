//===- BoundedJSON.cpp - JSON from files nobody vouches for ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A scan without recursion runs before the parser. It understands only strings
// and brackets; what it does not understand is left to the parser to refuse.
//
//===----------------------------------------------------------------------===//

#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir::cq;
using llvm::StringRef;

namespace {
struct Container {
  bool isObject;
  bool expectsKey; // after '{' and ','
  llvm::StringSet<> keys;
};
} // namespace

/// End of the string literal that begins at `begin` (past the closing quote).
static size_t endOfString(StringRef text, size_t begin) {
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i + 1;
  }
  return text.size();
}

/// The key behind a literal: "\u0061" and "a" are one key.
static std::string unescape(StringRef literal) {
  if (!literal.contains('\\'))
    return literal.drop_front().drop_back().str();
  if (auto value = llvm::json::parse(literal)) {
    if (auto text = value->getAsString())
      return text->str();
  } else {
    llvm::consumeError(value.takeError());
  }
  return literal.str(); // not a string: the parser will say so
}

static llvm::Error scan(StringRef text, StringRef origin) {
  constexpr size_t maxDepth = 64;
  std::vector<Container> stack;
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (c == '"') {
      size_t end = endOfString(text, i);
      if (!stack.empty() && stack.back().isObject && stack.back().expectsKey) {
        stack.back().expectsKey = false;
        StringRef literal = text.slice(i, end);
        if (literal.size() >= 2 &&
            !stack.back().keys.insert(unescape(literal)).second)
          return fail("key " + quoted(literal.drop_front().drop_back()) +
                      " appears twice in one object of " + quoted(origin) +
                      "; the file is damaged");
      }
      i = end;
      continue;
    }
    if (c == '{' || c == '[') {
      if (stack.size() == maxDepth)
        return fail("the JSON of " + quoted(origin) + " nests more than " +
                    llvm::Twine(maxDepth) +
                    " brackets; the file is damaged or hostile");
      stack.push_back({c == '{', c == '{', {}});
    } else if (c == '}' || c == ']') {
      if (!stack.empty())
        stack.pop_back();
    } else if (c == ',' && !stack.empty()) {
      stack.back().expectsKey = stack.back().isObject;
    }
    ++i;
  }
  return llvm::Error::success();
}

llvm::Expected<llvm::json::Value> mlir::cq::parseBoundedJSON(StringRef text,
                                                             StringRef origin) {
  if (llvm::Error error = scan(text, origin))
    return std::move(error);
  auto value = llvm::json::parse(text);
  if (!value)
    return fail("the JSON of " + quoted(origin) +
                " is malformed: " + llvm::toString(value.takeError()));
  return value;
}
