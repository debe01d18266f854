//===- MeasurementsTest.cpp - Measurement files ----------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/Measurements.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

static std::string temporary() {
  llvm::SmallString<128> path;
  llvm::sys::fs::createUniquePath("/tmp/cq-measurements-%%%%%%.jsonl", path,
                                  false);
  return path.str().str();
}

static MeasuredWeight record(llvm::StringRef name, llvm::StringRef hash,
                             llvm::StringRef choice, double loss) {
  MeasuredWeight weight;
  weight.weight = name;
  weight.n = 16;
  weight.k = 64;
  weight.hash = hash;
  weight.losses = {{choice.str(), loss}};
  return weight;
}

TEST(MeasurementsTest, GoesOnWhereItWasInterrupted) {
  std::string path = temporary();
  MeasurementHeader header{"weight", "", ""};
  {
    auto writer = llvm::cantFail(MeasurementWriter::open(path, header));
    llvm::cantFail(writer->append(record("a", "1", "b3-g64", 0.25)));
    llvm::cantFail(writer->append(record("b", "2", "b3-g64", 0.5)));
  }
  { // Half a line, as a killed process leaves it.
    std::error_code code;
    llvm::raw_fd_ostream os(path, code, llvm::sys::fs::OF_Append);
    os << R"({"weight":"c","sha)";
  }
  Measurements held = llvm::cantFail(Measurements::read(path));
  EXPECT_EQ(held.weights.size(), 2u);
  auto writer = llvm::cantFail(MeasurementWriter::open(path, header));
  ASSERT_NE(writer->measurements().find("b"), nullptr);
  llvm::cantFail(writer->append(record("a", "1", "b4-g64", 0.125)));
  held = llvm::cantFail(Measurements::read(path));
  EXPECT_EQ(held.weights.size(), 2u);
  EXPECT_EQ(*held.find("a")->find("b3-g64"), 0.25);
  EXPECT_EQ(*held.find("a")->find("b4-g64"), 0.125);
  EXPECT_EQ(held.find("c"), nullptr);
  llvm::sys::fs::remove(path);
}

TEST(MeasurementsTest, OtherNumbersReplaceOldLosses) {
  Measurements held;
  held.header.loss = "weight";
  held.add(record("a", "1", "b3-g64", 0.25));
  held.add(record("a", "2", "b4-g64", 0.125));
  EXPECT_EQ(held.find("a")->find("b3-g64"), nullptr);
  EXPECT_EQ(*held.find("a")->find("b4-g64"), 0.125);
}

TEST(MeasurementsTest, AnotherHeaderIsRefusedAndTheFileStays) {
  std::string path = temporary();
  {
    auto writer =
        llvm::cantFail(MeasurementWriter::open(path, {"weight", "", ""}));
    llvm::cantFail(writer->append(record("a", "1", "b3-g64", 0.25)));
  }
  auto writer = MeasurementWriter::open(path, {"fisher", "x", ""});
  ASSERT_FALSE(static_cast<bool>(writer));
  EXPECT_TRUE(llvm::StringRef(llvm::toString(writer.takeError()))
                  .contains("another kind of loss"));
  EXPECT_EQ(llvm::cantFail(Measurements::read(path)).weights.size(), 1u);
  llvm::sys::fs::remove(path);
}

TEST(MeasurementsTest, TextRoundTrip) {
  Measurements held;
  held.header = {"block", "stats", "model"};
  held.add(record("a", "1", "b3-g64", 0.1));
  MeasuredBlock block;
  block.block = "0";
  block.variables = {{"a", "b3-g64"}, {"b", "b3-g64"}};
  block.matrix = {0, -0.5, -0.5, 0};
  held.add(block);
  Measurements back = llvm::cantFail(Measurements::parse(held.str(), "memory"));
  EXPECT_EQ(back.str(), held.str());
  EXPECT_TRUE(back.header == held.header);
}

TEST(MeasurementsTest, HostileFilesAreErrors) {
  std::string header =
      R"({"cq_measurements":1,"loss":"weight","statistics":"","model":""})"
      "\n";
  auto refuse = [](llvm::StringRef text, llvm::StringRef part) {
    auto read = Measurements::parse(text, "memory");
    ASSERT_FALSE(static_cast<bool>(read)) << text.str();
    std::string message = llvm::toString(read.takeError());
    EXPECT_TRUE(llvm::StringRef(message).contains(part)) << message;
  };
  refuse("", "empty");
  refuse("[]\n", "not an object");
  refuse("{}\n", "cq_measurements");
  refuse(R"({"cq_measurements":7})"
         "\n",
         "version 7");
  refuse(header + "{\n", "line 2");
  refuse(header + R"({"weight":"a","hash":"","shape":[0,1],"losses":{}})"
                  "\n",
         "shape");
  refuse(header +
             R"({"weight":"a","hash":"","shape":[1,1],"losses":{"b3":"x"}})"
             "\n",
         "finite");
  refuse(header + R"({"weight":"a","hash":"","shape":[1,1],"losses":{},"x":1})"
                  "\n",
         "unknown field 'x'");
  refuse(header + R"({"block":"0","variables":[["a","b"]],"matrix":[[1,2]]})"
                  "\n",
         "symmetric");
  refuse(
      header +
          R"({"block":"0","variables":[["a","b"],["c","d"]],"matrix":[[0,1],[2,0]]})"
          "\n",
      "symmetric");
}
