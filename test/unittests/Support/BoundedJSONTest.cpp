//===- BoundedJSONTest.cpp - JSON without its traps -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/BoundedJSON.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

static std::string messageOf(const std::string &text) {
  auto value = parseBoundedJSON(text, "f.json");
  if (value)
    return "";
  std::string message = llvm::toString(value.takeError());
  EXPECT_NE(message.find("'f.json'"), std::string::npos) << message;
  return message;
}

TEST(BoundedJSON, TakesWhatIsFine) {
  EXPECT_EQ(messageOf("{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}"), "");
  // Equal strings that are no keys of one object; brackets inside strings.
  EXPECT_EQ(messageOf("{\"a\":\"a\",\"b\":[\"a\",\"a\"],\"c\":\"{[\\\"{[\"}"),
            "");
  EXPECT_EQ(messageOf(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_EQ(messageOf("7"), "");
}

TEST(BoundedJSON, RefusesDepth) {
  for (size_t depth : {65, 50000, 5000000})
    for (const char *bracket : {"[", "{\"a\":"}) {
      std::string text;
      for (size_t i = 0; i < depth; ++i)
        text += bracket;
      EXPECT_NE(messageOf(text).find("nests more than 64"), std::string::npos);
    }
}

TEST(BoundedJSON, RefusesEqualKeys) {
  for (const char *text : {"{\"a\":1,\"a\":2}", "{\"a\":1,\"b\":{},\"a\":[]}",
                           "[{\"x\":{\"\\u0061\":1,\"a\":2}}]",
                           "{\"\":1,\"\":1}", "{\"a\\n\":1,\"a\\u000a\":2}"})
    EXPECT_NE(messageOf(text).find("appears twice"), std::string::npos) << text;
}

TEST(BoundedJSON, RefusesNonsense) {
  for (const char *text :
       {"", "{", "}", "]]]]", "{\"a", "{\"a\\", "\"", "\\", "{,,,}", "[1,]",
        "{\"a\":1}}", "nul", "{\"\\u12\":1,\"\\u12\":1}", "\xff", "{1:2}"})
    EXPECT_NE(messageOf(text), "") << text;
}
