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
/// spatial dimensions; input [N, C, image…], kernel [F, C, 1…], or with the
/// channels last, input [N, image…, C], kernel [1…, C, F].
template <typename OpTy, unsigned image, bool channelsLast>
struct PointConvolutionConsumer
    : WeightConsumerOpInterface::ExternalModel<
          PointConvolutionConsumer<OpTy, image, channelsLast>, OpTy> {
  SmallVector<WeightConsumption, 2> getWeightConsumptions(Operation *op) const {
    auto conv = cast<OpTy>(op);
    if (!llvm::all_of(op->getOperandTypes(), isFloatTensor))
      return {};
    auto kernel = cast<RankedTensorType>(op->getOperand(1).getType());
    auto result = cast<RankedTensorType>(op->getOperand(2).getType());
    ArrayRef<int64_t> points = kernel.getShape();
    points = channelsLast ? points.drop_back(2) : points.drop_front(2);
    if (llvm::any_of(points, [](int64_t size) { return size != 1; }))
      return {};
    for (int64_t stride : conv.getStrides().template getValues<int64_t>())
      if (stride != 1)
        return {};
    // Loops: 0 image number, 1 output channel, 2 … image, last input channel.
    WeightConsumption c;
    int64_t channel = 2 + image;
    SmallVector<int64_t> units(image, WeightConsumption::kUnit), positions;
    for (unsigned i = 0; i < image; ++i)
      positions.push_back(2 + i);
    c.weightOperand = 1, c.activationOperand = 0;
    c.activationLoops = {0};
    c.resultLoops = {0};
    if (channelsLast) {
      c.weightLoops = units;
      c.weightLoops.append({channel, 1});
      c.activationLoops.append(positions);
      c.activationLoops.push_back(channel);
      c.resultLoops.append(positions);
      c.resultLoops.push_back(1);
    } else {
      c.weightLoops = {1, channel};
      c.weightLoops.append(units);
      c.activationLoops.push_back(channel);
      c.activationLoops.append(positions);
      c.resultLoops.push_back(1);
      c.resultLoops.append(positions);
    }
    c.loopSizes.assign(3 + image, 1);
    for (auto [loop, size] : llvm::zip_equal(c.resultLoops, result.getShape()))
      c.loopSizes[loop] = size;
    c.loopSizes[channel] = kernel.getDimSize(channelsLast ? image : 1);
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

template <typename OpTy, unsigned image, bool channelsLast>
static void attachPointConvolution(MLIRContext *context) {
  OpTy::template attachInterface<
      PointConvolutionConsumer<OpTy, image, channelsLast>>(*context);
}

void cq::registerLinalgWeightConsumers(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    attachContractions<
        linalg::MatmulOp, linalg::BatchMatmulOp, linalg::VecmatOp,
        linalg::MatvecOp, linalg::BatchVecmatOp, linalg::BatchMatvecOp,
        linalg::BatchReduceMatmulOp, linalg::ContractOp, linalg::GenericOp>(
        context);
    attachPointConvolution<linalg::Conv1DNcwFcwOp, 1, false>(context);
    attachPointConvolution<linalg::Conv2DNchwFchwOp, 2, false>(context);
    attachPointConvolution<linalg::Conv1DNwcWcfOp, 1, true>(context);
    attachPointConvolution<linalg::Conv2DNhwcHwcfOp, 2, true>(context);
  });
}
