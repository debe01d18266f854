// RUN: %compile_c %s -o %t && %t %t.mlir
#include "Inputs/check.h"

/* A layer with a weight of 64 x 32 ones; the zeros become its digits. */
static const char head[] =
    "func.func @f(%x: tensor<4x64xf32>, %y: tensor<4x32xf32>)"
    " -> tensor<4x32xf32> {\n"
    "  %w = arith.constant dense_resource<w> : tensor<64x32xf32>\n"
    "  %0 = linalg.matmul ins(%x, %w : tensor<4x64xf32>, tensor<64x32xf32>)"
    " outs(%y : tensor<4x32xf32>) -> tensor<4x32xf32>\n"
    "  return %0 : tensor<4x32xf32>\n}\n"
    "{-# dialect_resources: { builtin: { w: \"0x04000000";

static char *makeText(void) {
  char *text = malloc(sizeof head + 64 * 32 * 8 + 32), *end = text;
  end += sprintf(end, "%s", head);
  for (int i = 0; i < 64 * 32; ++i)
    end += sprintf(end, "0000803f");
  sprintf(end, "\" } } #-}\n");
  return text;
}

struct Seen {
  int errors, others;
  char location[200], message[200];
};

static void see(CqSeverity severity, const char *location, const char *message,
                void *user) {
  struct Seen *seen = user;
  if (severity == CQ_SEVERITY_ERROR)
    ++seen->errors;
  else
    ++seen->others;
  snprintf(seen->location, sizeof seen->location, "%s", location);
  snprintf(seen->message, sizeof seen->message, "%s", message);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  char *text = makeText();
  CqContext context = cqContextCreate();
  CHECK(context != NULL);
  CqModule module = cqModuleParse(context, text, strlen(text));
  CHECK(module != NULL);
  /* The module outlives the handle of its context. */
  CHECK(cqModuleRunPipeline(module, "cq-quantize{bits=3}") == 0);
  char *printed = cqModulePrint(module, 0), *generic = cqModulePrint(module, 1);
  CHECK(strstr(printed, "cq.matmul") && !strstr(printed, "linalg.matmul"));
  CHECK(strstr(generic, "\"cq.matmul\""));

  /* Bytecode and text give the same module, also at an odd address. */
  size_t length = 0;
  char *bytes = cqModuleWriteBytecode(module, &length);
  CHECK(bytes != NULL && length > 100);
  char *shifted = malloc(length + 1);
  memcpy(shifted + 1, bytes, length);
  CqModule again = cqModuleParse(NULL, shifted + 1, length);
  CHECK(again != NULL);
  char *reprinted = cqModulePrint(again, 0);
  CHECK(strcmp(printed, reprinted) == 0);
  for (size_t cut = 0; cut < length; cut += 7) {
    CqModule part = cqModuleParse(NULL, bytes, cut);
    cqModuleFree(part); /* no crash; an empty text is an empty module */
  }
  FILE *file = fopen(argv[1], "wb");
  CHECK(file != NULL);
  fwrite(bytes, 1, length, file);
  fclose(file);
  CqModule read = cqModuleRead(context, argv[1]);
  CHECK(read != NULL);
  cqModuleFree(read);
  free(shifted);

  /* Both spellings of a pipeline. */
  CHECK(cqModuleRunPipeline(again, "builtin.module(canonicalize,cse)") == 0);
  CHECK(cqModuleRunPipeline(again, " func.func(canonicalize) ") == 0);

  struct Seen seen = {0, 0, "", ""};
  CHECK(cqContextSetDiagnosticHandler(context, see, &seen) == 0);
  FAILS(!cqModuleParse(context, "func.func @f(", 13), "expected");
  CHECK(seen.errors == 1 && strstr(seen.message, "expected"));
  CHECK(strstr(seen.location, ":1:"));
  const char foreign[] = "\"other.op\"() : () -> ()";
  FAILS(!cqModuleParse(context, foreign, strlen(foreign)), "unregistered");
  CHECK(cqContextAllowUnregisteredDialects(context, 1) == 0);
  CqModule opaque = cqModuleParse(context, foreign, strlen(foreign));
  CHECK(opaque != NULL);
  cqModuleFree(opaque);
  CHECK(cqContextEnableMultithreading(context, 0) == 0);
  seen.errors = 0;
  CqModule fresh = cqModuleParse(context, text, strlen(text));
  CHECK(fresh != NULL);
  FAILS(cqModuleRunPipeline(fresh, "cq-quantize{bits=9}"), "bits");
  CHECK(seen.errors > 0);
  cqModuleFree(fresh);
  CHECK(cqContextSetDiagnosticHandler(context, NULL, NULL) == 0);

  FAILS(cqModuleRunPipeline(again, "no-such-pass"), "no-such-pass");
  FAILS(cqModuleRunPipeline(again, "builtin.module(no-such-pass)"),
        "no-such-pass");
  FAILS(cqModuleRunPipeline(again, "cq-quantize{"), "");
  FAILS(cqModuleRunPipeline(again, "cq-quantize{bits=x}"), "");
  FAILS(cqModuleRunPipeline(again, "builtin.module(((("), "");
  FAILS(cqModuleRunPipeline(again, NULL), "NULL");
  FAILS(cqModuleRunPipeline(NULL, "cse"), "NULL");
  FAILS(!cqModuleParse(NULL, NULL, 5), "NULL");
  cqModuleFree(cqModuleParse(NULL, "\0\0\0", 3)); /* white space to MLIR */
  FAILS(!cqModuleParse(NULL, "\1", 1), "");
  FAILS(!cqModuleRead(NULL, NULL), "NULL");
  FAILS(!cqModuleRead(NULL, "/no/such/file"), "/no/such/file");
  FAILS(!cqModulePrint(NULL, 0), "NULL");
  FAILS(!cqModuleWriteBytecode(NULL, &length), "NULL");
  FAILS(!cqModuleWriteBytecode(again, NULL), "NULL");
  FAILS(cqContextSetDiagnosticHandler(NULL, see, NULL), "NULL");
  FAILS(cqContextAllowUnregisteredDialects(NULL, 1), "NULL");
  FAILS(cqContextEnableMultithreading(NULL, 1), "NULL");

  cqContextFree(context);
  char *afterwards = cqModulePrint(module, 0);
  CHECK(strcmp(afterwards, printed) == 0);
  cqModuleFree(module);
  cqModuleFree(again);
  cqModuleFree(NULL);
  cqContextFree(NULL);
  cqStringFree(afterwards);
  cqStringFree(reprinted);
  cqStringFree(bytes);
  cqStringFree(generic);
  cqStringFree(printed);
  free(text);
  return 0;
}
