//===- TargetCPU.h - What code for a CPU may use ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_TARGETCPU_H
#define CQ_SUPPORT_TARGETCPU_H

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace mlir::cq {

/// The features of a CPU by LLVM's name; of this machine for "host" or nothing,
/// as far as this process may use them (AMX's are asked for here, and absent
/// where the system refuses). nullopt for a name that LLVM does not know.
std::optional<llvm::StringMap<bool>> featuresOf(llvm::StringRef cpu);

/// This machine's as LLVM's "+avx2,-avx512f,…", sorted. Its name alone promises
/// what a virtual machine may have masked.
std::string hostFeatureString();

} // namespace mlir::cq

#endif // CQ_SUPPORT_TARGETCPU_H
