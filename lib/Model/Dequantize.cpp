//===- Dequantize.cpp - Stored tensors to f32 -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BlockDecoders.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/ThreadPool.h"

using namespace mlir::cq;

static float loadF32(const uint8_t *bytes) {
  return llvm::bit_cast<float>(loadLittle<uint32_t>(bytes));
}

/// Decodes elements [begin, begin + count), whole blocks.
static void decode(DType type, const uint8_t *bytes, float *out,
                   int64_t count) {
  auto each = [&](auto convert) {
    for (int64_t i = 0; i < count; ++i)
      out[i] = convert(i);
  };
  switch (type) {
  case DType::F32:
    return each([&](int64_t i) { return loadF32(bytes + 4 * i); });
  case DType::F16:
    return each([&](int64_t i) { return loadF16(bytes + 2 * i); });
  case DType::BF16:
    return each([&](int64_t i) {
      return llvm::bit_cast<float>(uint32_t(loadLittle<uint16_t>(bytes + 2 * i))
                                   << 16);
    });
  case DType::F64:
    return each([&](int64_t i) {
      return float(llvm::bit_cast<double>(loadLittle<uint64_t>(bytes + 8 * i)));
    });
  case DType::I8:
    return each([&](int64_t i) { return float(int8_t(bytes[i])); });
  case DType::U8:
    return each([&](int64_t i) { return float(bytes[i]); });
  case DType::Bool:
    return each([&](int64_t i) { return bytes[i] ? 1.0f : 0.0f; });
  case DType::I16:
    return each(
        [&](int64_t i) { return float(loadLittle<int16_t>(bytes + 2 * i)); });
  case DType::U16:
    return each(
        [&](int64_t i) { return float(loadLittle<uint16_t>(bytes + 2 * i)); });
  case DType::I32:
    return each(
        [&](int64_t i) { return float(loadLittle<int32_t>(bytes + 4 * i)); });
  case DType::I64:
    return each(
        [&](int64_t i) { return float(loadLittle<int64_t>(bytes + 8 * i)); });
  default:
    break;
  }
  BlockDecoder decodeBlock = blockDecoder(type);
  int64_t elements = blockElements(type), size = blockBytes(type);
  for (int64_t i = 0; i < count / elements; ++i)
    decodeBlock(bytes + i * size, out + i * elements);
}

llvm::Error ParameterArchive::readAsF32(const ParameterInfo &info, float *out,
                                        unsigned threads) {
  if (info.packed)
    return info.packed->decode(info, out, threads);
  // The readers checked this; views made by hand may not fit.
  std::optional<int64_t> count = checkedElements(info.shape);
  int64_t elements = blockElements(info.type), size = blockBytes(info.type);
  if (!count || *count % elements != 0 ||
      uint64_t(*count / elements) > info.bytes.size() / size)
    return fail("tensor " + quoted(info.name) + " holds " +
                llvm::Twine(info.bytes.size()) +
                " bytes, too few for its shape " + printShape(info.shape));

  // Pieces of 256K elements: large enough to hide the cost of a task.
  constexpr int64_t piece = 1 << 18;
  auto decodePiece = [&](int64_t begin) {
    decode(info.type, info.bytes.data() + begin / elements * size, out + begin,
           std::min(piece, *count - begin));
  };
  if (threads == 1 || *count <= piece) {
    for (int64_t begin = 0; begin < *count; begin += piece)
      decodePiece(begin);
    return llvm::Error::success();
  }
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (int64_t begin = 0; begin < *count; begin += piece)
    pool.async(decodePiece, begin);
  pool.wait();
  return llvm::Error::success();
}
