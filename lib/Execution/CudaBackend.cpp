//===- CudaBackend.cpp - An NVIDIA GPU as a device ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceBackend.h"
#include "cq/Runtime/Cuda.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir::cq;

namespace {

llvm::Error lastError() { return llvm::createStringError(cq_cuda_error()); }

class CudaBackend : public DeviceBackend {
public:
  ~CudaBackend() override {
    if (graph)
      cq_cuda_destroy_graph(device, graph);
    for (uint64_t one : memory)
      cq_cuda_free(device, one);
    if (stream)
      cq_cuda_destroy_stream(device, stream);
    if (device)
      cq_cuda_close(device);
  }

  llvm::Error
  open(llvm::function_ref<llvm::Expected<std::string>(unsigned)> image) {
    device = cq_cuda_open(0);
    if (!device)
      return lastError();
    auto code = image(static_cast<unsigned>(cq_cuda_architecture(device)));
    if (!code)
      return code.takeError();
    // PTX ends with a zero byte, which std::string has.
    module = cq_cuda_load(device, code->c_str(), code->size() + 1);
    stream = module ? cq_cuda_create_stream(device) : nullptr;
    return stream ? llvm::Error::success() : lastError();
  }

  std::string name() const override { return cq_cuda_name(device); }

  llvm::Expected<uint64_t> allocate(int64_t bytes) override {
    size_t size = bytes > 0 ? static_cast<size_t>(bytes) : 1;
    cq_cuda_pointer one = cq_cuda_allocate(device, size);
    if (!one)
      return lastError();
    memory.push_back(one);
    if (cq_cuda_fill(device, one, 0, size, stream))
      return lastError();
    return one;
  }
  llvm::Error upload(uint64_t to, const void *from, int64_t bytes) override {
    // Host memory may change as soon as this returns.
    if (cq_cuda_upload(device, to, from, static_cast<size_t>(bytes), stream) ||
        cq_cuda_synchronize(device, stream))
      return lastError();
    return llvm::Error::success();
  }
  llvm::Error download(void *to, uint64_t from, int64_t bytes) override {
    if (cq_cuda_download(device, to, from, static_cast<size_t>(bytes),
                         stream) ||
        cq_cuda_synchronize(device, stream))
      return lastError();
    return llvm::Error::success();
  }

  llvm::Error launch(const DeviceLaunch &launch,
                     llvm::ArrayRef<Argument> arguments) override {
    cq_cuda_function &function = functions[launch.kernel];
    if (!function)
      function = cq_cuda_get(device, module, launch.kernel.c_str(),
                             static_cast<int>(launch.sharedBytes));
    if (!function)
      return lastError();
    // Integers lie in the first four bytes: little-endian.
    llvm::SmallVector<uint64_t> values;
    for (const Argument &argument : arguments)
      values.push_back(argument.value);
    llvm::SmallVector<void *> pointers;
    for (uint64_t &value : values)
      pointers.push_back(&value);
    if (cq_cuda_launch(device, function, launch.grid.data(),
                       launch.block.data(), launch.sharedBytes, stream,
                       pointers.data()))
      return lastError();
    return llvm::Error::success();
  }

  llvm::Expected<bool>
  record(llvm::function_ref<llvm::Error()> launches) override {
    if (cq_cuda_begin_capture(device, stream))
      return lastError();
    llvm::Error error = launches();
    graph = cq_cuda_end_capture(device, stream);
    if (error)
      return std::move(error);
    if (!graph)
      return lastError();
    return true;
  }
  llvm::Error play() override {
    if (cq_cuda_launch_graph(device, graph, stream))
      return lastError();
    return llvm::Error::success();
  }

private:
  cq_cuda *device = nullptr;
  cq_cuda_module *module = nullptr;
  cq_cuda_stream stream = nullptr;
  cq_cuda_graph graph = nullptr;
  std::vector<uint64_t> memory;
  llvm::StringMap<cq_cuda_function> functions;
};

} // namespace

llvm::Expected<std::unique_ptr<DeviceBackend>> mlir::cq::createCudaBackend(
    llvm::function_ref<llvm::Expected<std::string>(unsigned)> image) {
  auto backend = std::make_unique<CudaBackend>();
  if (llvm::Error error = backend->open(image))
    return std::move(error);
  return std::move(backend);
}
