//===- BuildDeviceProgram.h - From launches in MLIR to a program -*- C++
//-*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_BUILDDEVICEPROGRAM_H
#define CQ_LIB_EXECUTION_BUILDDEVICEPROGRAM_H

#include "cq/Execution/ModuleInterface.h"
#include "cq/Runtime/DeviceProgram.h"

namespace mlir::cq {

/// The program of a module after cq-lower-to-gpu; `interface` is that of the
/// module before. Temporary buffers share memory where their lives allow it.
llvm::Expected<DeviceProgram>
buildDeviceProgram(ModuleOp module, const ModuleInterface &interface);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_BUILDDEVICEPROGRAM_H
