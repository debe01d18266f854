//===- DeviceCacheTest.cpp - Programs for devices, stored -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../../lib/Execution/DeviceCache.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

static DeviceProgram sample() {
  DeviceProgram program;
  program.weights.push_back({16, 64, 0, 1, -1, "#s", "#from", "#to"});
  DeviceFunction &function = program.functions.emplace_back();
  function.name = "forward_1";
  function.workspaceBytes = 512;
  function.buffers = {{DeviceBuffer::Argument, 0, 4, "", {}},
                      {DeviceBuffer::Relaid, 0, 256, "codes", {}},
                      {DeviceBuffer::Constant, 0, 2, "", {7, 255}},
                      {DeviceBuffer::Temporary, 256, 256, "", {}}};
  DeviceLaunch &launch = function.launches.emplace_back();
  launch.kernel = "k";
  launch.grid = {3, 2, 1};
  launch.block = {256, 1, 1};
  launch.sharedBytes = 1024;
  launch.arguments = {{1, 0}, {3, 128}, {-1, 5}};
  return program;
}

static std::string textOf(const DeviceProgram &program) {
  return llvm::formatv("{0}", toJSON(program)).str();
}

TEST(DeviceCache, WhatIsReadIsWhatWasWritten) {
  std::string text = textOf(sample());
  auto value = llvm::json::parse(text);
  ASSERT_TRUE(bool(value));
  auto program = parseDeviceProgram(*value);
  ASSERT_TRUE(program);
  EXPECT_EQ(textOf(*program), text);
  EXPECT_EQ(program->functions[0].launches[0].arguments[1].value, 128);
  EXPECT_EQ(program->functions[0].buffers[2].data,
            (std::vector<uint8_t>{7, 255}));
}

TEST(DeviceCache, WhatDoesNotFitIsNotRead) {
  auto rejects = [](llvm::function_ref<void(DeviceFunction &)> change) {
    DeviceProgram program = sample();
    change(program.functions[0]);
    EXPECT_FALSE(parseDeviceProgram(toJSON(program))) << textOf(program);
  };
  rejects([](DeviceFunction &f) { f.launches[0].arguments[0].buffer = 4; });
  rejects([](DeviceFunction &f) { f.launches[0].arguments[0].buffer = -2; });
  rejects([](DeviceFunction &f) { f.launches[0].arguments[1].value = 257; });
  rejects([](DeviceFunction &f) { f.launches[0].arguments[1].value = -1; });
  rejects([](DeviceFunction &f) { f.buffers[1].index = 1; });
  rejects([](DeviceFunction &f) { f.buffers[2].bytes = 3; });
  rejects([](DeviceFunction &f) { f.buffers[0].bytes = -4; });
  rejects([](DeviceFunction &f) {
    f.buffers[0].kind = static_cast<DeviceBuffer::Kind>(9);
  });
  EXPECT_FALSE(parseDeviceProgram(llvm::json::Array()));
  EXPECT_FALSE(parseDeviceProgram(llvm::json::Object()));
}
