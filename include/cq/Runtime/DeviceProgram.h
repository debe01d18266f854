//===- DeviceProgram.h - Launches as data -----------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// What a function of a model is for a device: buffers and a list of launches,
// the same for every call. A program holds no code; kernels are named. No LLVM:
// a runner that links the driver alone reads it from text.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_DEVICEPROGRAM_H
#define CQ_RUNTIME_DEVICEPROGRAM_H

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mlir::cq {

struct DeviceBuffer {
  enum Kind : uint8_t {
    Argument,  ///< argument `index` of the function; results follow arguments
    Parameter, ///< entry `index` of the module's parameters
    Relaid,    ///< plane of weight `index` of the program
    Constant,  ///< `data`
    Temporary, ///< at `index` bytes of the workspace
  };
  Kind kind = Temporary;
  int64_t index = 0;
  int64_t bytes = 0;
  std::string plane; ///< Relaid: codes, scales, zeros
  std::vector<uint8_t> data;
};

struct DeviceArgument {
  int64_t buffer = -1; ///< −1: an integer of 32 bits
  int64_t value = 0;   ///< the integer, or bytes from the buffer's start
};

struct DeviceLaunch {
  std::string kernel;
  std::array<unsigned, 3> grid{1, 1, 1}, block{1, 1, 1};
  unsigned sharedBytes = 0;
  std::vector<DeviceArgument> arguments;
};

struct DeviceFunction {
  std::string name;
  std::vector<DeviceBuffer> buffers;
  std::vector<DeviceLaunch> launches;
  int64_t workspaceBytes = 0;
};

/// A packed weight that the device wants in another layout: what was stored
/// (entries of the module's parameters; zeros −1: none), and how. `scheme`,
/// `from`, `to` are the text of the dialect's attributes.
struct DeviceWeight {
  int64_t n = 0, k = 0, codes = -1, scales = -1, zeros = -1;
  std::string scheme, from, to;
};

struct DeviceProgram {
  std::vector<DeviceFunction> functions;
  std::vector<DeviceWeight> weights;

  const DeviceFunction *find(const std::string &name) const {
    for (const DeviceFunction &function : functions)
      if (function.name == name)
        return &function;
    return nullptr;
  }
};

} // namespace mlir::cq

#endif // CQ_RUNTIME_DEVICEPROGRAM_H
