#include "KernelFrame.h"
using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;
void nv::buildPipelinedBody(Emitter &b, const MatmulSpec &spec,
                            const KernelFrame &frame) {
  llvm_unreachable("soon");
}
int64_t MatmulSpec::sharedBytes() const {
  return std::max(reductionBytes(*this),
                  residentColumns(*this) * options.tokens * 2);
}
