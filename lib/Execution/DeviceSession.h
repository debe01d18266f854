//===- DeviceSession.h - A text in a model on a device ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_DEVICESESSION_H
#define CQ_LIB_EXECUTION_DEVICESESSION_H

#include "DeviceBackend.h"
#include "cq/Execution/ParameterTable.h"
#include "cq/Runtime/Session.h"
#include <map>

namespace mlir::cq {

/// What Session is on the CPU: weights, caches, hidden states and logits stay
/// on the device; tokens go there, what is asked for comes back.
class DeviceSession {
public:
  /// `program` has forward_N, logits_N for each N of `chunks` (ascending),
  /// next_token and advance_position (see DeviceModel.cpp). Uploads what the
  /// functions need of the parameters in `table`; `plane` gives the planes of
  /// the program's weights, valid until it is asked again.
  static llvm::Expected<std::unique_ptr<DeviceSession>>
  create(std::unique_ptr<DeviceBackend> backend, DeviceProgram program,
         const ModuleInterface &interface, const SessionShape &shape,
         std::vector<int64_t> chunks, void *const *table,
         llvm::function_ref<llvm::Expected<llvm::ArrayRef<uint8_t>>(
             const DeviceWeight &weight, llvm::StringRef plane)>
             plane);

  const SessionShape &shape() const { return sizes; }
  int64_t position() const { return taken; }
  void reset() { taken = 0, ready = false; }
  std::string name() const { return backend->name(); }

  /// As those of Session.
  std::string refuse(const int32_t *tokens, int64_t count) const;
  llvm::Error forward(const int32_t *tokens, int64_t count, float *hidden);
  llvm::Error logits(const float *hidden, int64_t rows, float *out);
  /// Takes one token and gives the likeliest next one (the first of equal
  /// ones); a graph from the second step on, where the device has graphs.
  llvm::Expected<int32_t> step(int32_t token);

  /// Writes what step() does as text, one buffer or launch a line, and what the
  /// buffers hold now to `data`; cq-device-run.cpp reads it.
  llvm::Error writeStep(llvm::raw_ostream &text, llvm::raw_ostream &data);
  /// Logits that the last step made [vocabulary].
  llvm::Error readLogits(float *out);

private:
  using Arguments = std::vector<DeviceBackend::Argument>;
  struct Bound {
    const DeviceFunction *function = nullptr;
    std::vector<Arguments> launches;
  };
  llvm::Error bind(const DeviceFunction &function,
                   llvm::ArrayRef<uint64_t> arguments,
                   llvm::ArrayRef<uint64_t> weights, Bound &bound);
  llvm::Error run(const std::string &function);
  llvm::Expected<uint64_t> allocate(int64_t bytes);
  int64_t chooseChunk(int64_t remaining, int64_t room) const;

  std::unique_ptr<DeviceBackend> backend;
  DeviceProgram program;
  SessionShape sizes;
  std::vector<int64_t> chunks;
  std::map<std::string, Bound> bound;
  std::map<uint64_t, int64_t> memory; ///< bytes of every buffer
  std::vector<uint64_t> parameters;   ///< 0: not uploaded, no launch needs it
  uint64_t tokens = 0, where = 0, keys = 0, values = 0, hiddens = 0,
           logitRows = 0, workspace = 0;
  int64_t taken = 0;
  bool ready = false;    ///< the device knows position and last token
  bool recorded = false; ///< a step
  int32_t last = -1;     ///< token that the device made
};

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_DEVICESESSION_H
