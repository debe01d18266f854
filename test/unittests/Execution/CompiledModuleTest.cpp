//===- CompiledModuleTest.cpp - Interface, cache, parameters --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "cq/Execution/ObjectCache.h"
#include "cq/Execution/ParameterTable.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;

namespace {
/// y = x + w, and a cache that gets x at a position.
constexpr llvm::StringLiteral source = R"(
module attributes {cq.parameters = "w.bin", cq.model = {width = 4 : i64, tied = true}} {
  ml_program.global private @w(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
  func.func @step(%x: tensor<4xf32>, %pos: index, %cache: tensor<8x4xf32>) -> (tensor<4xf32>, tensor<8x4xf32>) {
    %w = ml_program.global_load @w : tensor<4xf32>
    %e = tensor.empty() : tensor<4xf32>
    %y = linalg.add ins(%x, %w : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %c = tensor.insert_slice %x into %cache[%pos, 0] [1, 4] [1, 1] : tensor<4xf32> into tensor<8x4xf32>
    return %y, %c : tensor<4xf32>, tensor<8x4xf32>
  }
})";

using Step = void(void **, float *, int64_t, float *, float *);

class CompiledModuleTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("cq-execution", path));
    options.cacheDir = std::string(path);
  }
  void TearDown() override {
    llvm::sys::fs::remove_directories(options.cacheDir);
  }

  std::unique_ptr<CompiledModule> compile(llvm::StringRef text = source) {
    auto module = CompiledModule::compileSource(text, "test", options);
    if (module)
      return std::move(*module);
    error = llvm::toString(module.takeError());
    return nullptr;
  }
  void run(CompiledModule &module) {
    auto step = module.get<Step>("step");
    ASSERT_TRUE(static_cast<bool>(step));
    float w[] = {10, 20, 30, 40}, x[] = {1, 2, 3, 4}, y[4] = {}, cache[32] = {};
    void *table[] = {w};
    (*step)(table, x, 5, cache, y);
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(y[i], x[i] + w[i]);
    for (int i = 0; i < 32; ++i)
      EXPECT_EQ(cache[i], i / 4 == 5 ? x[i % 4] : 0);
  }
  std::vector<std::string> files(llvm::StringRef extension) {
    std::vector<std::string> list;
    std::error_code ec;
    for (llvm::sys::fs::directory_iterator it(options.cacheDir, ec), end;
         it != end && !ec; it.increment(ec))
      if (llvm::sys::path::extension(it->path()) == extension)
        list.push_back(it->path());
    return list;
  }
  ExecutionOptions options;
  std::string error;
};

TEST_F(CompiledModuleTest, RunsAndDescribesItself) {
  auto module = compile();
  ASSERT_TRUE(module) << error;
  EXPECT_FALSE(module->isFromCache());
  run(*module);
  const ModuleInterface &interface = module->getInterface();
  ASSERT_EQ(interface.parameters.size(), 1u);
  EXPECT_EQ(interface.parameters[0].name, "w");
  EXPECT_EQ(interface.parameters[0].type.numBytes(), 16);
  const FunctionInfo *step = interface.find("step");
  ASSERT_TRUE(step);
  EXPECT_EQ(step->entryPoint, "cq_step");
  ASSERT_EQ(step->arguments.size(), 3u);
  EXPECT_EQ(step->arguments[1].elementType, "index");
  ASSERT_EQ(step->results.size(), 2u);
  EXPECT_FALSE(step->results[0].argument);
  EXPECT_EQ(step->results[1].argument, 2u);
  EXPECT_EQ(interface.attributes.getString("parameters"),
            llvm::StringRef("w.bin"));
  EXPECT_EQ(interface.attributes.getObject("model")->getInteger("width"), 4);
  EXPECT_EQ(interface.attributes.getObject("model")->getBoolean("tied"), true);
}

// Fusion gives the result a tensor of its own, but callers were told that it is
// the second argument; and y is read after the result is known.
TEST_F(CompiledModuleTest, TheInterfaceIsThatOfTheSource) {
  auto module = compile(R"(
    func.func @f(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
      %r = linalg.mul ins(%x, %y : tensor<4xf32>, tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
      %s = linalg.mul ins(%r, %x : tensor<4xf32>, tensor<4xf32>) outs(%y : tensor<4xf32>) -> tensor<4xf32>
      %e = tensor.empty() : tensor<4xf32>
      %t = linalg.exp ins(%y : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
      return %s, %t : tensor<4xf32>, tensor<4xf32>
    })");
  ASSERT_TRUE(module) << error;
  const FunctionInfo *f = module->getInterface().find("f");
  ASSERT_TRUE(f);
  EXPECT_EQ(f->results[0].argument, 1u);
  EXPECT_FALSE(f->results[1].argument);
  auto code = module->get<void(void **, float *, float *, float *)>("f");
  ASSERT_TRUE(static_cast<bool>(code));
  float x[] = {1, 2, 3, 4}, y[] = {2, 0, -1, 0.5}, t[4] = {};
  (*code)(nullptr, x, y, t);
  for (int i = 0; i < 4; ++i) {
    float before[] = {2, 0, -1, 0.5};
    EXPECT_EQ(x[i], i + 1);
    EXPECT_EQ(y[i], x[i] * before[i] * x[i]);
    EXPECT_NEAR(t[i], std::exp(before[i]), 1e-5f);
  }
}

TEST_F(CompiledModuleTest, SecondStartComesFromTheCache) {
  ASSERT_TRUE(compile()) << error;
  auto again = compile();
  ASSERT_TRUE(again) << error;
  EXPECT_TRUE(again->isFromCache());
  EXPECT_EQ(again->getInterface().find("step")->results[1].argument, 2u);
  run(*again);
  options.parallel = false;
  auto other = compile();
  ASSERT_TRUE(other) << error;
  EXPECT_FALSE(other->isFromCache()) << "options are part of the key";
}

TEST_F(CompiledModuleTest, DamagedEntriesAreCompiledAgain) {
  for (llvm::StringRef extension : {".o", ".json"})
    for (int damage = 0; damage < 3; ++damage) {
      ASSERT_TRUE(compile()) << error;
      auto entry = files(extension);
      ASSERT_EQ(entry.size(), 1u);
      auto bytes = llvm::MemoryBuffer::getFile(entry[0]);
      ASSERT_TRUE(static_cast<bool>(bytes));
      std::string text = (*bytes)->getBuffer().str();
      if (damage == 0)
        text.resize(text.size() / 2);
      else if (damage == 1)
        text[text.size() / 2] ^= 0x20;
      else
        text = std::string(100000, '[');
      std::error_code ec;
      llvm::raw_fd_ostream(entry[0], ec) << text;
      auto module = compile();
      ASSERT_TRUE(module) << error;
      run(*module);
      EXPECT_TRUE(compile()->isFromCache()) << "the entry was written anew";
    }
}

TEST_F(CompiledModuleTest, TheCacheIsPruned) {
  ASSERT_TRUE(compile()) << error;
  EXPECT_EQ(files(".o").size(), 1u);
  // Room for less than one entry, and look every time.
  options.cachePolicy = "cache_size_bytes=1k:prune_interval=0s";
  options.parallel = false;
  auto module = compile();
  ASSERT_TRUE(module) << error;
  run(*module);
  EXPECT_EQ(files(".o").size(), 0u);
  options.cachePolicy = "cache_size_bytes=much";
  EXPECT_FALSE(compile());
  EXPECT_NE(error.find("cache_size_bytes=1g"), std::string::npos) << error;
}

TEST_F(CompiledModuleTest, UnwritableCacheIsNoError) {
  options.cacheDir = "/proc/cq";
  auto module = compile();
  ASSERT_TRUE(module) << error;
  run(*module);
}

TEST_F(CompiledModuleTest, InvalidSourceIsAnError) {
  EXPECT_FALSE(compile("func.func @f("));
  EXPECT_NE(error.find("not a valid MLIR module"), std::string::npos);
  auto module = compile();
  ASSERT_TRUE(module);
  auto missing = module->lookup("absent");
  ASSERT_FALSE(static_cast<bool>(missing));
  EXPECT_EQ(llvm::toString(missing.takeError()),
            "the module has no function 'absent'");
}

/// An archive in memory.
class Archive : public ParameterArchive {
public:
  llvm::StringRef path() const override { return "memory"; }
  llvm::ArrayRef<ParameterInfo> parameters() const override { return list; }
  const ParameterInfo *find(llvm::StringRef name) const override {
    for (const ParameterInfo &info : list)
      if (info.name == name)
        return &info;
    return nullptr;
  }
  std::vector<ParameterInfo> list;
};

TEST(ParameterTable, MapsDecodesAndRefuses) {
  alignas(64) float values[4] = {1, 2, 3, 4};
  uint16_t halves[4] = {0x3c00, 0x4000, 0x4200, 0x4400};
  auto bytes = [](const void *data, size_t size) {
    return llvm::ArrayRef<uint8_t>(static_cast<const uint8_t *>(data), size);
  };
  ModuleInterface interface;
  ParameterSlot slot;
  slot.name = "w";
  slot.type.isTensor = true;
  slot.type.elementType = "f32";
  slot.type.shape = {2, 2};
  interface.parameters.push_back(slot);
  Archive archive;
  auto bind = [&](DType type, llvm::SmallVector<int64_t, 4> shape,
                  llvm::ArrayRef<uint8_t> data) {
    archive.list.clear();
    ParameterInfo info;
    info.name = "w";
    info.type = type;
    info.shape = shape;
    info.bytes = data;
    archive.list.push_back(info);
    return ParameterTable::bind(interface, archive, 1);
  };
  auto mapped = bind(DType::F32, {2, 2}, bytes(values, 16));
  ASSERT_TRUE(static_cast<bool>(mapped));
  EXPECT_EQ(mapped->data()[0], static_cast<void *>(values));
  EXPECT_EQ(mapped->getDecodedBytes(), 0);

  auto decoded = bind(DType::F16, {2, 2}, bytes(halves, 8));
  ASSERT_TRUE(static_cast<bool>(decoded))
      << llvm::toString(decoded.takeError());
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(static_cast<float *>(decoded->data()[0])[i], values[i]);

  // One byte off: floats are copied to an aligned place.
  std::vector<uint8_t> odd(17);
  memcpy(odd.data() + 1, values, 16);
  auto moved = bind(DType::F32, {2, 2}, bytes(odd.data() + 1, 16));
  ASSERT_TRUE(static_cast<bool>(moved)) << llvm::toString(moved.takeError());
  EXPECT_EQ(static_cast<float *>(moved->data()[0])[3], 4);

  auto reshaped = bind(DType::F32, {4}, bytes(values, 16));
  EXPECT_EQ(llvm::toString(reshaped.takeError()),
            "parameter 'w' of 'memory' has shape [4], the module needs [2, 2]");
  interface.parameters[0].type.elementType = "i8";
  auto retyped = bind(DType::F32, {2, 2}, bytes(values, 16));
  EXPECT_FALSE(static_cast<bool>(retyped));
  llvm::consumeError(retyped.takeError());
  interface.parameters[0].name = "v";
  auto missing = bind(DType::F32, {2, 2}, bytes(values, 16));
  EXPECT_NE(llvm::toString(missing.takeError()).find("is missing"),
            std::string::npos);
}
} // namespace
