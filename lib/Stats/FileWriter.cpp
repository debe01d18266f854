//===- FileWriter.cpp - Tensors of a statistics file, one by one ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileWriter.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir::cq;
using llvm::Error;

llvm::Expected<std::unique_ptr<FileWriter>>
FileWriter::create(llvm::StringRef path, const FileHeader &header) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (FileTensor &tensor : layoutOf(header))
    entries.push_back(std::move(tensor.entry));
  entries.push_back(
      {checksumTensor.str(), DType::I64, {int64_t(entries.size()) + 1}});
  std::string text = header.print();
  auto writer =
      SafetensorsWriter::create(path, entries, {{headerKey.str(), text}});
  if (!writer)
    return writer.takeError();
  auto result = std::make_unique<FileWriter>();
  result->writer = std::move(*writer);
  result->sums.push_back(int64_t(checksum(llvm::arrayRefFromStringRef(text))));
  return std::move(result);
}

Error FileWriter::flushPiece() {
  pieces.push_back(llvm::xxh3_64bits(pending));
  Error error = writer->append(pending);
  pending.clear();
  return error;
}

Error FileWriter::appendBytes(llvm::ArrayRef<uint8_t> bytes) {
  while (!bytes.empty()) {
    size_t taken = std::min(bytes.size(), checksumPiece - pending.size());
    pending.insert(pending.end(), bytes.begin(), bytes.begin() + taken);
    bytes = bytes.drop_front(taken);
    if (pending.size() == checksumPiece)
      if (Error error = flushPiece())
        return error;
  }
  return Error::success();
}

Error FileWriter::appendBlocks(llvm::ArrayRef<BlockStatistics> blocks) {
  for (const BlockStatistics &block : blocks)
    if (Error error = append<double>(
            {block.sumCosine, block.dot, block.squaresIn, block.squaresOut}))
      return error;
  return Error::success();
}

Error FileWriter::endTensor() {
  if (!pending.empty())
    if (Error error = flushPiece())
      return error;
  sums.push_back(int64_t(checksumOfPieces(pieces)));
  pieces.clear();
  return Error::success();
}

Error FileWriter::commit() {
  if (Error error = writer->append(
          {reinterpret_cast<const uint8_t *>(sums.data()), 8 * sums.size()}))
    return error;
  return writer->commit();
}
