//===- RaiseDequantMatmul.cpp - cq-raise-dequant-matmul -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArchiveBytes.h"
#include "DequantizedWeight.h"
#include "ONNXBlocks.h"
#include "ProductRewriter.h"
#include "WeightEvaluation.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQRAISEDEQUANTMATMUL
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

/// A product whose weight is decoded in front of it.
struct Candidate {
  WeightUse use;
  WeightForm form;
  Value root; ///< the decoded weight
};

struct RaiseDequantMatmul
    : cq::impl::CQRaiseDequantMatmulBase<RaiseDequantMatmul> {
  using CQRaiseDequantMatmulBase::CQRaiseDequantMatmulBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQRaiseDequantMatmulBase::getDependentDialects(registry);
    registry.insert<arith::ArithDialect, tensor::TensorDialect,
                    linalg::LinalgDialect>();
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    std::unique_ptr<ParameterArchive> archive;
    if (!parameters.empty()) {
      auto opened = ParameterArchive::open(parameters);
      if (!opened) {
        emitError(getOperation().getLoc())
            << llvm::toString(opened.takeError());
        return signalPassFailure();
      }
      archive = std::move(*opened);
      declareParameters(getOperation(), *archive);
    }
    numExpanded +=
        expandONNXBlocks(getOperation(), [&](Operation *op, StringRef why) {
          ++numLeft;
          emitRemark(op->getLoc()) << "a product of ONNX stays: " << why;
        });
    SymbolTable symbols(getOperation());
    std::vector<Candidate> candidates;
    getOperation()->walk([&](WeightConsumerOpInterface op) {
      if (std::optional<Candidate> candidate = match(op))
        candidates.push_back(std::move(*candidate));
    });
    for (Candidate &candidate : candidates)
      raise(candidate, symbols, archive.get());
    eraseDead();
  }

private:
  std::optional<Candidate> match(WeightConsumerOpInterface op) {
    for (const WeightConsumption &c : op.getWeightConsumptions()) {
      FailureOr<WeightDims> dims = getOperandDims(c);
      if (failed(dims))
        continue;
      WeightLeaf leaf =
          WeightTracing::traceLocally(op->getOperand(c.weightOperand), *dims);
      if (!isDequantization(leaf.root))
        continue;
      std::string why;
      FailureOr<WeightForm> form = getWeightForm(c, leaf.dims, why);
      if (failed(form) || form->batch != 1) {
        leave(op, failed(form) ? why : "it is a stack of matrices");
        continue;
      }
      return Candidate{{op, c, {}}, *form, leaf.root};
    }
    return std::nullopt;
  }

  void leave(Operation *op, const Twine &why) {
    ++numLeft;
    emitRemark(op->getLoc())
        << "'" << op->getName()
        << "' keeps the weight that is decoded in front of it: " << why;
  }

  void raise(Candidate &candidate, const SymbolTable &symbols,
             const ParameterArchive *archive) {
    Operation *op = candidate.use.op;
    const WeightForm &form = candidate.form;
    auto weight = readDequantized(candidate.root, symbols, archive);
    if (!weight)
      return leave(op, llvm::toString(weight.takeError()));
    auto quantized = makeQuantized(*weight, form.n, form.k, form.transposed);
    if (!quantized)
      return leave(op, llvm::toString(quantized.takeError()));
    PlanEntry entry;
    entry.n = form.n;
    entry.k = form.k;
    entry.scheme = quantized->scheme;
    PackedWeight packed = packWeight(*quantized, nullptr, entry.codeLayout());
    StringRef name = weight->name;
    name.consume_back(":codes");
    std::string base =
        name.empty() ? "weight" + std::to_string(numRaised) : name.str();

    OpBuilder b(candidate.root.getDefiningOp());
    auto constant = [&](StringRef plane, ArrayRef<uint8_t> bytes,
                        Type element) -> Value {
      auto type = RankedTensorType::get(
          {static_cast<int64_t>(bytes.size() * 8 /
                                element.getIntOrFloatBitWidth())},
          element);
      ArrayRef<char> data(reinterpret_cast<const char *>(bytes.data()),
                          bytes.size());
      auto value = DenseResourceElementsAttr::get(
          type, base + ":" + plane.str(),
          HeapAsmResourceBlob::allocateAndCopyWithAlign(data, 64));
      return arith::ConstantOp::create(b, op->getLoc(), value);
    };
    Type scale = entry.scheme.scaleType == ScaleType::F16 ? Type(b.getF16Type())
                 : entry.scheme.scaleType == ScaleType::BF16
                     ? Type(b.getBF16Type())
                     : Type(b.getF32Type());
    Planes planes;
    planes.codes = constant("codes", packed.codes, b.getI8Type());
    planes.scales = constant("scales", packed.scales, scale);
    if (entry.scheme.hasZeroPoints())
      planes.zeros = constant("zeros", packed.zeros, b.getI8Type());
    rewriteProduct(candidate.use, form, planes,
                   PlannedAttributes(&getContext(), entry),
                   ActivationMode::F32);
    ++numRaised;
  }

  /// Decoding that nobody reads any more, and its globals.
  void eraseDead() {
    bool changed = true;
    while (changed) {
      SmallVector<Operation *> dead;
      getOperation()->walk([&](Operation *op) {
        if (isOpTriviallyDead(op) ||
            (isa<ml_program::GlobalLoadOp>(op) && op->use_empty()))
          dead.push_back(op);
      });
      for (Operation *op : dead)
        op->erase();
      changed = !dead.empty();
    }
  }
};

} // namespace
