/* Prints the CPU whose code of a compiled model runs here. */
#include "libmodel.h"
#include <stdio.h>

int main(int argc, char **argv) {
  cq_model *model = model_open(argc > 1 ? argv[1] : NULL);
  puts(model ? model_cpu(model) : model_error());
  model_close(model);
  return !model;
}
