//===- PackedCheckpoint.cpp - Checkpoints quantized by others -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing is believed of the configuration that the tensors themselves say: bit
// widths and group sizes follow from shapes. K: in_features, N: out_features, b
// bits, G groups, all words little-endian.
//
//   GPTQ  qweight [K b/32, N], qzeros [G, N b/32], scales [G, N], g_idx [K]:
//         w = s (q - z), of which version 1 stores z - 1
//   AWQ   qweight [K, N b/32], qzeros [G, N b/32], scales [G, N]: w = s (q -
//   z);
//         eight codes of a word in the order 0 2 4 6 1 3 5 7
//   compressed-tensors  weight_packed [N, words(K b)], weight_scale [N, G],
//         weight_zero_point [words(N b), G], weight_shape [2]; before 0.12 no
//         code crossed a word
//

#include "cq/Model/PackedCheckpoint.h"
#include "CodeWords.h"
#include "PackedParts.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/ThreadPool.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static int64_t loadWord(const ParameterInfo &info, int64_t index) {
  return int32_t(llvm::support::endian::read32le(&info.bytes[4 * index]));
}

unsigned PackedParts::code(int64_t row, int64_t column) const {
  const uint8_t *words = codes->bytes.data();
  switch (kind) {
  case Kind::GPTQ:
    return loadCode(words + 4 * row, n, column, bits);
  case Kind::AWQ: {
    static constexpr int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int64_t perWord = 32 / bits;
    return loadCode(words + 4 * (column * (n / perWord) + row / perWord), 1,
                    place[row % perWord], bits);
  }
  case Kind::CompressedTensors:
    break;
  }
  words += row * wordsPerRow * 4;
  if (!padded)
    return loadCode(words, 1, column, bits);
  int64_t perWord = 32 / bits;
  return llvm::support::endian::read32le(words + column / perWord * 4) >>
             (column % perWord * bits) &
         ((1u << bits) - 1);
}

int PackedParts::zero(int64_t row, int64_t group) const {
  if (!zeros)
    return 1 << (bits - 1);
  const uint8_t *words = zeros->bytes.data();
  switch (kind) {
  case Kind::GPTQ:
    return int(loadCode(words + group * wordsOf(n, bits) * 4, 1, row, bits)) +
           (zeroMinusOne ? 1 : 0);
  case Kind::AWQ: {
    static constexpr int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    int64_t perWord = 32 / bits;
    return int(loadCode(words + 4 * (group * (n / perWord) + row / perWord), 1,
                        place[row % perWord], bits));
  }
  case Kind::CompressedTensors:
    break;
  }
  if (!padded)
    return int(loadCode(words + 4 * group, groups, row, bits));
  int64_t perWord = 32 / bits;
  return int(llvm::support::endian::read32le(
                 words + 4 * (row / perWord * groups + group)) >>
                 (row % perWord * bits) &
             ((1u << bits) - 1));
}

std::vector<float> PackedParts::loadScales() const {
  std::vector<float> stored(n * groups);
  llvm::cantFail(ParameterArchive::readAsF32(*scales, stored.data(), 1));
  if (kind == Kind::CompressedTensors)
    return stored;
  std::vector<float> rowScales(stored.size());
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t row = 0; row < n; ++row)
      rowScales[row * groups + group] = stored[group * n + row];
  return rowScales;
}

int64_t PackedParts::groupOf(int64_t column) const {
  return index ? loadWord(*index, column) : column / (k / groups);
}

void PackedParts::decodeRow(int64_t row, const float *scalesOfRow,
                            float *out) const {
  for (int64_t column = 0; column < k; ++column) {
    int64_t group = groupOf(column);
    out[column] =
        scalesOfRow[group] * float(int(code(row, column)) - zero(row, group));
  }
}

bool PackedParts::isOrdered() const {
  if (!index)
    return true;
  for (int64_t column = 0; column < k; ++column)
    if (loadWord(*index, column) != column / (k / groups))
      return false;
  return true;
}

llvm::Expected<Scheme> PackedParts::scheme() const {
  if (!isOrdered())
    return fail("weight " + quoted(name) +
                " was quantized in activation order (g_idx): its groups are "
                "scattered columns, which our groups of consecutive columns "
                "cannot hold; import it to a .mlir file, which decodes it, and "
                "quantize that");
  Scheme scheme;
  scheme.bits = bits;
  int64_t length = k / groups;
  scheme.group = groups == 1         ? 0
                 : length % 128 == 0 ? 128 // a scale more often
                                     : length;
  scheme.scaleType = scales->type == DType::F16    ? ScaleType::F16
                     : scales->type == DType::BF16 ? ScaleType::BF16
                                                   : ScaleType::F32;
  bool centred = true;
  for (int64_t group = 0; zeros && group < groups && centred; ++group)
    for (int64_t row = 0; row < n && centred; ++row)
      centred = zero(row, group) == 1 << (bits - 1);
  scheme.grid = centred ? Grid::Symmetric : Grid::Affine;
  if (Error error = scheme.check())
    return fail("weight " + quoted(name) + " has " + llvm::Twine(bits) +
                " bits and groups of " + llvm::Twine(length) +
                " columns, which no scheme of ours holds (" +
                llvm::toString(std::move(error)) +
                "); import it to a .mlir file, which decodes it, and quantize "
                "that");
  return scheme;
}

llvm::Expected<QuantizedWeight> PackedParts::read() const {
  auto known = scheme();
  if (!known)
    return known.takeError();
  QuantizedWeight q;
  q.n = n;
  q.k = k;
  q.scheme = *known;
  std::vector<float> rowScales = loadScales();
  int64_t ours = known->numGroups(k), length = known->groupLength(k);
  q.codes.resize(n * k);
  q.scales.resize(n * ours);
  if (known->hasZeroPoints())
    q.zeros.resize(n * ours);
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t column = 0; column < k; ++column)
      q.codes[row * k + column] = uint8_t(code(row, column));
    for (int64_t group = 0; group < ours; ++group) {
      int64_t theirs = group * length / (k / groups);
      q.scales[row * ours + group] = rowScales[row * groups + theirs];
      if (known->hasZeroPoints())
        q.zeros[row * ours + group] = uint8_t(zero(row, theirs));
    }
  }
  return q;
}

namespace {
/// A weight in our own layout: its planes.
struct OwnWeight {
  PackedWeight facts; ///< planes empty
  WideRows wide;
  const ParameterInfo *planes[6] = {};
};

class PackedArchive : public ParameterArchive, public PackedReader {
public:
  explicit PackedArchive(std::unique_ptr<ParameterArchive> files)
      : files(std::move(files)) {}
  Error collect(const llvm::json::Object &config, StringRef path);

  StringRef path() const override { return files->path(); }
  llvm::ArrayRef<ParameterInfo> parameters() const override { return infos; }
  const ParameterInfo *find(StringRef name) const override {
    auto it = byName.find(name);
    return it == byName.end() ? nullptr : &infos[it->second];
  }
  std::optional<StringRef> metadata(StringRef key) const override {
    return files->metadata(key);
  }
  llvm::Expected<CheckpointWeight>
  readStored(const ParameterInfo &info) const override;
  Error decode(const ParameterInfo &info, float *out,
               unsigned threads) const override;
  /// Scheme, cherries and wide rows of a packed weight.
  Error describe(PlanEntry &entry) const;

private:
  Error collectForeign(bool zeroMinusOne);
  Error collectOwn(const llvm::json::Object &config, StringRef path);
  void add(ParameterInfo info) {
    byName[info.name] = infos.size();
    infos.push_back(std::move(info));
  }

  std::unique_ptr<ParameterArchive> files;
  std::vector<ParameterInfo> infos;
  llvm::StringMap<size_t> byName;
  llvm::StringMap<PackedParts> foreign;
  llvm::StringMap<OwnWeight> own;
};
} // namespace

/// Parts beside the codes, which are shown as one weight.
static bool isPart(StringRef name, const llvm::StringSet<> &modules) {
  auto [module, suffix] = name.rsplit('.');
  return modules.contains(module) &&
         llvm::is_contained({"qweight", "qzeros", "scales", "g_idx",
                             "weight_packed", "weight_scale",
                             "weight_zero_point", "weight_shape",
                             "weight_g_idx"},
                            suffix);
}

Error PackedArchive::collectForeign(bool zeroMinusOne) {
  llvm::StringSet<> modules;
  for (const ParameterInfo &info : files->parameters()) {
    StringRef name = info.name;
    if (!name.consume_back(".qweight") && !name.consume_back(".weight_packed"))
      continue;
    modules.insert(name);
    PackedParts parts;
    if (Error error = parts.open(*files, name, zeroMinusOne))
      return error;
    foreign[parts.name] = std::move(parts);
  }
  for (const ParameterInfo &info : files->parameters()) {
    StringRef name = info.name;
    StringRef module = name.rsplit('.').first;
    if (isPart(name, modules)) {
      std::string weight = (module + ".weight").str();
      if (!name.ends_with(".qweight") && !name.ends_with(".weight_packed"))
        continue;
      const PackedParts &parts = foreign[weight];
      if (files->find(weight))
        return fail("weight " + quoted(weight) + " of " + quoted(path()) +
                    " is there twice, packed and plain; the folder mixes two "
                    "checkpoints");
      ParameterInfo shown;
      shown.name = weight;
      shown.shape = {parts.n, parts.k};
      shown.bytes = info.bytes;
      shown.packed = this;
      add(std::move(shown));
      continue;
    }
    // GPTQ's writers give every layer a bias, most of them zero.
    bool zero = llvm::all_of(info.bytes, [](uint8_t b) { return b == 0; });
    bool ofInput = module.ends_with("q_proj") || module.ends_with("k_proj") ||
                   module.ends_with("v_proj");
    if (name.ends_with(".bias") && modules.contains(module) && zero && !ofInput)
      continue;
    add(info);
  }
  return Error::success();
}

Error PackedArchive::collectOwn(const llvm::json::Object &config,
                                StringRef path) {
  const llvm::json::Object *weights = config.getObject("weights");
  std::string where = "quantization_config of " + quoted(path);
  if (config.getInteger("version").value_or(0) != 1 || !weights)
    return fail(where + " has no version 1 with its weights; it is damaged or "
                        "newer than this reader");
  for (const auto &[name, value] : *weights) {
    std::string weight = "weight " + quoted(name) + " in " + where;
    const llvm::json::Object *facts = value.getAsObject();
    const llvm::json::Array *shape = facts ? facts->getArray("shape") : nullptr;
    std::optional<StringRef> text =
        facts ? facts->getString("scheme") : std::nullopt;
    if (!shape || shape->size() != 2 || !text || !(*shape)[0].getAsInteger() ||
        !(*shape)[1].getAsInteger())
      return fail(weight + " has no shape [N, K] and scheme; it is damaged");
    OwnWeight own;
    own.facts.n = *(*shape)[0].getAsInteger();
    own.facts.k = *(*shape)[1].getAsInteger();
    auto scheme = Scheme::parse(*text);
    if (!scheme)
      return fail(weight + ": " + llvm::toString(scheme.takeError()));
    own.facts.scheme = *scheme;
    if (!checkedElements({own.facts.n, own.facts.k}))
      return fail(weight + " has a shape that is not positive or too large");
    if (const llvm::json::Object *cherries = facts->getObject("cherries")) {
      auto form = parseCherryForm(cherries->getString("form").value_or(""));
      if (!form)
        return fail(weight + " has cherries of an unknown form");
      own.facts.cherries = {*form, cherries->getInteger("count").value_or(-1)};
    }
    if (const llvm::json::Object *wide = facts->getObject("wide_rows")) {
      own.wide.count = wide->getInteger("count").value_or(-1);
      int64_t bits = wide->getInteger("bits").value_or(0);
      own.wide.bits = bits > 0 && bits <= 8 ? unsigned(bits) : 0;
      if (Error error = own.wide.check(own.facts.n, *scheme))
        return fail(weight + ": " + llvm::toString(std::move(error)));
    }
    own.facts.layout =
        own.wide.layout(LayoutKind::Linear, own.facts.n, scheme->bits);
    static constexpr StringRef suffixes[] = {"codes",         "scales",
                                             "zeros",         "cherry_columns",
                                             "cherry_deltas", "row_order"};
    for (unsigned i = 0; i < 6; ++i)
      own.planes[i] = files->find((name.str() + ":" + suffixes[i]).str());
    if (!own.planes[0] || !own.planes[1])
      return fail(weight + " has no planes " + quoted((name.str() + ":codes")) +
                  " and " + quoted((name.str() + ":scales")) + " in " +
                  quoted(files->path()));
    this->own[name.str()] = std::move(own);
  }
  for (const ParameterInfo &info : files->parameters()) {
    auto [weight, plane] = StringRef(info.name).split(':');
    if (plane.empty() || !own.contains(weight)) {
      add(info);
    } else if (plane == "codes") {
      const OwnWeight &facts = own[weight];
      ParameterInfo shown;
      shown.name = weight.str();
      shown.shape = {facts.facts.n, facts.facts.k};
      shown.bytes = info.bytes;
      shown.packed = this;
      add(std::move(shown));
    }
  }
  return Error::success();
}

Error PackedArchive::collect(const llvm::json::Object &config, StringRef path) {
  StringRef method = config.getString("quant_method").value_or("");
  if (method == "cq")
    return collectOwn(config, path);
  StringRef version = config.getString("checkpoint_format").value_or("gptq");
  return collectForeign(method == "gptq" && version != "gptq_v2");
}

llvm::Expected<CheckpointWeight>
PackedArchive::readStored(const ParameterInfo &info) const {
  CheckpointWeight result;
  if (auto it = foreign.find(info.name); it != foreign.end()) {
    auto weight = it->second.read();
    if (!weight)
      return weight.takeError();
    result.weight = std::move(*weight);
    return result;
  }
  const OwnWeight &weight = own.find(info.name)->second;
  PackedWeight packed = weight.facts;
  std::vector<uint8_t> *planes[] = {&packed.codes,        &packed.scales,
                                    &packed.zeros,        &packed.cherryColumns,
                                    &packed.cherryDeltas, &packed.rowOrder};
  for (unsigned i = 0; i < 6; ++i)
    if (const ParameterInfo *plane = weight.planes[i])
      planes[i]->assign(plane->bytes.begin(), plane->bytes.end());
  auto unpacked = unpackWeight(packed, &result.cherries);
  if (!unpacked)
    return fail("the planes of weight " + quoted(info.name) + " in " +
                quoted(path()) + " do not fit its quantization_config: " +
                llvm::toString(unpacked.takeError()));
  result.weight = std::move(*unpacked);
  result.wide = weight.wide;
  return result;
}

Error PackedArchive::decode(const ParameterInfo &info, float *out,
                            unsigned threads) const {
  auto it = foreign.find(info.name);
  if (it == foreign.end()) {
    auto stored = readStored(info);
    if (!stored)
      return stored.takeError();
    dequantizeWeight(stored->weight, &stored->cherries, out, threads);
    return Error::success();
  }
  const PackedParts &parts = it->second;
  std::vector<float> scales = parts.loadScales();
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      parts.decodeRow(row, &scales[row * parts.groups], out + row * parts.k);
  };
  constexpr int64_t piece = 64;
  if (threads == 1 || parts.n <= piece) {
    rows(0, parts.n);
    return Error::success();
  }
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (int64_t begin = 0; begin < parts.n; begin += piece)
    pool.async(rows, begin, std::min(begin + piece, parts.n));
  pool.wait();
  return Error::success();
}

Error PackedArchive::describe(PlanEntry &entry) const {
  if (auto it = own.find(entry.weight); it != own.end()) {
    entry.scheme = it->second.facts.scheme;
    entry.cherries = it->second.facts.cherries;
    entry.wide = it->second.wide;
    return Error::success();
  }
  auto scheme = foreign.find(entry.weight)->second.scheme();
  if (!scheme)
    return scheme.takeError();
  entry.scheme = *scheme;
  return Error::success();
}

bool mlir::cq::isPackedCheckpoint(const llvm::json::Object &config) {
  StringRef method = config.getString("quant_method").value_or("");
  if (method == "awq") // "gemv" lies otherwise
    return config.getString("version").value_or("gemm").lower() == "gemm";
  if (method == "compressed-tensors")
    return config.getString("format").value_or("") == "pack-quantized";
  return method == "gptq" || method == "cq";
}

llvm::Expected<std::unique_ptr<ParameterArchive>>
mlir::cq::openPackedCheckpoint(std::unique_ptr<ParameterArchive> files,
                               const llvm::json::Object &config,
                               StringRef path) {
  auto archive = std::make_unique<PackedArchive>(std::move(files));
  if (Error error = archive->collect(config, path))
    return std::move(error);
  return std::move(archive);
}

llvm::Expected<Plan> mlir::cq::planAsStored(const ParameterArchive &archive) {
  Plan plan;
  bool any = false;
  for (const ParameterInfo &info : archive.parameters()) {
    if (info.shape.size() != 2)
      continue;
    PlanEntry entry;
    entry.weight = info.name;
    entry.n = info.shape[0];
    entry.k = info.shape[1];
    entry.keep = !info.packed;
    entry.reason = info.packed ? "uniform: as the checkpoint stores it"
                               : "uniform: not quantized in the checkpoint";
    if (info.packed) {
      any = true;
      // The only kind of reader there is.
      auto *packed = static_cast<const PackedArchive *>(info.packed);
      if (Error error = packed->describe(entry))
        return std::move(error);
    }
    plan.entries.push_back(std::move(entry));
  }
  if (!any)
    plan.entries.clear();
  return plan;
}
