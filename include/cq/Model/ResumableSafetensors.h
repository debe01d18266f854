//===- ResumableSafetensors.h - Archives that survive kill ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Hours of quantization should not be lost with the process. Bytes go to
// PATH.partial, and PATH.journal gets a line with the CRC-32 of every finished
// tensor. Where both exist, were made by the same request and by no process
// that still runs, the next writer continues behind the tensors whose bytes are
// as the journal says.
//

#ifndef CQ_MODEL_RESUMABLESAFETENSORS_H
#define CQ_MODEL_RESUMABLESAFETENSORS_H

#include "cq/Model/Parameters.h"

namespace mlir::cq {

class ResumableSafetensorsWriter : public SafetensorsWriter {
public:
  /// As SafetensorsWriter::create. `fingerprint` is of everything that the
  /// bytes depend on. Errors beyond its own: another process is writing `path`.
  /// A writer destroyed before `commit` removes both files: only a process that
  /// was killed leaves them.
  static llvm::Expected<std::unique_ptr<ResumableSafetensorsWriter>>
  create(llvm::StringRef path, llvm::ArrayRef<Entry> entries,
         llvm::ArrayRef<std::pair<std::string, std::string>> metadata,
         llvm::StringRef fingerprint);

  /// Entries that need not be appended again, from the first.
  virtual size_t completed() const = 0;
  /// Before the first `append`: go on with entry `entry` <= completed().
  virtual llvm::Error skipTo(size_t entry) = 0;
};

} // namespace mlir::cq

#endif // CQ_MODEL_RESUMABLESAFETENSORS_H
