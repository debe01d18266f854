//===- ExportGGUF.cpp - Quantized models as GGUF --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExportTensors.h"
#include "GGUFWriter.h"
#include "Vocabulary.h"
#include "cq/Model/StockTypes.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static bool isLinearScaling(const ModelConfig &config) {
  return !config.ropeFactors.empty() && llvm::all_equal(config.ropeFactors);
}

static Error addMetadata(GGUFWriter &writer, const ExportInput &input,
                         StringRef architecture) {
  const ModelConfig &config = input.config;
  auto key = [&](StringRef name) { return (architecture + "." + name).str(); };
  writer.add("general.architecture", architecture);
  writer.add("general.type", StringRef("model"));
  if (!config.name.empty())
    writer.add("general.name", StringRef(config.name));
  writer.add("general.quantization_version", uint32_t(2));
  for (auto [name, value] :
       {std::pair<StringRef, int64_t>{"context_length", config.context},
        {"embedding_length", config.width},
        {"block_count", config.blocks},
        {"feed_forward_length", config.hidden},
        {"attention.head_count", config.heads},
        {"attention.head_count_kv", config.kvHeads},
        {"attention.key_length", config.headDim},
        {"attention.value_length", config.headDim},
        {"rope.dimension_count", config.headDim},
        {"vocab_size", config.vocabulary}})
    writer.add(key(name), uint32_t(value));
  writer.add(key("attention.layer_norm_rms_epsilon"), float(config.epsilon));
  writer.add(key("rope.freq_base"), float(config.ropeBase));
  if (isLinearScaling(config)) {
    writer.add(key("rope.scaling.type"), StringRef("linear"));
    writer.add(key("rope.scaling.factor"), config.ropeFactors.front());
  }
  if (input.tokenizer.empty())
    return Error::success();
  auto file = GGUFFile::open(input.tokenizer);
  if (!file)
    return file.takeError();
  auto vocabulary = readGGUFVocabulary(**file);
  if (!vocabulary)
    return vocabulary.takeError();
  addVocabulary(writer, *vocabulary);
  return Error::success();
}

/// Vectors stay F32: llama.cpp reads norms and biases in no other type.
static StockWeight keptType(const ParameterInfo &info,
                            llvm::ArrayRef<float> values) {
  if (info.shape.size() > 1)
    return exactStockType(values);
  StockWeight stock;
  auto *bytes = reinterpret_cast<const uint8_t *>(values.data());
  stock.bytes.assign(bytes, bytes + 4 * values.size());
  return stock;
}

static Error writeTensor(GGUFWriter &writer, const ExportInput &input,
                         const ModelTensor &tensor, bool interleaved,
                         const ExportOptions &options, ExportedTensor &result) {
  std::vector<uint32_t> moved = movedRows(tensor, input.config, interleaved);
  StockWeight stock;
  llvm::SmallVector<int64_t, 4> shape;
  if (tensor.entry) {
    auto weight = readForExport(input, tensor, moved, options);
    if (!weight)
      return weight.takeError();
    shape = {weight->weight.n, weight->weight.k};
    result.from = weight->weight.scheme.str();
    if (weight->cherries.spec.form != CherryForm::None)
      result.from += " + cherries";
    if (weight->dropped)
      result.from += " - cherries";
    stock = nearestStockType(weight->weight, &weight->cherries,
                             options.tolerance, options.threads);
    if (weight->dropped) { // the error is of the weight as it was
      ParameterInfo info;
      info.type = stock.type;
      info.shape = shape;
      info.bytes = stock.bytes;
      std::vector<float> values(weight->values.size());
      if (Error error = ParameterArchive::readAsF32(info, values.data()))
        return error;
      stock.error = relativeError(weight->values, values);
    }
    result.weights = shape[0] * shape[1];
  } else {
    auto values = readKept(tensor, moved);
    if (!values)
      return values.takeError();
    shape = tensor.kept->shape;
    stock = keptType(*tensor.kept, *values);
    result.from = stringifyDType(tensor.kept->type).str();
    result.weights = int64_t(values->size());
  }
  result.name = tensor.name;
  result.to = stringifyDType(stock.type).str();
  result.error = stock.error;
  result.bytes = int64_t(stock.bytes.size());
  return writer.append(stock.type, shape, stock.bytes);
}

llvm::Expected<std::vector<ExportedTensor>>
mlir::cq::exportGGUF(const ExportInput &input, StringRef path,
                     const ExportOptions &options) {
  const ModelConfig &config = input.config;
  // Mistral's files are llama files to every reader of GGUF.
  bool qwen = StringRef(config.architecture).starts_with("qwen");
  auto tensors = listModelTensors(input, ggufNames);
  if (!tensors)
    return tensors.takeError();
  GGUFWriter writer;
  if (Error error = addMetadata(
          writer, input, qwen ? StringRef(config.architecture) : "llama"))
    return std::move(error);
  bool factors = !config.ropeFactors.empty() && !isLinearScaling(config);
  std::vector<std::pair<std::string, unsigned>> announced;
  for (const ModelTensor &tensor : *tensors)
    announced.push_back(
        {tensor.name, tensor.entry ? 2u : unsigned(tensor.kept->shape.size())});
  if (factors)
    announced.push_back({"rope_freqs.weight", 1});
  if (Error error = writer.open(path, announced))
    return std::move(error);
  std::vector<ExportedTensor> results(tensors->size());
  for (auto [tensor, result] : llvm::zip(*tensors, results))
    if (Error error = writeTensor(writer, input, tensor, /*interleaved=*/!qwen,
                                  options, result))
      return std::move(error);
  if (factors) {
    auto *bytes = reinterpret_cast<const uint8_t *>(config.ropeFactors.data());
    if (Error error =
            writer.append(DType::F32, {int64_t(config.ropeFactors.size())},
                          llvm::ArrayRef(bytes, 4 * config.ropeFactors.size())))
      return std::move(error);
  }
  if (Error error = writer.commit())
    return std::move(error);
  return results;
}
