// RUN: %compile_c %s -o %t && %t
#include "Inputs/check.h"

static CqQuantizeInputs noInputs(void) {
  CqQuantizeInputs inputs;
  memset(&inputs, 0, sizeof inputs);
  inputs.struct_size = sizeof inputs;
  return inputs;
}

/* What was stored comes back from planes and from the other layout. */
static void roundTrip(int64_t n, int64_t k, const char *choice) {
  size_t count = (size_t)(n * k);
  float *w = randomFloats(count, 1);
  float *decoded = malloc(count * sizeof *decoded);
  float *again = malloc(count * sizeof *again);
  CqWeight weight = cqWeightQuantize(w, n, k, choice, NULL, NULL);
  CHECK(weight != NULL);
  CHECK(cqWeightRows(weight) == n && cqWeightColumns(weight) == k);
  CHECK(cqWeightDequantize(weight, decoded, count) == 0);
  double error = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    error += (double)(decoded[i] - w[i]) * (double)(decoded[i] - w[i]);
    size += (double)w[i] * (double)w[i];
  }
  CHECK(error < 0.2 * size);

  const uint8_t *planes[CQ_NUM_PLANES];
  size_t sizes[CQ_NUM_PLANES], total = 0;
  int64_t expected[CQ_NUM_PLANES];
  CHECK(cqWeightPlaneSizes(n, k, choice, NULL, expected) == 0);
  for (int plane = 0; plane < CQ_NUM_PLANES; ++plane) {
    planes[plane] = cqWeightPlane(weight, plane, &sizes[plane]);
    CHECK(planes[plane] != NULL);
    CHECK((int64_t)sizes[plane] == expected[plane]);
    total += sizes[plane];
  }
  double bits = 8.0 * (double)total / (double)count;
  CHECK(fabs(cqWeightBitsPerWeight(weight) - bits) < 1e-9);

  char *stored = cqWeightChoice(weight);
  CqWeight copy = cqWeightFromPlanes(n, k, stored, "panel16", planes, sizes);
  CHECK(copy != NULL);
  CHECK(cqWeightDequantize(copy, again, count) == 0);
  CHECK(memcmp(decoded, again, count * sizeof *again) == 0);
  CqWeight linear = cqWeightRelayout(copy, "linear");
  CHECK(linear != NULL);
  char *layout = cqWeightLayout(linear);
  CHECK(strcmp(layout, "linear") == 0);
  CHECK(cqWeightDequantize(linear, again, count) == 0);
  CHECK(memcmp(decoded, again, count * sizeof *again) == 0);

  /* One byte less of any plane, or another shape, is refused. */
  for (int plane = 0; plane < CQ_NUM_PLANES; ++plane) {
    if (!sizes[plane])
      continue;
    --sizes[plane];
    FAILS(!cqWeightFromPlanes(n, k, stored, NULL, planes, sizes), "bytes");
    ++sizes[plane];
  }
  FAILS(!cqWeightFromPlanes(n + 16, k, stored, NULL, planes, sizes), "bytes");
  cqStringFree(layout);
  cqStringFree(stored);
  cqWeightFree(linear);
  cqWeightFree(copy);
  cqWeightFree(weight);
  free(again);
  free(decoded);
  free(w);
}

/* Statistics reach the quantizer: errors move away from heavy columns. */
static void usesInputs(void) {
  enum { N = 16, K = 64 };
  float *w = randomFloats(N * K, 2), columns[K];
  double gram[K * (K + 1) / 2], *next = gram;
  for (int i = 0; i < K; ++i) {
    columns[i] = i < 8 ? 1000.0f : 0.01f;
    for (int j = i; j < K; ++j)
      *next++ = i == j ? (double)columns[i] : 0.0;
  }
  CqQuantizeInputs inputs = noInputs();
  double heavy[3];
  for (int round = 0; round < 3; ++round) {
    if (round == 1)
      inputs.column_weights = columns;
    if (round == 2)
      inputs.second_moments = gram;
    CqWeight weight = cqWeightQuantize(
        w, N, K, round == 2 ? "b2-g32/gptq" : "b2-g32/mse", NULL, &inputs);
    CHECK(weight != NULL);
    float decoded[N * K];
    CHECK(cqWeightDequantize(weight, decoded, N * K) == 0);
    heavy[round] = 0;
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < 8; ++j)
        heavy[round] += pow((double)(decoded[i * K + j] - w[i * K + j]), 2);
    cqWeightFree(weight);
  }
  CHECK(heavy[1] < 0.8 * heavy[0]);
  CHECK(heavy[2] < 0.8 * heavy[0]);
  free(w);
}

static void hostile(void) {
  float w[64] = {1};
  size_t size = 77;
  CqQuantizeInputs inputs = noInputs();
  FAILS(!cqWeightQuantize(NULL, 1, 64, "b3-g64", NULL, NULL), "NULL");
  FAILS(!cqWeightQuantize(w, 1, 64, NULL, NULL, NULL), "choice");
  FAILS(!cqWeightQuantize(w, 0, 64, "b3-g64", NULL, NULL), "row");
  FAILS(!cqWeightQuantize(w, 1, -64, "b3-g64", NULL, NULL), "column");
  FAILS(!cqWeightQuantize(w, INT64_MAX, INT64_MAX, "b3-g64", NULL, NULL),
        "2^40");
  FAILS(!cqWeightQuantize(w, INT64_MIN, 1, "b3-g64", NULL, NULL), "row");
  FAILS(!cqWeightQuantize(w, 1, 64, "b9-g64", NULL, NULL), "bits");
  FAILS(!cqWeightQuantize(w, 1, 64, "", NULL, NULL), "choice");
  FAILS(!cqWeightQuantize(w, 1, 64, "keep", NULL, NULL), "kept");
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64/magic", NULL, NULL), "magic");
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", "diagonal", NULL), "diagonal");
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64/gptq", NULL, NULL), "moments");
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64/element1-impact", NULL, NULL),
        "impact");
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64/element65-magnitude", NULL, NULL),
        "65");
  inputs.struct_size = 0;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, &inputs), "struct_size");
  inputs.struct_size = SIZE_MAX;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, &inputs), "struct_size");
  inputs = noInputs();
  float columns[64] = {-1};
  inputs.column_weights = columns;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, &inputs), "column_weights");
  columns[0] = NAN;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, &inputs), "column_weights");
  w[3] = NAN;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, NULL), "");
  w[3] = INFINITY;
  FAILS(!cqWeightQuantize(w, 1, 64, "b3-g64", NULL, NULL), "");
  w[3] = 0;

  CqWeight weight = cqWeightQuantize(w, 1, 64, "b3-g64", NULL, NULL);
  CHECK(weight != NULL);
  FAILS(!cqWeightPlane(weight, 6, &size), "plane");
  FAILS(!cqWeightPlane(weight, -1, &size), "plane");
  FAILS(!cqWeightPlane(weight, 0, NULL), "size");
  CHECK(size == 77); /* untouched */
  FAILS(cqWeightDequantize(weight, w, 63), "63");
  FAILS(cqWeightDequantize(weight, NULL, 64), "NULL");
  FAILS(!cqWeightRelayout(weight, NULL), "layout");
  FAILS(!cqWeightRelayout(weight, "x"), "layout");
  cqWeightFree(weight);

  FAILS(!cqWeightPlane(NULL, 0, &size), "NULL");
  FAILS(cqWeightDequantize(NULL, w, 64), "NULL");
  FAILS(!cqWeightRelayout(NULL, "linear"), "NULL");
  FAILS(!cqWeightChoice(NULL), "NULL");
  FAILS(!cqWeightLayout(NULL), "NULL");
  CHECK(cqWeightRows(NULL) == -1 && cqWeightColumns(NULL) == -1);
  CHECK(cqWeightBitsPerWeight(NULL) == -1);
  cqWeightFree(NULL);

  int64_t sizes[CQ_NUM_PLANES];
  FAILS(cqWeightPlaneSizes(16, 64, "b3-g64", NULL, NULL), "sizes");
  FAILS(cqWeightPlaneSizes(INT64_MAX, 2, "b3-g64", NULL, sizes), "2^40");
  FAILS(cqWeightPlaneSizes(1 << 20, 1 << 20, "b3-g64/column65536-magnitude",
                           NULL, sizes),
        "16-bit");
  CHECK(cqWeightPlaneSizes(1 << 20, 1 << 20, "b8-g32-affine-f32", NULL,
                           sizes) == 0);
  FAILS(!cqWeightFromPlanes(16, 64, "b3-g64", NULL, NULL, NULL), "NULL");
  const uint8_t *planes[CQ_NUM_PLANES] = {NULL};
  size_t wrong[CQ_NUM_PLANES] = {SIZE_MAX, SIZE_MAX};
  FAILS(!cqWeightFromPlanes(16, 64, "b3-g64", NULL, planes, wrong), "bytes");
  wrong[0] = 448;
  CHECK(cqWeightPlaneSizes(16, 64, "b3-g64", NULL, sizes) == 0);
  for (int i = 0; i < CQ_NUM_PLANES; ++i)
    wrong[i] = (size_t)sizes[i];
  FAILS(!cqWeightFromPlanes(16, 64, "b3-g64", NULL, planes, wrong), "NULL");

  CHECK(cqCherryCount("slot", 1.0 / 256, 576) == 1);
  FAILS(cqCherryCount("none", 0.5, 576) == -1, "form");
  FAILS(cqCherryCount("slot", 0, 576) == -1, "share");
  FAILS(cqCherryCount("slot", NAN, 576) == -1, "share");
  FAILS(cqCherryCount("slot", 0.5, 0) == -1, "column");
}

/* A cherry column outside the row, a row twice: refused before it is used. */
static void hostilePlanes(void) {
  enum { N = 32, K = 300 };
  float *w = randomFloats(N * K, 3);
  const char *choice = "b2-g64+rows=1/2:b4/element8-magnitude";
  CqWeight weight = cqWeightQuantize(w, N, K, choice, NULL, NULL);
  CHECK(weight != NULL);
  const uint8_t *planes[CQ_NUM_PLANES];
  size_t sizes[CQ_NUM_PLANES];
  for (int plane = 0; plane < CQ_NUM_PLANES; ++plane)
    planes[plane] = cqWeightPlane(weight, plane, &sizes[plane]);
  for (int plane = CQ_PLANE_CHERRY_COLUMNS; plane <= CQ_PLANE_ROW_ORDER;
       plane += 2) {
    uint8_t *bad = malloc(sizes[plane]);
    memset(bad, 0xff, sizes[plane]);
    const uint8_t *good = planes[plane];
    planes[plane] = bad;
    FAILS(!cqWeightFromPlanes(N, K, choice, NULL, planes, sizes),
          plane == CQ_PLANE_ROW_ORDER ? "order" : "cherries");
    planes[plane] = good;
    free(bad);
  }
  cqWeightFree(weight);
  free(w);
}

int main(void) {
  CHECK(cqApiVersion() == CQ_API_VERSION);
  CHECK(strstr(cqVersion(), "LLVM") != NULL);
  CHECK(strcmp(cqLastError(), "") == 0);
  roundTrip(33, 172, "b3-g64");
  roundTrip(16, 512, "b4-g128-affine-bf16/mse");
  roundTrip(48, 576, "b3-g64/slot1-magnitude");
  roundTrip(5, 100, "b8-row-symmetric-f32");
  roundTrip(64, 256, "b2-g32-half-step/element8-quant-error");
  roundTrip(64, 256, "b3-g128+rows=1/4:b5/slot2-magnitude");
  roundTrip(1, 1, "b6-g32");
  usesInputs();
  hostile();
  hostilePlanes();
  cqStringFree(NULL);
  return 0;
}
