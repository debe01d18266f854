// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CountProducts.h"
#include "cq/Pipelines/InitAll.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  mlir::cq::registerAllDialects(registry);
  mlir::cq::registerAllPasses();
  registerCountProducts();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "mlir-opt with cq and a pass of ours\n", registry));
}
