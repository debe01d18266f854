/*===- trace-launches.c - Where a token's time goes, launch by launch ------===
 *
 * Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===
 *
 * Stands in front of the runtime's cq_parallel_for in a program that links
 * libcq_runtime.so (examples/generate), and prints at its end, for each kind of
 * launch (code and number of tasks) that came 50 times: how often, its mean
 * time, and the mean time between the launch before it and its begin, in which
 * one thread works alone.
 *
 *   cc -O2 -shared -fPIC benchmarks/speed/trace-launches.c -o trace.so
 *   LD_PRELOAD=./trace.so THREADS=2 ./generate model.safetensors 160 1 403 407
 *
 * For one caller: launches from several threads at once are not told apart.
 *===----------------------------------------------------------------------===*/

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void (*Body)(void *, int64_t, int64_t);
typedef struct {
  Body body;
  int64_t tasks;
  long count;
  double inside, before;
} Kind;

enum { kMostKinds = 1024 };
static Kind kinds[kMostKinds];
static int numKinds;
static double lastEnd;

static double microseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void report(void) {
  fprintf(stderr, "%8s %8s %10s %10s %12s %12s\n", "tasks", "count", "us",
          "us before", "total ms", "before, ms");
  for (const Kind *k = kinds; k != kinds + numKinds; ++k)
    if (k->count >= 50)
      fprintf(stderr, "%8ld %8ld %10.2f %10.2f %12.1f %12.1f\n", (long)k->tasks,
              k->count, k->inside / k->count, k->before / k->count,
              k->inside / 1e3, k->before / 1e3);
}

static Kind *kindOf(Body body, int64_t tasks) {
  for (Kind *k = kinds; k != kinds + numKinds; ++k)
    if (k->body == body && k->tasks == tasks)
      return k;
  if (numKinds == kMostKinds)
    return NULL;
  kinds[numKinds] = (Kind){body, tasks, 0, 0, 0};
  return &kinds[numKinds++];
}

void cq_parallel_for(Body body, void *context, int64_t tasks) {
  static void (*launch)(Body, void *, int64_t);
  if (!launch) {
    launch =
        (void (*)(Body, void *, int64_t))dlsym(RTLD_NEXT, "cq_parallel_for");
    if (!launch) {
      fprintf(stderr, "trace-launches: no runtime behind this library\n");
      exit(1);
    }
    atexit(report);
  }
  double begin = microseconds();
  launch(body, context, tasks);
  double end = microseconds();
  Kind *kind = kindOf(body, tasks);
  if (kind) {
    ++kind->count;
    kind->inside += end - begin;
    if (lastEnd != 0)
      kind->before += begin - lastEnd;
  }
  lastEnd = end;
}
