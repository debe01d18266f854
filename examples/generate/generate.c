/* generate.c: continues token ids with a model that `cq compile` made.
 *
 *   cq compile small/ -o libmodel.so
 *   cc -I. examples/generate/generate.c libmodel.so -lcq_runtime -lm \
 *      -o generate
 *   ./generate small/model.safetensors 32 1 403 407 261 378
 *
 * Prints the ids of the likeliest continuation; THREADS=n sets the threads,
 * TIMES=1 prints tokens per second.
 *
 * Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "libmodel.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

static int32_t likeliest(const float *logits) {
  int32_t best = 0;
  for (int32_t i = 1; i < MODEL_VOCABULARY; ++i)
    if (logits[i] > logits[best])
      best = i;
  return best;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s WEIGHTS COUNT TOKEN...\n", argv[0]);
    return 2;
  }
  const char *threads = getenv("THREADS");
  if (threads)
    model_set_threads(atoi(threads));
  cq_model *model = model_open(argv[1]);
  if (!model) {
    fprintf(stderr, "%s\n", model_error());
    return 1;
  }
  int count = atoi(argv[2]), given = argc - 3, status = 1;
  int32_t *tokens = malloc(given * sizeof *tokens);
  float *logits = malloc(MODEL_VOCABULARY * sizeof *logits);
  if (!tokens || !logits) {
    fprintf(stderr, "out of memory\n");
    goto done;
  }
  for (int i = 0; i < given; ++i)
    tokens[i] = atoi(argv[3 + i]);
  double start = now();
  if (model_prefill(model, tokens, given, logits)) {
    fprintf(stderr, "%s\n", model_error());
    goto done;
  }
  double prefilled = now();
  for (int i = 0; i < count; ++i) {
    int32_t next = likeliest(logits);
    printf("%d ", next);
    fflush(stdout);
    if (i + 1 < count && model_decode(model, next, logits)) {
      fprintf(stderr, "%s\n", model_error());
      goto done;
    }
  }
  printf("\n");
  if (getenv("TIMES"))
    fprintf(stderr, "prompt %.1f tokens/s, decode %.1f tokens/s\n",
            given / (prefilled - start),
            count > 1 ? (count - 1) / (now() - prefilled) : 0.0);
  status = 0;
done:
  free(logits);
  free(tokens);
  model_close(model);
  return status;
}
