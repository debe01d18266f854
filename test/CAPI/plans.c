// RUN: %compile_c %s -o %t && %t %t.json
#include "Inputs/check.h"

enum { N = 64, K = 256 };

static CqSolveOptions budget(double bits) {
  CqSolveOptions options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.bits_per_weight = bits;
  return options;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  /* One weight is hard to store (of few, large numbers), one is easy. */
  float *hard = randomFloats(N * K, 1), *easy = randomFloats(N * K, 2);
  for (int i = 0; i < N * K; ++i)
    hard[i] = hard[i] * hard[i] * hard[i] * hard[i] * hard[i];
  CqMeasurements measured = cqMeasurementsCreate(NULL, NULL);
  CHECK(measured != NULL);
  const char *choices = "b2-g64,b3-g64,b4-g64,b8-g64";
  CHECK(cqMeasurementsAdd(measured, "hard", hard, N, K, choices) == 0);
  CHECK(cqMeasurementsAdd(measured, "easy", easy, N, K, choices) == 0);
  CHECK(cqMeasurementsLoss(measured, "hard", "b3-g64") <
        cqMeasurementsLoss(measured, "hard", "b2-g64"));
  CHECK(isnan(cqMeasurementsLoss(measured, "hard", "b5-g64")));
  CHECK(isnan(cqMeasurementsLoss(measured, "other", "b3-g64")));

  CqSolveOptions options = budget(3.3);
  options.curve = 5;
  CqPlan plan = cqPlanSolve(measured, NULL, 0, &options);
  CHECK(plan != NULL);
  CHECK(cqPlanSize(plan) == 2 && cqPlanBitsPerWeight(plan) <= 3.3);
  char *choice = cqPlanChoice(plan, "hard");
  CHECK(strstr(choice, "b4-") || strstr(choice, "b3-"));
  cqStringFree(choice);

  /* The file holds it all. */
  CHECK(cqPlanWrite(plan, argv[1]) == 0);
  CqPlan again = cqPlanRead(argv[1]);
  CHECK(again != NULL);
  char *json = cqPlanPrint(plan), *rejson = cqPlanPrint(again);
  CHECK(strcmp(json, rejson) == 0 && strstr(json, "curve"));

  /* So do measurements as text. */
  char *lines = cqMeasurementsPrint(measured);
  CqMeasurements parsed = cqMeasurementsParse(lines, strlen(lines));
  CHECK(parsed != NULL);
  CqPlan same = cqPlanSolve(parsed, NULL, 0, &options);
  char *samejson = cqPlanPrint(same);
  CHECK(strcmp(json, samejson) == 0);
  FAILS(cqMeasurementsAdd(parsed, "hard", hard, N, K, choices), "read");

  /* Editing counts anew. */
  int64_t before = cqPlanBytes(plan);
  CHECK(cqPlanSetChoice(plan, "easy", "b8-g64/mse") == 0);
  CHECK(cqPlanBytes(plan) > before);
  choice = cqPlanChoice(plan, "easy");
  CHECK(strcmp(choice, "b8-g64-symmetric-f16/mse") == 0);
  cqStringFree(choice);
  CHECK(cqPlanSetChoice(plan, "hard", "keep") == 0);
  CqWeightFacts facts[3] = {
      {"hard", N, K, 0}, {"easy", N, K, 0}, {"head", N, K, 1}};
  CHECK(cqPlanVerify(plan, facts, 2) == 0);
  FAILS(cqPlanVerify(plan, facts, 3), "head");
  facts[1].n = 63;
  FAILS(cqPlanVerify(plan, facts, 2), "easy");
  facts[1].n = N;

  /* Outer weights need no measurement and stand outside of the budget. */
  CqPlan wide = cqPlanSolve(measured, facts, 3, &options);
  CHECK(wide != NULL);
  choice = cqPlanChoice(wide, "head");
  CHECK(strstr(choice, "b8-g64"));
  cqStringFree(choice);
  facts[2].is_outer = 0;
  FAILS(!cqPlanSolve(measured, facts, 3, &options), "head");

  CqSolveOptions bad = budget(1.0);
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "budget");
  bad = budget(0);
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "budget");
  bad = budget(NAN);
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "budget");
  bad = budget(1e300);
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "budget");
  bad = budget(3.3);
  bad.bytes = 5;
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "budget");
  bad = budget(3.3);
  bad.method = "guess";
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "guess");
  bad = budget(3.3);
  bad.keep = "nothing-like-this";
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "nothing-like-this");
  bad.keep = "(";
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "(");
  bad = budget(3.3);
  bad.override = "hard:nonsense";
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "nonsense");
  bad.override = "hard:b8-g64";
  bad.bits_per_weight = 6.5;
  CqPlan pinned = cqPlanSolve(measured, NULL, 0, &bad);
  CHECK(pinned != NULL);
  choice = cqPlanChoice(pinned, "hard");
  CHECK(strstr(choice, "b8-g64"));
  cqStringFree(choice);
  cqPlanFree(pinned);
  bad = budget(3.3);
  bad.floors = "hard";
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "hard");
  bad = budget(3.3);
  bad.curve = UINT32_MAX;
  FAILS(!cqPlanSolve(measured, NULL, 0, &bad), "curve");
  FAILS(!cqPlanSolve(NULL, NULL, 0, &options), "NULL");
  FAILS(!cqPlanSolve(measured, NULL, 0, NULL), "NULL");
  FAILS(!cqPlanSolve(measured, NULL, 5, &options), "weights");
  FAILS(!cqPlanSolve(measured, facts, SIZE_MAX, &options), "2^24");
  facts[0].name = NULL;
  FAILS(!cqPlanSolve(measured, facts, 1, &options), "name");

  FAILS(!cqMeasurementsCreate("guess", NULL), "guess");
  FAILS(!cqMeasurementsCreate("fisher", NULL), "statistics");
  FAILS(cqMeasurementsAdd(NULL, "w", hard, N, K, NULL), "NULL");
  FAILS(cqMeasurementsAdd(measured, NULL, hard, N, K, NULL), "NULL");
  FAILS(cqMeasurementsAdd(measured, "w", NULL, N, K, NULL), "NULL");
  FAILS(cqMeasurementsAdd(measured, "w", hard, 0, K, NULL), "row");
  FAILS(cqMeasurementsAdd(measured, "w", hard, N, K, ""), "choice");
  FAILS(cqMeasurementsAdd(measured, "w", hard, N, K, "b3-g64/gptq"), "w");
  hard[300] = NAN;
  FAILS(cqMeasurementsAdd(measured, "w", hard, N, K, "b3-g64"),
        "row 1, column 44");
  FAILS(!cqMeasurementsParse("{", 1), "");
  FAILS(!cqMeasurementsParse(NULL, 1), "NULL");
  FAILS(!cqMeasurementsRead("/no/such/file"), "/no/such/file");
  FAILS(!cqMeasurementsPrint(NULL), "NULL");
  FAILS(!cqPlanParse("[]", 2), "is not a plan");
  FAILS(!cqPlanParse(NULL, 2), "NULL");
  FAILS(!cqPlanRead("/no/such/file"), "/no/such/file");
  FAILS(cqPlanWrite(plan, "/no/such/folder/plan.json"), "/no/such/folder");
  FAILS(cqPlanSetChoice(plan, "other", "keep"), "other");
  FAILS(cqPlanSetChoice(plan, "hard", "b7"), "b7");
  FAILS(cqPlanSetChoice(plan, "hard", "b3/element999-magnitude"), "999");
  FAILS(!cqPlanChoice(plan, NULL), "NULL");
  FAILS(!cqPlanWeight(plan, 2), "2 weights");
  FAILS(!cqPlanWeight(plan, -1), "2 weights");
  CHECK(cqPlanSize(NULL) == -1 && cqPlanBytes(NULL) == -1);
  FAILS(!cqStatisticsOpen("/no/such/file"), "/no/such/file");
  FAILS(!cqStatisticsOpen(NULL), "NULL");
  CHECK(cqStatisticsHas(NULL, "w", 0) == -1);

  cqStatisticsFree(NULL);
  cqMeasurementsFree(NULL);
  cqPlanFree(NULL);
  cqPlanFree(wide);
  cqPlanFree(same);
  cqPlanFree(again);
  cqPlanFree(plan);
  cqStringFree(samejson);
  cqStringFree(lines);
  cqStringFree(rejson);
  cqStringFree(json);
  cqMeasurementsFree(parsed);
  cqMeasurementsFree(measured);
  free(hard);
  free(easy);
  return 0;
}
