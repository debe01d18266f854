/* What the tests of the C API check with. */
#ifndef CHECK_H
#define CHECK_H

#include "cq-c/CQ.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s is false; last error: %s\n", __FILE__,        \
              __LINE__, #condition, cqLastError());                            \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

/* The call fails, and the sentence has the word. */
#define FAILS(condition, word)                                                 \
  do {                                                                         \
    CHECK(condition);                                                          \
    CHECK(strstr(cqLastError(), word) != NULL);                                \
  } while (0)

/* The same numbers on every machine, in [-1, 1). */
static inline float *randomFloats(size_t count, unsigned seed) {
  float *values = (float *)malloc(count * sizeof *values);
  unsigned state = seed * 2654435761u + 1;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    values[i] = (float)(int)(state >> 8) / 8388608.0f - 1.0f;
  }
  return values;
}

#endif
