//===- Llama2C.cpp - Reading llama2.c checkpoints -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Llama2C.h"
#include "ByteReader.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;
using Shape = llvm::SmallVector<int64_t, 2>;

namespace {
/// A run of the file: one tensor for each block, one tensor, or numbers to
/// skip.
struct Run {
  const char *name; ///< after "blk.N." when perBlock; null: skipped
  bool perBlock;
  Shape shape; ///< of one tensor
};
} // namespace

/// The order of the file. Version 0 interleaves norms with matrices and stores
/// the rope tables; version 1 begins with the norms.
static llvm::SmallVector<Run, 16> runsOf(const Llama2CHeader &h) {
  int64_t headDim = h.width / h.heads, kv = h.kvHeads * headDim;
  Run embedding{"token_embd.weight", false, {h.vocabulary, h.width}};
  Run attnNorm{"attn_norm.weight", true, {h.width}};
  Run q{"attn_q.weight", true, {h.width, h.width}};
  Run k{"attn_k.weight", true, {kv, h.width}};
  Run v{"attn_v.weight", true, {kv, h.width}};
  Run o{"attn_output.weight", true, {h.width, h.width}};
  Run mlpNorm{"ffn_norm.weight", true, {h.width}};
  Run gate{"ffn_gate.weight", true, {h.hidden, h.width}};
  Run down{"ffn_down.weight", true, {h.width, h.hidden}};
  Run up{"ffn_up.weight", true, {h.hidden, h.width}};
  Run finalNorm{"output_norm.weight", false, {h.width}};
  Run head{"output.weight", false, {h.vocabulary, h.width}};
  llvm::SmallVector<Run, 16> runs;
  if (h.version == 0) {
    Run rope{nullptr, false, {h.context, headDim / 2}};
    runs = {embedding, attnNorm, q,  k,         v,    o,   mlpNorm,
            gate,      down,     up, finalNorm, rope, rope};
  } else {
    runs = {attnNorm, mlpNorm, finalNorm, embedding, q, k,
            v,        o,       gate,      down,      up};
  }
  if (!h.sharedHead)
    runs.push_back(head);
  return runs;
}

std::optional<uint64_t> Llama2CHeader::fileBytes() const {
  // The bounds of parseHeader keep a run below 2^62; the sum is checked.
  uint64_t total = dataBegin;
  for (const Run &run : runsOf(*this)) {
    uint64_t size = 4 * (run.perBlock ? blocks : 1);
    for (int64_t extent : run.shape)
      if (__builtin_mul_overflow(size, uint64_t(extent), &size))
        return std::nullopt;
    if (__builtin_add_overflow(total, size, &total))
      return std::nullopt;
  }
  return total;
}

llvm::Expected<Llama2CHeader> Llama2CFile::parseHeader(StringRef bytes,
                                                       StringRef path) {
  ByteReader reader(bytes);
  Llama2CHeader h{};
  int32_t fields[7];
  if (bytes.starts_with("24ka")) { // 0x616b3432, little-endian
    StringRef magic;
    int32_t version;
    reader.take(4, magic);
    if (!reader.read(version))
      return fail(quoted(path) + " ends inside its header; fetch it again");
    if (version != 1)
      return fail(quoted(path) + " is a llama2.c checkpoint of version " +
                  llvm::Twine(version) +
                  "; versions 0 and 1 are read, export it as version 1");
    h.version = 1;
    h.dataBegin = 256;
  } else {
    h.dataBegin = 28;
  }
  for (int32_t &field : fields)
    if (!reader.read(field))
      return fail(quoted(path) + " ends inside its header; fetch it again");
  h.sharedHead = fields[5] > 0;
  if (h.version == 1) {
    uint8_t shared;
    if (bytes.size() < 256 || !reader.read(shared))
      return fail(quoted(path) + " ends inside its header; fetch it again");
    h.sharedHead = shared != 0;
  }
  h.width = fields[0];
  h.hidden = fields[1];
  h.blocks = fields[2];
  h.heads = fields[3];
  h.kvHeads = fields[4];
  // Version 0 says "the head is a tensor of its own" by a negative vocabulary.
  h.vocabulary = h.version == 0 && fields[5] < 0 ? -int64_t(fields[5])
                                                 : int64_t(fields[5]);
  h.context = fields[6];
  struct Bound {
    const char *what;
    int64_t value, limit;
  };
  for (Bound bound : {Bound{"a width", h.width, 1 << 20},
                      {"a hidden width", h.hidden, 1 << 22},
                      {"a block count", h.blocks, 1 << 12},
                      {"a head count", h.heads, 1 << 12},
                      {"a key/value head count", h.kvHeads, 1 << 12},
                      {"a vocabulary", h.vocabulary, 1 << 24},
                      {"a context", h.context, 1 << 24}})
    if (bound.value <= 0 || bound.value > bound.limit)
      return fail(quoted(path) + " has, read as a llama2.c header, " +
                  bound.what + " of " + llvm::Twine(bound.value) +
                  ", not in 1 to " + llvm::Twine(bound.limit) +
                  "; the file is damaged");
  if (h.width % h.heads != 0 || (h.width / h.heads) % 2 != 0 ||
      h.heads % h.kvHeads != 0)
    return fail(quoted(path) + " has, read as a llama2.c header, width " +
                llvm::Twine(h.width) + ", " + llvm::Twine(h.heads) +
                " heads and " + llvm::Twine(h.kvHeads) +
                " key/value heads, which do not divide one another; the file "
                "is damaged");
  return h;
}

llvm::Expected<std::unique_ptr<Llama2CFile>> Llama2CFile::open(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  std::unique_ptr<Llama2CFile> file(new Llama2CFile(path, std::move(*buffer)));
  if (Error error = file->parse())
    return std::move(error);
  return std::move(file);
}

Error Llama2CFile::parse() {
  auto header = parseHeader(contents(), path());
  if (!header)
    return header.takeError();
  head = *header;
  std::optional<uint64_t> size = head.fileBytes();
  if (!size || *size != contents().size())
    return fail(quoted(path()) + " has " + llvm::Twine(contents().size()) +
                " bytes, but its llama2.c header (version " +
                llvm::Twine(head.version) + ") asks for " +
                (size ? llvm::Twine(*size).str() : "more than 2^64") +
                "; the file is truncated or damaged");
  uint64_t offset = head.dataBegin;
  for (const Run &run : runsOf(head)) {
    uint64_t bytes = 4 * uint64_t(*checkedElements(run.shape));
    for (int64_t block = 0; block < (run.perBlock ? head.blocks : 1); ++block) {
      if (run.name) {
        std::string name =
            run.perBlock ? ("blk." + llvm::Twine(block) + "." + run.name).str()
                         : std::string(run.name);
        if (Error error = add(name, DType::F32, run.shape, contents(), offset))
          return error;
      }
      offset += bytes;
    }
  }
  return Error::success();
}
