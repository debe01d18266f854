//===- TileRegisters.h - Leave to use the registers of AMX ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 8 KB more of registers a thread are more than old signal stacks have room
// for, so a process has to ask before it touches them. For the runtime as well,
// which links no LLVM.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_TILEREGISTERS_H
#define CQ_SUPPORT_TILEREGISTERS_H

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mlir::cq {

/// Whether this process, all threads of it, may use AMX's tile registers from
/// now on. False where the CPU has none.
inline bool requestTileRegisters() {
#if defined(__linux__) && defined(__x86_64__)
  // ARCH_REQ_XCOMP_PERM of Linux 5.16, for XFEATURE_XTILEDATA.
  constexpr long request = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, request, tileData) == 0;
#else
  return false;
#endif
}

} // namespace mlir::cq

#endif // CQ_SUPPORT_TILEREGISTERS_H
