//===- ModelTest.cpp - Which code of a compiled model runs ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Model.h"
#include "gtest/gtest.h"
#include <string>

namespace {

cq_model_code codeFor(const char *cpu, const char *features,
                      const cq_model_code *next = nullptr) {
  cq_model_code code = {};
  code.version = CQ_MODEL_CODE_VERSION;
  code.name = "libmodel.so";
  code.cpu = cpu;
  code.features = features;
  code.next = next;
  return code;
}

/// What opening without weights says: the code was chosen before.
std::string errorOf(const cq_model_code &code) {
  EXPECT_EQ(cq_model_open(&code, nullptr), nullptr);
  return cq_model_error();
}

TEST(Model, RefusesWhatNoCPUHas) {
  EXPECT_EQ(errorOf(codeFor("z80", "sse4.1 no-such-feature")),
            "libmodel.so was compiled for the CPU 'z80' and this one lacks "
            "no-such-feature; compile it again here, or with a lower "
            "--target-cpu");
  cq_model_code last = codeFor("6502", "decimal"),
                first = codeFor("z80", "no-such-feature", &last);
  EXPECT_EQ(errorOf(first),
            "libmodel.so was compiled for the CPUs 'z80', '6502' and this one "
            "lacks decimal of the last; compile it again here, or with a "
            "lower --target-cpu");
}

TEST(Model, TakesTheFirstCodeThatRuns) {
  cq_model_code last = codeFor("any", ""),
                first = codeFor("z80", "no-such-feature", &last);
  EXPECT_EQ(errorOf(first), "no weights file is given");
}

TEST(Model, RefusesOtherVersions) {
  cq_model_code code = codeFor("any", "");
  code.version = CQ_MODEL_CODE_VERSION - 1;
  EXPECT_NE(errorOf(code).find("was compiled for version"), std::string::npos);
}

} // namespace
