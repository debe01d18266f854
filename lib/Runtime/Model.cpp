//===- Model.cpp - Models compiled ahead of time --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Model.h"
#include "cq/Runtime/Session.h"
#include "cq/Support/HugePages.h"
#include "cq/Support/TileRegisters.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlir::cq;

static thread_local std::string lastError;

extern "C" const char *cq_model_error(void) { return lastError.c_str(); }

//===----------------------------------------------------------------------===//
// The CPU
//===----------------------------------------------------------------------===//

static bool cpuHas(const char *name, size_t length) {
#if defined(__x86_64__) || defined(__i386__)
  // The builtin takes literals only.
#define CQ_CPU_FEATURE(text)                                                   \
  if (length == sizeof(text) - 1 && !std::memcmp(name, text, length))          \
    return __builtin_cpu_supports(text);
#include "cq/Runtime/CpuFeatures.def"
#undef CQ_CPU_FEATURE
#endif
  return false;
}

/// Tile registers are not the CPU's alone to give.
static bool mayUse(const char *name, size_t length) {
  return cpuHas(name, length) &&
         (std::strncmp(name, "amx-", 4) != 0 || requestTileRegisters());
}

extern "C" int cq_missing_features(const char *features, char *missing,
                                   int64_t size) {
  std::string list;
  int count = 0;
  for (const char *at = features; *at;) {
    size_t length = std::strcspn(at, " ");
    if (length && !mayUse(at, length)) {
      list += (count++ ? " " : "") + std::string(at, length);
    }
    at += length + (at[length] == ' ');
  }
  if (size > 0) {
    std::strncpy(missing, list.c_str(), size - 1);
    missing[size - 1] = 0;
  }
  return count;
}

//===----------------------------------------------------------------------===//
// The weights
//===----------------------------------------------------------------------===//

namespace {
/// A file mapped read-only.
class MappedFile {
public:
  ~MappedFile() {
    if (data)
      ::munmap(data, size);
  }
  /// Empty, or why it cannot be used.
  std::string map(const char *path, const cq_model_code &code);
  uint8_t *bytes() const { return static_cast<uint8_t *>(data); }

private:
  void *data = nullptr;
  size_t size = 0;
};
} // namespace

static uint64_t hashOf(const uint8_t *bytes, int64_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int64_t i = 0; i < count; ++i)
    hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

std::string MappedFile::map(const char *path, const cq_model_code &code) {
  std::string file = "weights file '" + std::string(path) + "'";
  int descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return "cannot open " + file + ": " + std::strerror(errno);
  struct stat status;
  std::string refusal;
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    refusal = file + " is not a regular file";
  else if (status.st_size != code.file_bytes)
    refusal = file + " has " + std::to_string(status.st_size) + " bytes and " +
              code.name + " was compiled for one of " +
              std::to_string(code.file_bytes) +
              "; give that file, or compile the model again";
  if (refusal.empty()) {
    size = static_cast<size_t>(status.st_size);
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
      data = nullptr;
      refusal = "cannot map " + file + ": " + std::strerror(errno);
    } else if (!readInHugePages(data, size)) {
      ::madvise(data, size, MADV_WILLNEED);
    }
  }
  ::close(descriptor);
  if (refusal.empty() && hashOf(bytes(), code.head_bytes) != code.head_hash)
    refusal = file + " holds other tensors than " + code.name +
              " was compiled for; give that model's file, or compile again";
  return refusal;
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

struct cq_model {
  const cq_model_code *code = nullptr;
  MappedFile weights;
  std::vector<void *> parameters;
  std::unique_ptr<Session> session;
  std::vector<float> hidden; ///< of the last token
};

/// Chooses `model.code`, or says why it cannot.
static std::string chooseCode(const cq_model_code &first, cq_model &model) {
  if (first.version != CQ_MODEL_CODE_VERSION)
    return std::string(first.name) + " was compiled for version " +
           std::to_string(first.version) + " of the runtime and this is " +
           std::to_string(CQ_MODEL_CODE_VERSION) + "; compile it again";
  char missing[256];
  std::string cpus;
  for (const cq_model_code *code = &first; code; code = code->next) {
    if (!cq_missing_features(code->features, missing, sizeof(missing))) {
      model.code = code;
      return "";
    }
    cpus += (cpus.empty() ? "'" : ", '") + std::string(code->cpu) + "'";
  }
  return std::string(first.name) + " was compiled for the CPU" +
         (first.next ? "s " : " ") + cpus + " and this one lacks " + missing +
         (first.next ? " of the last" : "") +
         "; compile it again here, or with a lower --target-cpu";
}

static std::string open(const cq_model_code &first, const char *weights,
                        cq_model &model) {
  std::string refusal = chooseCode(first, model);
  if (!refusal.empty())
    return refusal;
  const cq_model_code &code = *model.code;
  if (!weights)
    return "no weights file is given";
  refusal = model.weights.map(weights, code);
  if (!refusal.empty())
    return refusal;
  for (int64_t i = 0; i < code.num_parameters; ++i)
    model.parameters.push_back(model.weights.bytes() + code.offsets[i]);
  model.session = std::make_unique<Session>(
      std::vector<cq_chunk>(code.chunks, code.chunks + code.num_chunks),
      SessionShape{code.width, code.vocabulary, code.context, code.keys,
                   code.values},
      model.parameters.data());
  model.hidden.resize(code.width);
  return "";
}

extern "C" cq_model *cq_model_open(const cq_model_code *code,
                                   const char *weights) {
  try {
    auto model = std::make_unique<cq_model>();
    std::string refusal = open(*code, weights, *model);
    if (refusal.empty())
      return model.release();
    lastError = std::move(refusal);
  } catch (const std::bad_alloc &) {
    lastError = "out of memory";
  }
  return nullptr;
}

extern "C" void cq_model_close(cq_model *model) { delete model; }

extern "C" int cq_model_prefill(cq_model *model, const int32_t *tokens,
                                int64_t count, float *logits) {
  if (count < 1) {
    lastError = "there is no token to take; give one at least";
    return -1;
  }
  std::string refusal = model->session->refuse(tokens, count);
  if (!refusal.empty()) {
    lastError = std::move(refusal);
    return -1;
  }
  model->session->forward(tokens, count, model->hidden.data(),
                          /*onlyLast=*/true);
  model->session->logits(model->hidden.data(), 1, logits);
  return 0;
}

extern "C" int cq_model_decode(cq_model *model, int32_t token, float *logits) {
  return cq_model_prefill(model, &token, 1, logits);
}

extern "C" void cq_model_reset(cq_model *model) { model->session->reset(); }

extern "C" const char *cq_model_cpu(const cq_model *model) {
  return model->code->cpu;
}

extern "C" int64_t cq_model_position(const cq_model *model) {
  return model->session->position();
}
