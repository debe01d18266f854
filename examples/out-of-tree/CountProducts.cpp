// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A pass over the cq dialect: a remark for each product with a packed weight,
// and the weights and bytes of all of them.

#include "CountProducts.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace {
struct CountProducts : PassWrapper<CountProducts, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountProducts)
  StringRef getArgument() const override { return "my-count-products"; }
  StringRef getDescription() const override {
    return "Says which packed weights the module multiplies";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<cq::CQDialect>();
  }

  void runOnOperation() override {
    int64_t products = 0, weights = 0, bytes = 0;
    getOperation()->walk([&](cq::MatmulOp op) {
      // The codec knows what a scheme is and how many bytes a layout takes.
      cq::Scheme scheme = op.getScheme().getScheme();
      cq::CherrySpec cherries;
      if (auto attribute = op.getCherries())
        cherries = attribute->getSpec();
      cq::PlaneBytes planes = cq::planeBytes(
          op.getN(), op.getK(), scheme, op.getLayout().getLayout(), cherries);
      op.emitRemark() << "product with a weight [" << op.getN() << ", "
                      << op.getK() << "] " << scheme.str();
      ++products;
      weights += op.getN() * op.getK();
      bytes += planes.total();
    });
    getOperation()->emitRemark() << products << " products, " << weights
                                 << " weights, " << bytes << " bytes";
  }
};
} // namespace

void registerCountProducts() { PassRegistration<CountProducts>(); }
