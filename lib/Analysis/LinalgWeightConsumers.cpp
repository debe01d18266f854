//===- LinalgWeightConsumers.cpp - Which linalg ops read a weight ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/WeightConsumer.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/DialectRegistry.h"

using namespace mlir;
using namespace mlir::cq;

#include "cq/Analysis/WeightConsumerInterface.cpp.inc"

static bool isFloatTensor(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && isa<FloatType>(tensor.getElementType()) &&
         tensor.getElementTypeBitWidth() <= 32;
}

/// Loop of each result of a projected permutation.
static std::optional<SmallVector<int64_t>> loopsOf(AffineMap map) {
  if (!map.isProjectedPermutation())
    return std::nullopt;
  SmallVector<int64_t> loops;
  for (unsigned i = 0; i < map.getNumResults(); ++i)
    loops.push_back(map.getDimPosition(i));
  return loops;
}

namespace {

/// Two inputs, products summed up: every contraction of linalg, generic or
/// named.
template <typename OpTy>
struct ContractionConsumer
    : WeightConsumerOpInterface::ExternalModel<ContractionConsumer<OpTy>,
                                               OpTy> {
  SmallVector<WeightConsumption, 2> getWeightConsumptions(Operation *op) const {
    auto linalgOp = cast<linalg::LinalgOp>(op);
    if (linalgOp.getNumDpsInputs() != 2 || linalgOp.getNumDpsInits() != 1 ||
        !linalgOp.hasPureTensorSemantics() ||
        !linalg::isaContractionOpInterface(linalgOp) ||
        !llvm::all_of(op->getOperandTypes(), isFloatTensor))
      return {};
    SmallVector<AffineMap> maps = linalgOp.getIndexingMapsArray();
    auto lhs = loopsOf(maps[0]), rhs = loopsOf(maps[1]), out = loopsOf(maps[2]);
    if (!lhs || !rhs || !out)
      return {};
    WeightConsumption base;
    base.resultLoops = *out;
    llvm::append_range(base.loopSizes, linalgOp.getStaticLoopRanges());
    for (utils::IteratorType type : linalgOp.getIteratorTypesArray())
      base.isReduction.push_back(type == utils::IteratorType::reduction);
    WeightConsumption right = base, left = base;
    right.weightOperand = 1, right.activationOperand = 0;
    right.weightLoops = *rhs, right.activationLoops = *lhs;
    left.weightOperand = 0, left.activationOperand = 1;
    left.weightLoops = *lhs, left.activationLoops = *rhs;
    return {right, left};
  }
};

/// A convolution whose kernel is one point is a product over channels. `image`
/// spatial dimensions; input [N, C, image…], kernel [F, C, 1…].
template <typename OpTy, unsigned image>
struct PointConvolutionConsumer
    : WeightConsumerOpInterface::ExternalModel<
          PointConvolutionConsumer<OpTy, image>, OpTy> {
  SmallVector<WeightConsumption, 2> getWeightConsumptions(Operation *op) const {
    auto conv = cast<OpTy>(op);
    if (!llvm::all_of(op->getOperandTypes(), isFloatTensor))
      return {};
    auto kernel = cast<RankedTensorType>(op->getOperand(1).getType());
    auto result = cast<RankedTensorType>(op->getOperand(2).getType());
    for (int64_t size : kernel.getShape().drop_front(2))
      if (size != 1)
        return {};
    for (int64_t stride : conv.getStrides().template getValues<int64_t>())
      if (stride != 1)
        return {};
    // Loops: 0 image number, 1 output channel, 2 … image, last input channel.
    WeightConsumption c;
    int64_t channel = 2 + image;
    c.weightOperand = 1, c.activationOperand = 0;
    c.weightLoops = {1, channel};
    c.weightLoops.append(image, WeightConsumption::kUnit);
    c.activationLoops = {0, channel};
    c.resultLoops = {0, 1};
    for (unsigned i = 0; i < image; ++i) {
      c.activationLoops.push_back(2 + i);
      c.resultLoops.push_back(2 + i);
    }
    llvm::append_range(c.loopSizes, result.getShape());
    c.loopSizes.push_back(kernel.getDimSize(1));
    c.isReduction.assign(2 + image, false);
    c.isReduction.push_back(true);
    return {c};
  }
};

} // namespace

template <typename... Ops>
static void attachContractions(MLIRContext *context) {
  (Ops::template attachInterface<ContractionConsumer<Ops>>(*context), ...);
}

void cq::registerLinalgWeightConsumers(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    attachContractions<
        linalg::MatmulOp, linalg::BatchMatmulOp, linalg::VecmatOp,
        linalg::MatvecOp, linalg::BatchVecmatOp, linalg::BatchMatvecOp,
        linalg::BatchReduceMatmulOp, linalg::ContractOp, linalg::GenericOp>(
        context);
    linalg::Conv1DNcwFcwOp::attachInterface<
        PointConvolutionConsumer<linalg::Conv1DNcwFcwOp, 1>>(*context);
    linalg::Conv2DNchwFchwOp::attachInterface<
        PointConvolutionConsumer<linalg::Conv2DNchwFchwOp, 2>>(*context);
  });
}
