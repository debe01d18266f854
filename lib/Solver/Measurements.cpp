//===- Measurements.cpp - Measured losses as a file ---------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/Measurements.h"
#include "FieldReader.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace json = llvm::json;

static constexpr int64_t maxExtent = int64_t(1) << 31;

const double *MeasuredWeight::find(llvm::StringRef choice) const {
  for (const auto &[name, loss] : losses)
    if (name == choice)
      return &loss;
  return nullptr;
}

const MeasuredWeight *Measurements::find(llvm::StringRef weight) const {
  auto it = index.find(weight);
  return it == index.end() ? nullptr : &weights[it->second];
}

void Measurements::add(MeasuredWeight record) {
  auto [it, fresh] = index.try_emplace(record.weight, weights.size());
  if (fresh) {
    weights.push_back(std::move(record));
    return;
  }
  MeasuredWeight &held = weights[it->second];
  if (held.hash != record.hash || held.n != record.n || held.k != record.k) {
    held = std::move(record);
    return;
  }
  if (record.zd)
    held.zd = record.zd;
  for (const auto &fresh : record.losses) {
    auto same = llvm::find_if(held.losses, [&](const auto &pair) {
      return pair.first == fresh.first;
    });
    if (same != held.losses.end())
      same->second = fresh.second;
    else
      held.losses.push_back(fresh);
  }
}

void Measurements::add(MeasuredBlock record) {
  for (MeasuredBlock &held : blocks)
    if (held.block == record.block) {
      held = std::move(record);
      return;
    }
  blocks.push_back(std::move(record));
}

static json::Value toJSON(const MeasurementHeader &header) {
  return json::Object{{"cq_measurements", Measurements::version},
                      {"loss", header.loss},
                      {"statistics", header.statistics},
                      {"model", header.model}};
}

static json::Value toJSON(const MeasuredWeight &record) {
  json::Object losses;
  for (const auto &[choice, loss] : record.losses)
    losses[choice] = loss;
  json::Object object{{"weight", record.weight},
                      {"shape", json::Array{record.n, record.k}},
                      {"hash", record.hash},
                      {"losses", std::move(losses)}};
  if (record.zd)
    object["zd"] = *record.zd;
  return object;
}

static json::Value toJSON(const MeasuredBlock &record) {
  json::Array variables, matrix;
  for (const auto &[weight, choice] : record.variables)
    variables.push_back(json::Array{weight, choice});
  size_t size = record.variables.size();
  for (size_t row = 0; row < size; ++row)
    matrix.push_back(
        json::Array(llvm::ArrayRef(record.matrix).slice(row * size, size)));
  return json::Object{{"block", record.block},
                      {"variables", std::move(variables)},
                      {"matrix", std::move(matrix)}};
}

std::string Measurements::str() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << toJSON(header) << '\n';
  for (const MeasuredWeight &record : weights)
    os << toJSON(record) << '\n';
  for (const MeasuredBlock &record : blocks)
    os << toJSON(record) << '\n';
  return text;
}

static llvm::Error readHeader(const json::Object &object,
                              const std::string &where,
                              MeasurementHeader &header) {
  auto version = object.getInteger("cq_measurements");
  if (!version)
    return llvm::createStringError(
        where + " is no measurement file: it has no field 'cq_measurements'");
  if (*version != Measurements::version)
    return llvm::createStringError(llvm::formatv(
        "{0} has version {1} and this cq reads version {2}; measure anew",
        where, *version, Measurements::version));
  FieldReader fields(object, where);
  fields.ignore("cq_measurements");
  header.loss = fields.text("loss");
  header.statistics = fields.text("statistics");
  header.model = fields.text("model");
  return fields.finish();
}

static llvm::Expected<MeasuredWeight> readWeight(const json::Object &object,
                                                 const std::string &where) {
  FieldReader fields(object, where);
  MeasuredWeight record;
  record.weight = fields.text("weight");
  record.hash = fields.text("hash");
  if (const json::Array *shape = fields.array("shape")) {
    auto n = shape->size() == 2 ? (*shape)[0].getAsInteger() : std::nullopt;
    auto k = n ? (*shape)[1].getAsInteger() : std::nullopt;
    if (!k || *n <= 0 || *k <= 0 || *n > maxExtent || *k > maxExtent)
      fields.fail("needs a shape of two positive extents");
    else
      record.n = *n, record.k = *k;
  }
  if (fields.has("zd"))
    record.zd = fields.number("zd");
  if (const json::Object *losses = fields.child("losses")) {
    // In the order of names: JSON objects have none.
    for (const auto &[choice, value] : *losses) {
      auto number = value.getAsNumber();
      if (!number || !std::isfinite(*number)) {
        fields.fail("has a loss that is not a finite number");
        break;
      }
      record.losses.push_back({choice.str(), *number});
    }
    llvm::sort(record.losses);
  }
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return record;
}

static llvm::Expected<MeasuredBlock> readBlock(const json::Object &object,
                                               const std::string &where) {
  FieldReader fields(object, where);
  MeasuredBlock record;
  record.block = fields.text("block");
  const json::Array *variables = fields.array("variables");
  const json::Array *rows = fields.array("matrix");
  for (size_t i = 0; variables && i < variables->size(); ++i) {
    const json::Array *pair = (*variables)[i].getAsArray();
    auto weight =
        pair && pair->size() == 2 ? (*pair)[0].getAsString() : std::nullopt;
    auto choice = weight ? (*pair)[1].getAsString() : std::nullopt;
    if (!choice) {
      fields.fail("needs variables of the form [weight, choice]");
      break;
    }
    record.variables.push_back({weight->str(), choice->str()});
  }
  size_t size = record.variables.size();
  bool good = rows && rows->size() == size;
  for (size_t i = 0; good && i < size; ++i) {
    const json::Array *row = (*rows)[i].getAsArray();
    good = row && row->size() == size;
    for (size_t j = 0; good && j < size; ++j) {
      auto number = (*row)[j].getAsNumber();
      good = number && std::isfinite(*number);
      record.matrix.push_back(good ? *number : 0);
    }
  }
  for (size_t i = 0; good && i < size; ++i)
    for (size_t j = 0; good && j < i; ++j)
      good = record.matrix[i * size + j] == record.matrix[j * size + i];
  if (!good)
    fields.fail("needs a symmetric matrix of finite numbers, a row a variable");
  if (llvm::Error error = fields.finish())
    return std::move(error);
  return record;
}

llvm::Expected<Measurements> Measurements::parse(llvm::StringRef text,
                                                 llvm::StringRef origin) {
  Measurements result;
  for (size_t line = 1; !text.empty(); ++line) {
    auto [content, rest] = text.split('\n');
    std::string where =
        llvm::formatv("the measurements {0}, line {1}", origin, line);
    if (line > 1 && content.size() == text.size())
      break; // no line end: its writing was interrupted
    text = rest;
    auto value = parseBoundedJSON(content, where);
    if (!value)
      return value.takeError();
    const json::Object *object = value->getAsObject();
    if (!object)
      return llvm::createStringError(where + " is not an object");
    if (line == 1) {
      if (llvm::Error error = readHeader(*object, where, result.header))
        return std::move(error);
    } else if (object->get("block")) {
      auto record = readBlock(*object, where);
      if (!record)
        return record.takeError();
      result.add(std::move(*record));
    } else {
      auto record = readWeight(*object, where);
      if (!record)
        return record.takeError();
      result.add(std::move(*record));
    }
  }
  if (result.header.loss.empty())
    return llvm::createStringError("the measurements " + origin +
                                   " are empty; measure anew");
  return result;
}

llvm::Expected<Measurements> Measurements::read(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError("cannot read the measurements " + path +
                                   ": " + file.getError().message());
  return parse((*file)->getBuffer(), path);
}

llvm::Expected<std::unique_ptr<MeasurementWriter>>
MeasurementWriter::open(llvm::StringRef path, const MeasurementHeader &header) {
  std::unique_ptr<MeasurementWriter> writer(new MeasurementWriter(path));
  writer->held.header = header;
  if (llvm::sys::fs::exists(path)) {
    auto held = Measurements::read(path);
    if (!held)
      return held.takeError();
    if (!(held->header == header))
      return llvm::createStringError(
          "the measurements " + path +
          " were made with another kind of loss, model or statistics; give "
          "another file, or remove this one");
    writer->held = std::move(*held);
  }
  // Whole and without an interrupted line before anything is appended.
  if (llvm::Error error = writeFileAtomically(path, writer->held.str()))
    return std::move(error);
  std::error_code code;
  writer->out = std::make_unique<llvm::raw_fd_ostream>(
      path, code, llvm::sys::fs::CD_OpenExisting, llvm::sys::fs::FA_Write,
      llvm::sys::fs::OF_Append);
  if (code)
    return llvm::createStringError("cannot append to " + path + ": " +
                                   code.message());
  return std::move(writer);
}

MeasurementWriter::~MeasurementWriter() = default;

llvm::Error MeasurementWriter::appendLine(json::Value value) {
  // One write a line: what another reader sees is whole.
  *out << llvm::formatv("{0}\n", value).str();
  out->flush();
  if (!out->has_error())
    return llvm::Error::success();
  std::string message = out->error().message();
  out->clear_error();
  return llvm::createStringError("cannot append to " + path + ": " + message);
}

llvm::Error MeasurementWriter::append(MeasuredWeight record) {
  if (llvm::Error error = appendLine(toJSON(record)))
    return error;
  held.add(std::move(record));
  return llvm::Error::success();
}

llvm::Error MeasurementWriter::append(MeasuredBlock record) {
  if (llvm::Error error = appendLine(toJSON(record)))
    return error;
  held.add(std::move(record));
  return llvm::Error::success();
}

llvm::Error MeasurementWriter::finish() {
  out.reset();
  return writeFileAtomically(path, held.str());
}
