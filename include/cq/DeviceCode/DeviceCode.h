//===- DeviceCode.h - NVIDIA kernels as PTX, cubin and fatbin ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From kernels in a gpu.module to what a driver loads. PTX is made by LLVM
// alone; cubins and fatbins need `ptxas` and `fatbinary` of a CUDA toolkit (12
// or 13), looked for in $CQ_CUDA_BIN, then PATH, then /usr/local/cuda/bin. No
// GPU and no driver are needed.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DEVICECODE_DEVICECODE_H
#define CQ_DEVICECODE_DEVICECODE_H

#include "cq/Conversion/CQToNVGPU/Kernels.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace mlir {
class DialectRegistry;
}

namespace mlir::cq {

/// "sm_80", "sm_90a": what PTX is made for. Errors name what is wrong.
llvm::Expected<unsigned> parseChip(llvm::StringRef chip); ///< 80, 90

/// What `ptxas -v` says of a kernel.
struct KernelUsage {
  std::string kernel;
  unsigned registers = 0;
  unsigned stackBytes = 0, spillStoreBytes = 0, spillLoadBytes = 0;
  unsigned staticSharedBytes = 0;
  /// ptxas could not let products of warpgroups (wgmma) overlap.
  bool serializedProducts = false;
};

/// Dialects and translations that the functions below need.
void registerDeviceDialects(DialectRegistry &registry);

/// A module with one gpu.module `cq_kernels` of these kernels.
llvm::Expected<OwningOpRef<ModuleOp>>
buildKernels(MLIRContext *context, llvm::ArrayRef<nv::MatmulSpec> specs);

/// PTX of all kernels of a module; the module is lowered in place.
llvm::Expected<std::string> emitPTX(ModuleOp module, llvm::StringRef chip);

/// The cubin of a PTX text; `usage`, if given, gets an entry for each kernel.
llvm::Expected<std::string> assemblePTX(llvm::StringRef ptx,
                                        llvm::StringRef chip,
                                        std::vector<KernelUsage> *usage);

/// One image of a fatbin.
struct DeviceImage {
  std::string chip; ///< "sm_80"
  bool isPTX = false;
  std::string bytes;
};
llvm::Expected<std::string> linkFatbin(llvm::ArrayRef<DeviceImage> images);

/// Path of a program of the CUDA toolkit, or an error that says how to get it.
llvm::Expected<std::string> findCUDAProgram(llvm::StringRef name);

/// JSON: for each kernel of a module its name, arguments, grid, block, shared
/// memory and tokens of a CTA; with usage, registers and spills.
std::string describeKernels(ModuleOp module, llvm::StringRef chip,
                            llvm::ArrayRef<KernelUsage> usage = {});

} // namespace mlir::cq

#endif // CQ_DEVICECODE_DEVICECODE_H
