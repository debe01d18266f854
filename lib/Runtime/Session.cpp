//===- Session.cpp - A text in a compiled language model ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Session.h"
#include "cq/Runtime/ChunkChoice.h"
#include <algorithm>
#include <cstdlib>
#include <new>

using namespace mlir::cq;

static float *allocate(int64_t count) {
  if (void *memory = std::calloc(count, sizeof(float)))
    return static_cast<float *>(memory);
  throw std::bad_alloc();
}

void Session::Free::operator()(float *memory) const { std::free(memory); }

Session::Session(std::vector<cq_chunk> list, const SessionShape &shape,
                 void **parameters)
    : chunks(std::move(list)), sizes(shape), parameters(parameters),
      keys(allocate(shape.keys)), values(allocate(shape.values)) {
  std::sort(
      chunks.begin(), chunks.end(),
      [](const cq_chunk &a, const cq_chunk &b) { return a.tokens < b.tokens; });
  for (const cq_chunk &chunk : chunks)
    chunkSizes.push_back(chunk.tokens);
  int64_t most = chunkSizes.back();
  padded.resize(most);
  inputs.resize(most * sizes.width);
  rows.resize(most * std::max(sizes.width, sizes.vocabulary));
}

const cq_chunk &Session::chooseChunk(int64_t remaining) const {
  return chunks[mlir::cq::chooseChunk(chunkSizes.data(), chunkSizes.size(),
                                      remaining)];
}

std::string Session::refuse(const int32_t *tokens, int64_t count) const {
  if (count > sizes.context - taken)
    return "the text needs " + std::to_string(taken + count) +
           " positions and the model was imported with --context=" +
           std::to_string(sizes.context);
  for (int64_t i = 0; i < count; ++i)
    if (tokens[i] < 0 || tokens[i] >= sizes.vocabulary)
      return "token " + std::to_string(tokens[i]) +
             " is outside the vocabulary of " +
             std::to_string(sizes.vocabulary);
  return "";
}

void Session::forward(const int32_t *tokens, int64_t count, float *hidden,
                      bool onlyLast) {
  for (int64_t done = 0; done < count;) {
    const cq_chunk *chunk = &chooseChunk(count - done);
    // A padded chunk may not reach past the end of the caches.
    while (taken + chunk->tokens > sizes.context && chunk != &chunks.front())
      --chunk;
    int64_t valid = std::min(chunk->tokens, count - done);
    std::copy_n(tokens + done, valid, padded.begin());
    std::fill(padded.begin() + valid, padded.end(), 0);
    chunk->forward(parameters, padded.data(), taken, keys.get(), values.get(),
                   rows.data());
    taken += valid;
    done += valid;
    if (!onlyLast)
      std::copy_n(rows.data(), valid * sizes.width,
                  hidden + (done - valid) * sizes.width);
    else if (done == count)
      std::copy_n(rows.data() + (valid - 1) * sizes.width, sizes.width, hidden);
  }
}

void Session::logits(const float *hidden, int64_t count, float *out) {
  for (int64_t done = 0; done < count;) {
    const cq_chunk &chunk = chooseChunk(count - done);
    int64_t valid = std::min(chunk.tokens, count - done);
    const float *source = hidden + done * sizes.width;
    float *target = out + done * sizes.vocabulary;
    if (valid == chunk.tokens) {
      chunk.logits(parameters, source, target);
    } else {
      std::copy_n(source, valid * sizes.width, inputs.begin());
      std::fill(inputs.begin() + valid * sizes.width, inputs.end(), 0.0f);
      chunk.logits(parameters, inputs.data(), rows.data());
      std::copy_n(rows.data(), valid * sizes.vocabulary, target);
    }
    done += valid;
  }
}
