//===- ExportCheckpoint.cpp - Quantized models as safetensors folders -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeWords.h"
#include "ExportConfig.h"
#include "Vocabulary.h"
#include "cq/Model/StockTypes.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;
using Bytes = std::vector<uint8_t>;
using Entry = SafetensorsWriter::Entry;

static std::string moduleOf(StringRef name) {
  name.consume_back(".weight");
  return name.str();
}

static StringRef formName(CheckpointForm form) {
  return form == CheckpointForm::GPTQ ? "GPTQ" : "compressed-tensors";
}

/// Why a foreign form cannot hold the weight, with a remedy; or success.
static Error checkForm(const ModelTensor &tensor, CheckpointForm form,
                       const ExportOptions &options) {
  const PlanEntry &entry = *tensor.entry;
  auto refuse = [&](const llvm::Twine &why) {
    return fail("weight " + quoted(tensor.source) + " " + why);
  };
  std::string name = formName(form).str();
  if (entry.cherries.form != CherryForm::None && !options.dropCherries)
    return refuse(
        "keeps " + llvm::Twine(entry.cherries.numDeltas(entry.n, entry.k)) +
        " cherries precise, which " + name +
        " cannot hold: they would fall back to their " +
        llvm::Twine(entry.scheme.bits) +
        "-bit codes; pass --drop-cherries to accept that, or quantize "
        "with --cherry-form=none");
  if (entry.wide)
    return refuse("has rows of two widths, which " + name +
                  " cannot hold; quantize without --rows");
  if (entry.scheme.grid == Grid::HalfStep)
    return refuse("has the half-step grid, which " + name +
                  " cannot hold; quantize with --grid=symmetric");
  if (entry.k % entry.scheme.groupLength(entry.k) != 0)
    return refuse("has a last group shorter than the others, which " + name +
                  " cannot hold; quantize with --group-size=row");
  if (form != CheckpointForm::GPTQ)
    return Error::success();
  unsigned bits = entry.scheme.bits;
  if (bits == 5 || bits == 6)
    return refuse("has " + llvm::Twine(bits) +
                  " bits; GPTQ has 2, 3, 4 and 8 (compressed-tensors has all)");
  if (entry.k * bits % 32 != 0 || entry.n * bits % 32 != 0)
    return refuse("is " + llvm::Twine(entry.n) + " x " + llvm::Twine(entry.k) +
                  ": rows or columns of " + llvm::Twine(bits) +
                  " bits fill no whole number of GPTQ's 32-bit words; use "
                  "--to=compressed-tensors");
  return Error::success();
}

namespace {
/// The tensors that one tensor of the model becomes.
struct Piece {
  const ModelTensor *tensor;
  bool decoded = false; ///< an embedding or head, as F16
  DType keptType = DType::F32;
  std::vector<Entry> entries;
};

class Exporter {
public:
  Exporter(const ExportInput &input, CheckpointForm form,
           const ExportOptions &options)
      : input(input), form(form), options(options) {}
  llvm::Expected<std::vector<ExportedTensor>> run(StringRef folder);

private:
  Error plan(const ModelTensor &tensor, Piece &piece);
  void planPlanes(const ModelTensor &tensor, Piece &piece);
  Error write(const Piece &piece, SafetensorsWriter &writer,
              ExportedTensor &result);
  llvm::Expected<std::vector<Bytes>> planesOf(const ModelTensor &tensor,
                                              ExportWeight &weight);
  llvm::Expected<std::vector<Bytes>> ownPlanes(const ModelTensor &tensor,
                                               ExportWeight &weight);
  std::vector<Bytes> gptqPlanes(const QuantizedWeight &q);
  std::vector<Bytes> compressedPlanes(const QuantizedWeight &q);
  /// Our own form keeps the model's rope; the others want halves.
  bool interleaved() const {
    return form == CheckpointForm::CQ && input.config.interleavedRope;
  }

  const ExportInput &input;
  CheckpointForm form;
  const ExportOptions &options;
};
} // namespace

static Layout linearLayout(const PlanEntry &entry) {
  return entry.wide.layout(LayoutKind::Linear, entry.n, entry.scheme.bits);
}

static DType scaleDType(ScaleType type) {
  return type == ScaleType::F16    ? DType::F16
         : type == ScaleType::BF16 ? DType::BF16
                                   : DType::F32;
}

void Exporter::planPlanes(const ModelTensor &tensor, Piece &piece) {
  const PlanEntry &entry = *tensor.entry;
  int64_t n = entry.n, k = entry.k, groups = entry.scheme.numGroups(k);
  unsigned bits = entry.scheme.bits;
  std::string module = moduleOf(tensor.name);
  auto add = [&](StringRef suffix, DType type, llvm::ArrayRef<int64_t> shape) {
    piece.entries.push_back(
        {(form == CheckpointForm::CQ ? tensor.name : module) + suffix.str(),
         type, llvm::SmallVector<int64_t, 4>(shape)});
  };
  bool zeros = entry.scheme.hasZeroPoints();
  if (form == CheckpointForm::GPTQ) {
    add(".qweight", DType::I32, {wordsOf(k, bits), n});
    add(".qzeros", DType::I32, {groups, wordsOf(n, bits)});
    add(".scales", DType::F16, {groups, n});
    add(".g_idx", DType::I32, {k});
  } else if (form == CheckpointForm::CompressedTensors) {
    add(".weight_packed", DType::I32, {n, wordsOf(k, bits)});
    add(".weight_scale", scaleDType(entry.scheme.scaleType), {n, groups});
    if (zeros)
      add(".weight_zero_point", DType::I32, {wordsOf(n, bits), groups});
    add(".weight_shape", DType::I64, {2});
  } else {
    Layout layout = linearLayout(entry);
    PlaneBytes bytes = planeBytes(n, k, entry.scheme, layout, entry.cherries);
    add(":codes", DType::U8, {bytes.codes});
    add(":scales", scaleDType(entry.scheme.scaleType), {n, groups});
    if (zeros)
      add(":zeros", DType::U8, {n, groups});
    if (bytes.cherryColumns) {
      add(":cherry_columns",
          entry.cherries.columnBytes() == 1 ? DType::U8 : DType::U16,
          {bytes.cherryColumns / entry.cherries.columnBytes()});
      add(":cherry_deltas", DType::F16, {bytes.cherryDeltas / 2});
    }
    if (bytes.rowOrder)
      add(":row_order",
          Layout::orderEntryBytes(n) == 2 ? DType::U16 : DType::I32, {n});
  }
}

Error Exporter::plan(const ModelTensor &tensor, Piece &piece) {
  piece.tensor = &tensor;
  if (!tensor.entry) {
    auto values = readKept(tensor, {});
    if (!values)
      return values.takeError();
    piece.keptType = exactStockType(*values).type;
    piece.entries.push_back({tensor.name, piece.keptType, tensor.kept->shape});
    return Error::success();
  }
  bool inBlock = StringRef(tensor.name).starts_with("model.layers.");
  if (form != CheckpointForm::CQ && !inBlock) {
    piece.decoded = true;
    piece.entries.push_back(
        {tensor.name, DType::F16, {tensor.entry->n, tensor.entry->k}});
    return Error::success();
  }
  if (form != CheckpointForm::CQ)
    if (Error error = checkForm(tensor, form, options))
      return error;
  planPlanes(tensor, piece);
  return Error::success();
}

/// Scales in the order [groups, n] or [n, groups] of W's rows.
static Bytes scalesOf(const QuantizedWeight &q, ScaleType type,
                      bool groupsFirst) {
  int64_t groups = q.scheme.numGroups(q.k);
  std::vector<float> scales(q.n * groups);
  for (int64_t row = 0; row < q.n; ++row)
    for (int64_t g = 0; g < groups; ++g)
      scales[groupsFirst ? g * q.n + q.originOf(row)
                         : q.originOf(row) * groups + g] =
          q.scales[row * groups + g];
  Bytes bytes(scales.size() * scaleBytes(type));
  encodeScales(scales.data(), int64_t(scales.size()), type, bytes.data());
  return bytes;
}

std::vector<Bytes> Exporter::gptqPlanes(const QuantizedWeight &q) {
  unsigned bits = q.scheme.bits;
  int64_t groups = q.scheme.numGroups(q.k), length = q.scheme.groupLength(q.k);
  int64_t zeroWords = wordsOf(q.n, bits);
  Bytes codes(wordsOf(q.k, bits) * q.n * 4), zeros(groups * zeroWords * 4);
  Bytes index(4 * q.k);
  for (int64_t row = 0; row < q.n; ++row) {
    int64_t to = q.originOf(row);
    for (int64_t k = 0; k < q.k; ++k)
      storeCode(&codes[4 * to], q.n, k, bits, q.codes[row * q.k + k]);
    // Version 1 of the format stores z - 1, which has no place for z = 0; the
    // affine grid is therefore written as version 2 (ExportConfig.cpp).
    for (int64_t g = 0; g < groups; ++g)
      storeCode(&zeros[g * zeroWords * 4], 1, to, bits,
                q.scheme.hasZeroPoints() ? q.zeros[row * groups + g]
                                         : q.scheme.offset() - 1);
  }
  for (int64_t k = 0; k < q.k; ++k)
    for (int i = 0; i < 4; ++i)
      index[4 * k + i] = uint8_t(uint64_t(k / length) >> (8 * i));
  return {std::move(codes), std::move(zeros),
          scalesOf(q, ScaleType::F16, /*groupsFirst=*/true), std::move(index)};
}

std::vector<Bytes> Exporter::compressedPlanes(const QuantizedWeight &q) {
  unsigned bits = q.scheme.bits;
  int64_t groups = q.scheme.numGroups(q.k), words = wordsOf(q.k, bits);
  Bytes codes(q.n * words * 4), shape(16);
  Bytes zeros(q.scheme.hasZeroPoints() ? wordsOf(q.n, bits) * groups * 4 : 0);
  for (int64_t row = 0; row < q.n; ++row) {
    int64_t to = q.originOf(row);
    for (int64_t k = 0; k < q.k; ++k)
      storeCode(&codes[to * words * 4], 1, k, bits, q.codes[row * q.k + k]);
    for (int64_t g = 0; g < groups && !zeros.empty(); ++g)
      storeCode(&zeros[4 * g], groups, to, bits, q.zeros[row * groups + g]);
  }
  for (int i = 0; i < 8; ++i) {
    shape[i] = uint8_t(uint64_t(q.n) >> (8 * i));
    shape[8 + i] = uint8_t(uint64_t(q.k) >> (8 * i));
  }
  std::vector<Bytes> planes;
  planes.push_back(std::move(codes));
  planes.push_back(scalesOf(q, q.scheme.scaleType, /*groupsFirst=*/false));
  if (!zeros.empty())
    planes.push_back(std::move(zeros));
  planes.push_back(std::move(shape));
  return planes;
}

llvm::Expected<std::vector<Bytes>>
Exporter::ownPlanes(const ModelTensor &tensor, ExportWeight &weight) {
  const PlanEntry &entry = *tensor.entry;
  PackedWeight packed =
      packWeight(weight.weight, &weight.cherries, linearLayout(entry));
  std::vector<Bytes> planes;
  for (Bytes *plane :
       {&packed.codes, &packed.scales, &packed.zeros, &packed.cherryColumns,
        &packed.cherryDeltas, &packed.rowOrder})
    if (!plane->empty())
      planes.push_back(std::move(*plane));
  return planes;
}

llvm::Expected<std::vector<Bytes>> Exporter::planesOf(const ModelTensor &tensor,
                                                      ExportWeight &weight) {
  const QuantizedWeight &q = weight.weight;
  if (form == CheckpointForm::CQ)
    return ownPlanes(tensor, weight);
  for (uint8_t zero : q.zeros)
    if (int(zero) > q.scheme.maxCode())
      return fail("weight " + quoted(tensor.source) + " has the zero point " +
                  llvm::Twine(int(zero)) + ", which has no place in " +
                  llvm::Twine(q.scheme.bits) +
                  " bits; quantize with "
                  "--grid=symmetric");
  if (form == CheckpointForm::CompressedTensors)
    return compressedPlanes(q);
  std::vector<float> rounded(q.scales.size());
  Bytes half(2 * q.scales.size());
  encodeScales(q.scales.data(), q.scales.size(), ScaleType::F16, half.data());
  decodeScales(half.data(), q.scales.size(), ScaleType::F16, rounded.data());
  if (rounded != q.scales)
    return fail("weight " + quoted(tensor.source) + " has scales of the type " +
                stringifyScaleType(q.scheme.scaleType) +
                " that f16, the type of GPTQ's, cannot hold; quantize with "
                "--scale=f16 or use --to=compressed-tensors");
  return gptqPlanes(q);
}

Error Exporter::write(const Piece &piece, SafetensorsWriter &writer,
                      ExportedTensor &result) {
  const ModelTensor &tensor = *piece.tensor;
  std::vector<uint32_t> moved = movedRows(tensor, input.config, interleaved());
  result.name = tensor.name;
  std::vector<Bytes> planes;
  if (!tensor.entry) {
    auto values = readKept(tensor, moved);
    if (!values)
      return values.takeError();
    result.from = stringifyDType(tensor.kept->type).str();
    result.to = stringifyDType(piece.keptType).str();
    result.weights = int64_t(values->size());
    planes.push_back(exactStockType(*values).bytes);
  } else {
    auto weight = readForExport(input, tensor, moved, options);
    if (!weight)
      return weight.takeError();
    QuantizedWeight &q = weight->weight;
    result.from = result.to = q.scheme.str();
    result.weights = q.n * q.k;
    std::vector<float> values;
    if (piece.decoded) {
      Bytes half(2 * weight->values.size());
      values.resize(weight->values.size());
      encodeScales(weight->values.data(), values.size(), ScaleType::F16,
                   half.data());
      decodeScales(half.data(), values.size(), ScaleType::F16, values.data());
      planes.push_back(std::move(half));
      result.to = "F16";
    } else {
      values.resize(weight->values.size());
      dequantizeWeight(q, &weight->cherries, values.data(), options.threads);
      auto made = planesOf(tensor, *weight);
      if (!made)
        return made.takeError();
      planes = std::move(*made);
    }
    if (weight->cherries.spec.form != CherryForm::None)
      result.from += " + cherries";
    if (weight->dropped)
      result.from += " - cherries";
    result.error = relativeError(weight->values, values);
  }
  for (const Bytes &plane : planes) {
    result.bytes += int64_t(plane.size());
    if (Error error = writer.append(plane))
      return error;
  }
  return Error::success();
}

llvm::Expected<std::vector<ExportedTensor>> Exporter::run(StringRef folder) {
  auto tensors = listModelTensors(input, huggingFaceNames);
  if (!tensors)
    return tensors.takeError();
  if (form == CheckpointForm::CQ && options.dropCherries)
    return fail("our own layout holds cherries; --drop-cherries is for the "
                "other forms");
  auto config = checkpointConfig(input, *tensors, form);
  if (!config)
    return config.takeError();
  std::vector<Piece> pieces(tensors->size());
  std::vector<Entry> entries;
  for (auto [tensor, piece] : llvm::zip(*tensors, pieces)) {
    if (Error error = plan(tensor, piece))
      return std::move(error);
    entries.insert(entries.end(), piece.entries.begin(), piece.entries.end());
  }
  auto path = [&](StringRef name) {
    llvm::SmallString<256> full(folder);
    llvm::sys::path::append(full, name);
    return full.str().str();
  };
  auto writer = SafetensorsWriter::create(path("model.safetensors"), entries,
                                          {{"format", "pt"}});
  if (!writer)
    return writer.takeError();
  std::vector<ExportedTensor> results(pieces.size());
  for (auto [piece, result] : llvm::zip(pieces, results))
    if (Error error = write(piece, **writer, result))
      return std::move(error);
  if (Error error = (*writer)->commit())
    return std::move(error);
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::formatv("{0:2}", llvm::json::Value(std::move(*config))) << '\n';
  if (Error error = writeFileAtomically(path("config.json"), text))
    return std::move(error);
  if (input.tokenizer.empty())
    return results;
  if (std::error_code code =
          llvm::sys::fs::copy_file(input.tokenizer, path("tokenizer.gguf")))
    return fail("cannot copy " + quoted(input.tokenizer) + ": " +
                code.message());
  auto file = GGUFFile::open(input.tokenizer);
  if (!file)
    return file.takeError();
  auto vocabulary = readGGUFVocabulary(**file);
  if (!vocabulary)
    return vocabulary.takeError();
  auto written = writeHuggingFaceVocabulary(*vocabulary, folder);
  if (!written)
    return written.takeError();
  return results;
}

llvm::Expected<std::vector<ExportedTensor>>
mlir::cq::exportCheckpoint(const ExportInput &input, StringRef folder,
                           CheckpointForm form, const ExportOptions &options) {
  return Exporter(input, form, options).run(folder);
}
