//===- IRPA.h - IREE parameter archives -------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// IREE's own archives, version 0.0, little-endian. A header of 88 bytes names
// three segments: a table of entries, names and metadata, storage.
//
//   header   "IRPA", u16 major, u16 minor, u64 header size, u64 next header,
//            u64 flags, u64 entries, then u64 offset and length of each segment
//   entry    u64 size, u32 kind (0 none, 1 splat, 2 data, 3 another file),
//            u64 flags, name, metadata (u64 offset and length in their
//            segment), u64 alignment; of data: u64 offset and length in the
//            storage. Entries begin at multiples of 16.
//
// The format knows neither types nor shapes. Our writer puts them into an
// entry's metadata, as {"dtype":"F16","shape":[2,3]}; bytes of others are U8
// until a module declares what they are.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_IRPA_H
#define CQ_MODEL_IRPA_H

#include "cq/Model/MappedArchive.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::cq {

/// Entries of data. Splats, other files and chains of headers are refused:
/// their bytes are not here.
class IRPAFile : public MappedArchive {
public:
  static llvm::Expected<std::unique_ptr<IRPAFile>> open(llvm::StringRef path);
  void declare(llvm::StringRef name, DType type,
               llvm::ArrayRef<int64_t> shape) override;

private:
  using MappedArchive::MappedArchive;
  llvm::Error parse();
  llvm::Error addData(llvm::StringRef name, llvm::StringRef facts,
                      llvm::StringRef storage, uint64_t offset,
                      uint64_t length);

  llvm::StringSet<> untyped;
};

/// Writes one: temporary name, flush, rename. Every tensor begins at a multiple
/// of 64 of the file. The size is known before the first byte.
llvm::Expected<std::unique_ptr<ParameterWriter>>
createIRPAWriter(llvm::StringRef path,
                 llvm::ArrayRef<ParameterWriter::Entry> entries);

} // namespace mlir::cq

#endif // CQ_MODEL_IRPA_H
