//===- CudaTest.cpp - The CUDA runtime against a fake driver --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Cuda.h"
#include "gtest/gtest.h"
#include <cstdlib>
#include <dlfcn.h>
#include <string>
#include <vector>

namespace {

void *fake() {
  static void *library = dlopen(CQ_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
  return library;
}
std::string calls() {
  auto get =
      reinterpret_cast<const char *(*)()>(dlsym(fake(), "fake_cuda_calls"));
  auto reset = reinterpret_cast<void (*)()>(dlsym(fake(), "fake_cuda_reset"));
  std::string result = get();
  reset();
  return result;
}
void failIn(const char *name) {
  reinterpret_cast<void (*)(const char *)>(dlsym(fake(), "fake_cuda_fail"))(
      name);
}

// The driver is opened once a process, so a missing one needs a child.
TEST(Cuda, AbsentDriverIsOneSentence) {
  EXPECT_EXIT(
      {
        setenv("CQ_CUDA_DRIVER", "/nonexistent/libcuda.so.1", 1);
        bool none = cq_cuda_devices() == -1 && !cq_cuda_open(0);
        std::fprintf(stderr, "%s\n", cq_cuda_error());
        std::exit(none ? 3 : 0);
      },
      testing::ExitedWithCode(3),
      "^no NVIDIA driver: '/nonexistent/libcuda.so.1' cannot be opened; "
      "install the driver, or compile for the CPU\n$");
}

TEST(Cuda, OldDriverNamesWhatItLacks) {
  EXPECT_EXIT(
      {
        setenv("CQ_CUDA_DRIVER", CQ_RUNTIME_CUDA,
               1); // a library without cuInit
        int devices = cq_cuda_devices();
        std::fprintf(stderr, "%s\n", cq_cuda_error());
        std::exit(devices == -1 ? 3 : 0);
      },
      testing::ExitedWithCode(3), "has no cuInit: it is too old");
}

class CudaDevice : public testing::Test {
protected:
  void SetUp() override {
    setenv("CQ_CUDA_DRIVER", CQ_FAKE_CUDA, 1);
    ASSERT_TRUE(fake()) << dlerror();
    device = cq_cuda_open(0);
    ASSERT_TRUE(device) << cq_cuda_error();
    opening = calls();
  }
  void TearDown() override { cq_cuda_close(device); }
  cq_cuda *device = nullptr;
  std::string opening;
};

TEST_F(CudaDevice, Opens) {
  EXPECT_NE(opening.find("cuDeviceGetCount\ncuDeviceGet\ncuDeviceGetName\n"
                         "cuDeviceGetAttribute 75\ncuDeviceGetAttribute 76\n"
                         "cuDevicePrimaryCtxRetain\n"),
            std::string::npos)
      << opening;
  EXPECT_STREQ(cq_cuda_name(device), "Fake GPU");
  EXPECT_EQ(cq_cuda_architecture(device), 90);
  EXPECT_EQ(cq_cuda_devices(), 1);
  int value = 0;
  EXPECT_EQ(cq_cuda_attribute(device, 16, &value), 0);
  EXPECT_EQ(value, 16);
  EXPECT_EQ(cq_cuda_driver_version(&value), 0);
  EXPECT_EQ(value, 12040);
  EXPECT_FALSE(cq_cuda_open(1));
  EXPECT_STREQ(cq_cuda_error(), "there is no CUDA device 1: the driver has 1");
}

TEST_F(CudaDevice, AbsentAndForeignCublasAreSentences) {
  setenv("CQ_CUBLAS", "/nonexistent/libcublas.so", 1);
  // Another one may be installed, and then it would start or not.
  if (!dlopen("libcublas.so.12", RTLD_NOW) &&
      !dlopen("libcublas.so", RTLD_NOW)) {
    EXPECT_FALSE(cq_cublas_open(device, nullptr));
    EXPECT_STREQ(cq_cuda_error(),
                 "libcublas cannot be opened (CQ_CUBLAS names it)");
  }
  setenv("CQ_CUBLAS", CQ_FAKE_CUDA, 1);
  EXPECT_FALSE(cq_cublas_open(device, nullptr));
  EXPECT_STREQ(cq_cuda_error(), "libcublas lacks a function");
  unsetenv("CQ_CUBLAS");
}

TEST_F(CudaDevice, ModulesAreCachedByContent) {
  char one[] = "image one", same[] = "image one", other[] = "image two";
  cq_cuda_module *module = cq_cuda_load(device, one, sizeof(one));
  ASSERT_TRUE(module);
  EXPECT_EQ(cq_cuda_load(device, same, sizeof(same)), module);
  EXPECT_NE(cq_cuda_load(device, other, sizeof(other)), module);
  EXPECT_EQ(calls(),
            "cuModuleLoadData image one\ncuModuleLoadData image two\n");
  EXPECT_FALSE(cq_cuda_load(device, one, 0));
  EXPECT_STREQ(cq_cuda_error(), "an empty image cannot be loaded");

  cq_cuda_function small = cq_cuda_get(device, module, "small", 1024);
  cq_cuda_function large = cq_cuda_get(device, module, "large", 100000);
  ASSERT_TRUE(small && large);
  EXPECT_EQ(calls(), "cuModuleGetFunction small\ncuModuleGetFunction large\n"
                     "cuFuncSetAttribute 8 100000\n");
  int registers = 0;
  EXPECT_EQ(cq_cuda_function_attribute(device, small, 4, &registers), 0);
  EXPECT_EQ(registers, 128);
  int parameter = 77;
  void *parameters[] = {&parameter};
  unsigned grid[] = {1, 2, 3}, block[] = {4, 5, 6};
  EXPECT_EQ(
      cq_cuda_launch(device, small, grid, block, 1024, nullptr, parameters), 0);
  EXPECT_EQ(calls(),
            "cuFuncGetAttribute 4\ncuLaunchKernel 1 2 3 4 5 6 1024 77\n");
  failIn("cuModuleGetFunction");
  EXPECT_FALSE(cq_cuda_get(device, module, "missing", 0));
  EXPECT_STREQ(
      cq_cuda_error(),
      "the CUDA driver's cuModuleGetFunction failed: an illegal memory "
      "access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS), for "
      "kernel 'missing'");
}

TEST_F(CudaDevice, Memory) {
  cq_cuda_pointer a = cq_cuda_allocate(device, 16),
                  b = cq_cuda_allocate(device, 16);
  ASSERT_TRUE(a && b);
  std::vector<int> in = {1, 2, 3, 4}, out(4);
  EXPECT_EQ(cq_cuda_upload(device, a, in.data(), 16, nullptr), 0);
  EXPECT_EQ(cq_cuda_fill(device, b, 0xff, 16, nullptr), 0);
  EXPECT_EQ(cq_cuda_copy(device, b, a, 8, nullptr), 0);
  EXPECT_EQ(cq_cuda_download(device, out.data(), b, 16, nullptr), 0);
  EXPECT_EQ(out, (std::vector<int>{1, 2, -1, -1}));
  EXPECT_EQ(cq_cuda_free(device, a), 0);
  EXPECT_EQ(cq_cuda_free(device, b), 0);
  EXPECT_EQ(cq_cuda_free(device, 0), 0);
  EXPECT_EQ(calls(), "cuMemAlloc_v2 16\ncuMemAlloc_v2 16\n"
                     "cuMemcpyHtoDAsync_v2 16\ncuMemsetD8Async 255 16\n"
                     "cuMemcpyDtoDAsync_v2 8\ncuMemcpyDtoHAsync_v2 16\n"
                     "cuMemFree_v2\ncuMemFree_v2\n");
  failIn("cuMemAlloc_v2");
  EXPECT_EQ(cq_cuda_allocate(device, 123), 0u);
  EXPECT_NE(std::string(cq_cuda_error()).find("for 123 bytes"),
            std::string::npos);
}

TEST_F(CudaDevice, StreamsEventsAndGraphs) {
  cq_cuda_stream stream = cq_cuda_create_stream(device);
  cq_cuda_event start = cq_cuda_create_event(device),
                end = cq_cuda_create_event(device);
  EXPECT_EQ(cq_cuda_record(device, start, stream), 0);
  EXPECT_EQ(cq_cuda_record(device, end, stream), 0);
  float milliseconds = 0;
  EXPECT_EQ(cq_cuda_elapsed(device, start, end, &milliseconds), 0);
  EXPECT_EQ(milliseconds, 1.5f);
  EXPECT_EQ(calls(), "cuStreamCreate 1\ncuEventCreate\ncuEventCreate\n"
                     "cuEventRecord\ncuEventRecord\ncuEventSynchronize\n"
                     "cuEventElapsedTime\n");
  char image[] = "image";
  cq_cuda_function kernel =
      cq_cuda_get(device, cq_cuda_load(device, image, 6), "k", 0);
  int parameter = 5;
  void *parameters[] = {&parameter};
  unsigned ones[] = {1, 1, 1};
  calls();
  EXPECT_EQ(cq_cuda_begin_capture(device, stream), 0);
  EXPECT_EQ(cq_cuda_launch(device, kernel, ones, ones, 0, stream, parameters),
            0);
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  ASSERT_TRUE(graph);
  EXPECT_EQ(cq_cuda_launch_graph(device, graph, stream), 0);
  EXPECT_EQ(cq_cuda_launch_graph(device, graph, stream), 0);
  EXPECT_EQ(cq_cuda_synchronize(device, stream), 0);
  EXPECT_EQ(cq_cuda_destroy_graph(device, graph), 0);
  EXPECT_EQ(cq_cuda_destroy_event(device, start), 0);
  EXPECT_EQ(cq_cuda_destroy_event(device, end), 0);
  EXPECT_EQ(cq_cuda_destroy_stream(device, stream), 0);
  EXPECT_EQ(calls(),
            "cuStreamBeginCapture_v2 1\ncuLaunchKernel 1 1 1 1 1 1 0 5\n"
            "cuStreamEndCapture 1\ncuGraphInstantiateWithFlags 0\n"
            "cuGraphDestroy\ncuGraphLaunch\ncuGraphLaunch\n"
            "cuStreamSynchronize\ncuGraphExecDestroy\ncuEventDestroy_v2\n"
            "cuEventDestroy_v2\ncuStreamDestroy_v2\n");
}

/// A failure of any function of the driver is an error with its name.
TEST_F(CudaDevice, FailuresAreReported) {
  char image[] = "failures";
  cq_cuda_module *module = cq_cuda_load(device, image, sizeof(image));
  int value = 0;
  float time = 0;
  void *parameters[] = {&value};
  unsigned ones[] = {1, 1, 1};
  char host[4];
  cq_cuda_pointer memory = cq_cuda_allocate(device, 4);
  auto expectFailure = [&](const char *name, bool failed) {
    EXPECT_TRUE(failed) << name;
    EXPECT_EQ(
        std::string(cq_cuda_error())
            .rfind(std::string("the CUDA driver's ") + name + " failed: ", 0),
        0u)
        << cq_cuda_error();
    calls();
  };
#define EXPECT_FAILURE(name, call)                                             \
  failIn(#name);                                                               \
  expectFailure(#name, call)
  EXPECT_FAILURE(cuDeviceGetCount, cq_cuda_devices() == -1);
  EXPECT_FAILURE(cuDriverGetVersion, cq_cuda_driver_version(&value) != 0);
  for (const char *name :
       {"cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"}) {
    failIn(name);
    expectFailure(name, !cq_cuda_open(0));
  }
  EXPECT_FAILURE(cuModuleLoadData, !cq_cuda_load(device, "other", 6));
  EXPECT_FAILURE(cuFuncSetAttribute, !cq_cuda_get(device, module, "k", 99999));
  EXPECT_FAILURE(cuFuncGetAttribute,
                 cq_cuda_function_attribute(device, module, 4, &value) != 0);
  EXPECT_FAILURE(cuLaunchKernel, cq_cuda_launch(device, module, ones, ones, 0,
                                                nullptr, parameters) != 0);
  EXPECT_FAILURE(cuMemcpyHtoDAsync_v2,
                 cq_cuda_upload(device, memory, host, 4, nullptr) != 0);
  EXPECT_FAILURE(cuMemcpyDtoHAsync_v2,
                 cq_cuda_download(device, host, memory, 4, nullptr) != 0);
  EXPECT_FAILURE(cuMemsetD8Async,
                 cq_cuda_fill(device, memory, 0, 4, nullptr) != 0);
  EXPECT_FAILURE(cuStreamCreate, !cq_cuda_create_stream(device));
  EXPECT_FAILURE(cuStreamDestroy_v2, cq_cuda_destroy_stream(device, nullptr));
  EXPECT_FAILURE(cuStreamSynchronize, cq_cuda_synchronize(device, nullptr));
  EXPECT_FAILURE(cuEventCreate, !cq_cuda_create_event(device));
  EXPECT_FAILURE(cuEventDestroy_v2, cq_cuda_destroy_event(device, nullptr));
  EXPECT_FAILURE(cuEventRecord, cq_cuda_record(device, nullptr, nullptr));
  EXPECT_FAILURE(cuEventSynchronize,
                 cq_cuda_elapsed(device, nullptr, nullptr, &time));
  EXPECT_FAILURE(cuEventElapsedTime,
                 cq_cuda_elapsed(device, nullptr, nullptr, &time));
  EXPECT_FAILURE(cuStreamBeginCapture_v2,
                 cq_cuda_begin_capture(device, nullptr));
  EXPECT_FAILURE(cuStreamEndCapture, !cq_cuda_end_capture(device, nullptr));
  EXPECT_FAILURE(cuGraphInstantiateWithFlags,
                 !cq_cuda_end_capture(device, nullptr));
  EXPECT_FAILURE(cuGraphLaunch, cq_cuda_launch_graph(device, nullptr, nullptr));
  EXPECT_FAILURE(cuGraphExecDestroy, cq_cuda_destroy_graph(device, nullptr));
  EXPECT_FAILURE(cuMemFree_v2, cq_cuda_free(device, memory));
}

} // namespace
