//===- RatioProblemJSON.cpp - Ratio problems as files -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FieldReader.h"
#include "cq/Solver/RatioProblem.h"

using namespace mlir::cq;
namespace json = llvm::json;

static constexpr int64_t maxCost = int64_t(1) << 53;

static llvm::Expected<RatioLayer> readLayer(const json::Value &value,
                                            std::string where) {
  const json::Object *object = value.getAsObject();
  if (!object)
    return llvm::createStringError(where + " is not an object");
  FieldReader fields(*object, where);
  RatioLayer layer;
  layer.name = fields.text("name");
  if (fields.has("weights"))
    layer.weights = fields.integer("weights", 0, maxCost);
  if (fields.has("floor"))
    layer.floor = fields.number("floor");
  if (fields.has("ceiling"))
    layer.ceiling = fields.number("ceiling");
  if (const json::Array *choices = fields.array("choices"))
    for (auto [index, item] : llvm::enumerate(*choices)) {
      std::string place = llvm::formatv("{0}, choice {1}", where, index);
      const json::Object *choice = item.getAsObject();
      if (!choice)
        return llvm::createStringError(place + " is not an object");
      FieldReader inner(*choice, place);
      RatioChoice read;
      read.cost = inner.integer("cost", 0, maxCost);
      read.loss = inner.number("loss");
      if (inner.has("bits"))
        read.bits = inner.number("bits");
      if (inner.has("label"))
        read.label = inner.text("label");
      if (llvm::Error error = inner.finish())
        return std::move(error);
      layer.choices.push_back(std::move(read));
    }
  if (fields.has("pin"))
    layer.pin = fields.integer("pin", 0, maxCost);
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return layer;
}

static bool readIndices(const json::Value &value, size_t limit,
                        std::vector<unsigned> &out) {
  const json::Array *array = value.getAsArray();
  if (!array)
    return false;
  for (const json::Value &item : *array) {
    auto index = item.getAsInteger();
    if (!index || *index < 0 || static_cast<uint64_t>(*index) >= limit)
      return false;
    out.push_back(*index);
  }
  return true;
}

template <typename T>
static bool readNumbers(const json::Array &array, std::vector<T> &out) {
  for (const json::Value &item : array) {
    auto number = item.getAsNumber();
    if (!number)
      return false;
    out.push_back(static_cast<T>(*number));
  }
  return true;
}

static llvm::Error readBlocks(FieldReader &fields, const std::string &where,
                              RatioProblem &problem) {
  if (!fields.has("blocks"))
    return llvm::Error::success();
  const json::Array *blocks = fields.array("blocks");
  for (size_t i = 0; blocks && i < blocks->size(); ++i) {
    const json::Object *object = (*blocks)[i].getAsObject();
    const json::Value *layers = object ? object->get("layers") : nullptr;
    RatioBlock block;
    if (!layers || !readIndices(*layers, problem.layers.size(), block.layers))
      return llvm::createStringError(llvm::formatv(
          "{0}: block {1} needs 'layers', a list of positions", where, i));
    FieldReader inner(*object, llvm::formatv("{0}: block {1}", where, i));
    inner.ignore("layers");
    if (inner.has("matrix"))
      if (const json::Array *rows = inner.array("matrix"))
        for (const json::Value &row : *rows)
          if (!row.getAsArray() || row.getAsArray()->size() != rows->size() ||
              !readNumbers(*row.getAsArray(), block.matrix))
            inner.fail("needs 'matrix', a list of rows of numbers");
    if (llvm::Error error = inner.finish())
      return error;
    problem.blocks.push_back(std::move(block));
  }
  return llvm::Error::success();
}

static llvm::Error readCouplings(FieldReader &fields, RatioProblem &problem) {
  if (fields.has("couplings"))
    if (const json::Array *items = fields.array("couplings"))
      for (const json::Value &item : *items) {
        const json::Array *five = item.getAsArray();
        RatioCoupling c;
        bool good = five && five->size() == 5;
        unsigned *targets[] = {&c.layerA, &c.choiceA, &c.layerB, &c.choiceB};
        for (auto [i, target] : llvm::enumerate(targets)) {
          auto index = good ? (*five)[i].getAsInteger() : std::nullopt;
          good = index && *index >= 0 && *index < (int64_t(1) << 31);
          *target = good ? *index : 0;
        }
        auto value = good ? (*five)[4].getAsNumber() : std::nullopt;
        if (!value) {
          fields.fail("needs couplings of the form [layer, choice, layer, "
                      "choice, value]");
          break;
        }
        c.value = *value;
        problem.couplings.push_back(c);
      }
  if (const json::Object *gram = fields.child("gram")) {
    problem.gram.emplace();
    const json::Array *vectors = gram->getArray("vectors");
    if (auto scale = gram->getNumber("scale"))
      problem.gram->scale = *scale;
    for (size_t i = 0; vectors && i < vectors->size(); ++i) {
      const json::Array *vector = (*vectors)[i].getAsArray();
      if (!vector || vector->empty() ||
          vector->size() != (*vectors)[0].getAsArray()->size() ||
          !readNumbers(*vector, problem.gram->vectors)) {
        fields.fail("needs vectors of one length in 'gram'");
        break;
      }
      problem.gram->dimension = vector->size();
    }
  }
  return llvm::Error::success();
}

llvm::Expected<RatioProblem> RatioProblem::fromJSON(const json::Value &value,
                                                    llvm::StringRef origin) {
  std::string where = ("the ratio problem " + origin).str();
  const json::Object *object = value.getAsObject();
  if (!object || object->getInteger("cq_ratio_problem") != int64_t(1))
    return llvm::createStringError(
        where + " has no field 'cq_ratio_problem' of value 1");
  FieldReader fields(*object, where);
  fields.ignore("cq_ratio_problem");
  RatioProblem problem;
  if (fields.has("budget"))
    problem.budget = fields.integer("budget", 0, maxCost);
  if (fields.has("offset"))
    problem.offset = fields.integer("offset", 0, maxCost);
  if (const json::Array *layers = fields.array("layers"))
    for (auto [index, item] : llvm::enumerate(*layers)) {
      auto layer =
          readLayer(item, llvm::formatv("{0}: layer {1}", where, index));
      if (!layer)
        return layer.takeError();
      problem.layers.push_back(std::move(*layer));
    }
  if (llvm::Error error = readBlocks(fields, where, problem))
    return std::move(error);
  if (fields.has("groups"))
    if (const json::Array *groups = fields.array("groups"))
      for (const json::Value &group : *groups)
        if (!readIndices(group, problem.layers.size(),
                         problem.groups.emplace_back()))
          fields.fail("needs groups that are lists of positions of layers");
  if (llvm::Error error = readCouplings(fields, problem))
    return std::move(error);
  if (llvm::Error error = fields.finish())
    return std::move(error);
  if (llvm::Error error = problem.check())
    return llvm::createStringError(where + ": " +
                                   llvm::toString(std::move(error)));
  return problem;
}

json::Value RatioProblem::toJSON() const {
  json::Object object{
      {"cq_ratio_problem", 1}, {"budget", budget}, {"offset", offset}};
  json::Array layerList, blockList, groupList;
  for (const RatioLayer &layer : layers) {
    json::Array choices;
    for (const RatioChoice &choice : layer.choices)
      choices.push_back(json::Object{{"label", choice.label},
                                     {"bits", choice.bits},
                                     {"cost", choice.cost},
                                     {"loss", choice.loss}});
    json::Object item{{"name", layer.name},
                      {"weights", layer.weights},
                      {"choices", std::move(choices)}};
    if (layer.pin)
      item["pin"] = *layer.pin;
    if (layer.floor != 0)
      item["floor"] = layer.floor;
    if (std::isfinite(layer.ceiling))
      item["ceiling"] = layer.ceiling;
    layerList.push_back(std::move(item));
  }
  for (const RatioBlock &block : blocks) {
    json::Object item{{"layers", json::Array(block.layers)}};
    if (!block.matrix.empty()) {
      size_t size = 0;
      for (unsigned layer : block.layers)
        size += layers[layer].choices.size();
      json::Array rows;
      for (size_t i = 0; i < size; ++i)
        rows.push_back(
            json::Array(llvm::ArrayRef(block.matrix).slice(i * size, size)));
      item["matrix"] = std::move(rows);
    }
    blockList.push_back(std::move(item));
  }
  for (const std::vector<unsigned> &group : groups)
    groupList.push_back(json::Array(group));
  object["layers"] = std::move(layerList);
  object["blocks"] = std::move(blockList);
  object["groups"] = std::move(groupList);
  if (!couplings.empty()) {
    json::Array list;
    for (const RatioCoupling &c : couplings)
      list.push_back(
          json::Array{c.layerA, c.choiceA, c.layerB, c.choiceB, c.value});
    object["couplings"] = std::move(list);
  }
  if (gram) {
    json::Array vectors;
    for (size_t i = 0; i < gram->vectors.size(); i += gram->dimension) {
      json::Array vector;
      for (int64_t d = 0; d < gram->dimension; ++d)
        vector.push_back(static_cast<double>(gram->vectors[i + d]));
      vectors.push_back(std::move(vector));
    }
    object["gram"] =
        json::Object{{"scale", gram->scale}, {"vectors", std::move(vectors)}};
  }
  return object;
}
