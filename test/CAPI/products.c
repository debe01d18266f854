// Kernels give what decoded weights give.
//
// REQUIRES: avx2
// RUN: %compile_c %s -o %t && env CQ_CACHE_DIR=%t.cache %t
#include "Inputs/check.h"

static void check(int64_t n, int64_t k, const char *choice,
                  const char *activation, double tolerance) {
  float *w = randomFloats((size_t)(n * k), 1);
  CqWeight weight = cqWeightQuantize(w, n, k, choice, NULL, NULL);
  CHECK(weight != NULL);
  CHECK(cqWeightDequantize(weight, w, (size_t)(n * k)) == 0);
  CqProduct product = cqProductCreate(weight, activation);
  CHECK(product != NULL);
  cqWeightFree(weight); /* the product has copies */
  for (int64_t m = 1; m <= 70; m += m < 3 ? 1 : 67) {
    float *x = randomFloats((size_t)(m * k), 2);
    float *y = malloc((size_t)(m * n) * sizeof *y);
    CHECK(cqProductRun(product, x, m, y) == 0);
    double error = 0, size = 0;
    for (int64_t r = 0; r < m; ++r)
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < k; ++j)
          sum += (double)x[r * k + j] * (double)w[i * k + j];
        error += pow(sum - (double)y[r * n + i], 2);
        size += sum * sum;
      }
    CHECK(error <= tolerance * tolerance * size);
    free(y);
    free(x);
  }
  cqProductFree(product);
  free(w);
}

int main(void) {
  check(64, 256, "b3-g64", NULL, 1e-5);
  check(33, 172, "b4-g32-affine-f16", "f32", 1e-5);
  check(48, 512, "b3-g128+rows=1/3:b4/slot1-magnitude", "f32", 1e-5);
  check(48, 512, "b2-g32-half-step/column3-magnitude", "f32", 1e-5);
  check(64, 256, "b3-g64/slot1-magnitude", "int8", 2e-2);

  float x[64] = {1}, y[16];
  float *w = randomFloats(16 * 64, 1);
  CqWeight weight = cqWeightQuantize(w, 16, 64, "b3-g64", NULL, NULL);
  CqWeight linear = cqWeightRelayout(weight, "linear");
  FAILS(!cqProductCreate(NULL, NULL), "NULL");
  FAILS(!cqProductCreate(weight, "int4"), "int4");
  FAILS(!cqProductCreate(linear, NULL), "panel16");
  CqProduct product = cqProductCreate(weight, NULL);
  CHECK(product != NULL);
  FAILS(cqProductRun(NULL, x, 1, y), "NULL");
  FAILS(cqProductRun(product, NULL, 1, y), "NULL");
  FAILS(cqProductRun(product, x, 1, NULL), "NULL");
  FAILS(cqProductRun(product, x, 0, y), "rows");
  FAILS(cqProductRun(product, x, INT64_MAX, y), "rows");
  x[5] = NAN;
  FAILS(cqProductRun(product, x, 1, y), "column 5");
  FAILS(cqSetThreads(-1), "threads");
  CHECK(cqSetThreads(1) == 0 && cqSetThreads(0) == 0);
  cqProductFree(product);
  cqProductFree(NULL);
  cqWeightFree(linear);
  cqWeightFree(weight);
  free(w);
  return 0;
}
