//===- ISA.h - The x86 vector levels kernels are written for ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A level is data: register width, how bytes are multiplied, and what an
// unsigned operand may hold. Kernel generators ask it and have no branch on its
// name.
//
//   avx2         256 bit  vpmaddubsw + vpmaddwd   unsigned operand ≤ 129
//   avx512       512 bit  vpmaddubsw + vpmaddwd   unsigned operand ≤ 129
//   avxvnni      256 bit  vpdpbusd                any byte
//   avx512vnni   512 bit  vpdpbusd                any byte
//   avx512amx    the same, and tdpbsud on tiles of 16 rows for 16 tokens at
//   once
//
// "emulated-<level>" is the same kernel with each intrinsic spelled out in
// plain vector arithmetic: it runs on any machine, so that the structure of
// every level is tested everywhere. "generic" is short for emulated-avx512vnni.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOX86_ISA_H
#define CQ_CONVERSION_CQTOX86_ISA_H

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace mlir::cq::x86 {

/// In ascending order: what a CPU has several of, the last is for.
enum class ISALevel : uint8_t { AVX2, AVXVNNI, AVX512, AVX512VNNI, AVX512AMX };
inline constexpr ISALevel kISALevels[] = {
    ISALevel::AVX2, ISALevel::AVXVNNI, ISALevel::AVX512, ISALevel::AVX512VNNI,
    ISALevel::AVX512AMX};

struct ISA {
  ISALevel level = ISALevel::AVX2;
  bool emulated = false;

  /// Bytes of a vector register.
  unsigned vectorBytes() const {
    return level == ISALevel::AVX2 || level == ISALevel::AVXVNNI ? 32 : 64;
  }
  /// Weight rows a register of 4-byte quads covers.
  unsigned lanes() const { return vectorBytes() / 4; }
  unsigned numRegisters() const { return vectorBytes() == 32 ? 16 : 32; }
  /// u8 × s8 products are summed by fours straight into 32 bits.
  bool hasDotProduct() const {
    return level != ISALevel::AVX2 && level != ISALevel::AVX512;
  }
  /// There are tile registers, and a multiplier for them (AMX-INT8).
  bool hasTiles() const { return level == ISALevel::AVX512AMX; }
  /// There is a byte-wise "negate where the other is negative" (vpsignb), with
  /// which s8 × s8 becomes |w| × (±x). AVX-512 has dropped it.
  bool hasSignedBytes() const { return level == ISALevel::AVX2; }
  /// The largest unsigned operand for which no intermediate sum saturates: two
  /// products with |activation| ≤ 127 have to fit an int16 without VNNI.
  unsigned maxOperand() const { return hasDotProduct() ? 255 : 129; }

  /// "avx2", "emulated-avx512vnni", …
  std::string str() const;
  static std::optional<ISA> parse(llvm::StringRef text);

  /// The best level of a machine with these LLVM features ("avx2", "avx512bw",
  /// …); emulated AVX2 where there is not even AVX2, FMA and F16C.
  static ISA fromFeatures(const llvm::StringMap<bool> &features);
  static ISA host();
  /// Whether code for this level runs on the machine at hand.
  bool runsOnHost() const;
  /// Comma-separated `+feature` list that code for this level needs.
  llvm::StringRef targetFeatures() const;

  bool operator==(const ISA &o) const {
    return level == o.level && emulated == o.emulated;
  }
};

} // namespace mlir::cq::x86

#endif // CQ_CONVERSION_CQTOX86_ISA_H
