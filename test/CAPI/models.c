// The verbs of the tool as functions: the same files, the same tokens.
//
// REQUIRES: shared-data, avx2
// RUN: rm -rf %t && mkdir -p %t
// RUN: %compile_c %s -o %t/models
// RUN: env CQ_CACHE_DIR=%t/cache %t/models %shared/data %t > %t/c.txt
// RUN: env CQ_CACHE_DIR=%t/cache cq run %t/m3 --prompt="Once upon a time" \
// RUN:   --max-tokens=24 --temperature=0.8 --seed=7 --print-tokens > %t/run.txt
// RUN: diff -w %t/c.txt %t/run.txt
// RUN: cq quantize %t/m.mlir --bits=3 -o %t/m3.tool
// RUN: diff -r %t/m3 %t/m3.tool
#include "Inputs/check.h"

static int show(int32_t token, void *user) {
  int *shown = user;
  ++*shown;
  printf("%d ", (int)token);
  return 0;
}

static int stopAtOnce(int32_t token, void *user) {
  (void)token;
  ++*(int *)user;
  return 1;
}

static char *pathOf(const char *folder, const char *name) {
  char *path = malloc(strlen(folder) + strlen(name) + 2);
  sprintf(path, "%s/%s", folder, name);
  return path;
}

static void archive(const char *path) {
  CqArchive file = cqArchiveOpen(path);
  CHECK(file != NULL);
  int64_t tensors = cqArchiveSize(file), shape[2];
  CHECK(tensors > 10);
  CHECK(cqArchiveName(file, 0) != NULL);
  CHECK(strcmp(cqArchiveType(file, 0), "F32") == 0);
  CHECK(cqArchiveShape(file, 0, NULL, 0) == 2);
  CHECK(cqArchiveShape(file, 0, shape, 2) == 2);
  size_t count = (size_t)(shape[0] * shape[1]);
  float *values = malloc(count * sizeof *values);
  CHECK(cqArchiveRead(file, 0, values, count) == 0);
  CHECK(isfinite(values[0]) && isfinite(values[count - 1]));
  FAILS(cqArchiveRead(file, 0, values, count - 1), "elements");
  FAILS(cqArchiveRead(file, tensors, values, count), "no tensor");
  FAILS(cqArchiveRead(file, 0, NULL, count), "NULL");
  FAILS(!cqArchiveName(file, -1), "no tensor");
  FAILS(cqArchiveShape(file, 0, NULL, 2) == -1, "NULL");
  free(values);
  cqArchiveFree(file);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  char *checkpoint = pathOf(argv[1], "stories260K.bin"),
       *tokenizer = pathOf(argv[1], "stories260K.tokenizer.bin"),
       *module = pathOf(argv[2], "m.mlir"), *folder = pathOf(argv[2], "m3"),
       *library = pathOf(argv[2], "libm3.so"),
       *object = pathOf(argv[2], "m3.o"), *header = pathOf(argv[2], "m3.h");
  archive(checkpoint);
  CHECK(cqImportModel(checkpoint, tokenizer, 0, module) == 0);
  CHECK(cqQuantizeModel(module, "bits=3", folder, 0) == 0);
  FAILS(cqQuantizeModel(module, "bits=3", folder, 0), "exists");
  FAILS(cqQuantizeModel(module, "bits=7", folder, 1), "bits");
  FAILS(cqQuantizeModel(module, "bits=3},cse{", folder, 1), "braces");

  CqModel model = cqModelLoad(folder, NULL);
  CHECK(model != NULL);
  int64_t vocabulary = cqModelVocabulary(model);
  CHECK(vocabulary == 512 && cqModelContext(model) == 512);

  int32_t tokens[64];
  const char *prompt = "Once upon a time";
  int64_t count = cqModelEncode(model, prompt, strlen(prompt), 1, tokens, 64);
  CHECK(count > 2 && count < 64);
  CHECK(cqModelEncode(model, prompt, strlen(prompt), 1, NULL, 0) == count);
  size_t length = 0;
  char *text = cqModelDecodeText(model, tokens, (size_t)count, &length);
  CHECK(text && strstr(text, prompt) && strlen(text) == length);
  cqStringFree(text);

  /* Token by token, at once, and all rows at once: the same numbers. */
  size_t row = (size_t)vocabulary;
  float *one = malloc(row * sizeof *one), *all = malloc(row * sizeof *all);
  float *rows = malloc((size_t)count * row * sizeof *rows);
  CHECK(cqModelPrefill(model, tokens, (size_t)count, all) == 0);
  CHECK(cqModelPosition(model) == count);
  CHECK(cqModelReset(model) == 0 && cqModelPosition(model) == 0);
  CHECK(cqModelScore(model, tokens, (size_t)count, rows) == 0);
  cqModelReset(model);
  for (int64_t i = 0; i < count; ++i)
    CHECK(cqModelDecode(model, tokens[i], one) == 0);
  for (size_t i = 0; i < row; ++i) {
    CHECK(fabs((double)(one[i] - all[i])) < 1e-3);
    CHECK(fabs((double)(rows[((size_t)count - 1) * row + i] - all[i])) < 1e-3);
  }

  int64_t positions = 0;
  int32_t many[300];
  for (int i = 0; i < 300; ++i)
    many[i] = tokens[i % count];
  double perplexity = cqModelPerplexity(model, many, 300, 100, &positions);
  CHECK(perplexity > 1 && perplexity < 1e5 && positions == 3 * 99);

  cqModelReset(model);
  CqGenerateOptions options = {sizeof options, 24, 0.8, 0, 0, 7};
  int shown = 0, stopped = 0;
  CHECK(cqModelGenerate(model, tokens, (size_t)count, &options, show, &shown) ==
        0);
  printf("\n");
  CHECK(shown == 24);
  cqModelReset(model);
  CHECK(cqModelGenerate(model, tokens, (size_t)count, &options, stopAtOnce,
                        &stopped) == 0);
  CHECK(stopped == 1);
  cqModelReset(model);

  CHECK(cqCompileModel(folder, library, NULL, NULL, NULL) == 0);
  CHECK(cqCompileModel(folder, object, "tiny", "haswell", "f32") == 0);
  FILE *file = fopen(header, "r");
  CHECK(file != NULL);
  fclose(file);

  int32_t wrong = (int32_t)vocabulary, negative = -1;
  FAILS(cqModelDecode(model, wrong, one), "vocabulary");
  FAILS(cqModelDecode(model, negative, one), "vocabulary");
  FAILS(cqModelDecode(NULL, 1, one), "NULL");
  FAILS(cqModelDecode(model, 1, NULL), "NULL");
  FAILS(cqModelPrefill(model, tokens, 0, one), "no tokens");
  FAILS(cqModelPrefill(model, tokens, SIZE_MAX, one), "context");
  FAILS(cqModelPrefill(model, NULL, 1, one), "NULL");
  CHECK(cqModelPosition(model) == 0);
  FAILS(isnan(cqModelPerplexity(model, many, 300, 1, NULL)), "window");
  FAILS(isnan(cqModelPerplexity(model, many, 300, 513, NULL)), "window");
  FAILS(isnan(cqModelPerplexity(model, many, 50, 100, NULL)), "window");
  many[299] = -5;
  FAILS(isnan(cqModelPerplexity(model, many, 300, 100, NULL)), "-5");
  options.max_tokens = 0;
  FAILS(cqModelGenerate(model, tokens, 1, &options, show, NULL), "max_tokens");
  options.max_tokens = 1;
  options.temperature = NAN;
  FAILS(cqModelGenerate(model, tokens, 1, &options, show, NULL), "temperature");
  FAILS(cqModelGenerate(model, tokens, 1, &options, NULL, NULL), "handler");
  FAILS(cqModelGenerate(model, tokens, 1, NULL, show, NULL), "options");
  FAILS(!cqModelDecodeText(model, &wrong, 1, &length), "vocabulary");
  FAILS(!cqModelFormatChat(model, "Hello", NULL), "chat");
  CHECK(cqModelIsEnd(model, wrong) == -1 && cqModelIsEnd(NULL, 0) == -1);
  FAILS(!cqModelLoad(NULL, NULL), "NULL");
  FAILS(!cqModelLoad("/no/such/folder", NULL), "/no/such/folder");
  FAILS(!cqModelLoad(folder, "int4"), "int4");
  FAILS(cqImportModel("/no/such/file", NULL, 0, module), "/no/such/file");
  FAILS(cqImportModel(checkpoint, NULL, -1, module), "positions");
  FAILS(cqImportModel(checkpoint, NULL, 0, NULL), "NULL");
  FAILS(cqImportModel(checkpoint, NULL, 0, "/no/such/folder/m.mlir"),
        "/no/such/folder");
  FAILS(cqQuantizeModel("/no/such/file", NULL, folder, 1), "/no/such/file");
  FAILS(cqQuantizeModel(module, NULL, NULL, 1), "NULL");
  FAILS(cqQuantizeModel(module, NULL, "", 1), "empty");
  FAILS(cqCompileModel(folder, "m3.dll", NULL, NULL, NULL), "m3.dll");
  FAILS(cqCompileModel(folder, object, "2x y", NULL, NULL), "2x y");
  FAILS(cqCompileModel(folder, object, NULL, "pentium", NULL), "pentium");
  FAILS(!cqArchiveOpen("/no/such/file"), "/no/such/file");
  FAILS(!cqArchiveOpen(NULL), "NULL");
  CHECK(cqArchiveSize(NULL) == -1);
  cqArchiveFree(NULL);
  cqModelFree(NULL);
  cqModelFree(model);
  free(rows);
  free(all);
  free(one);
  free(header);
  free(object);
  free(library);
  free(folder);
  free(module);
  free(tokenizer);
  free(checkpoint);
  return 0;
}
