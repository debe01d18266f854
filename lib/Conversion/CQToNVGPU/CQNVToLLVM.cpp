//===- CQNVToLLVM.cpp - convert-cq-nv-to-llvm -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToNVGPU/CQToNVGPU.h"
#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/Conversion/ArithCommon/AttrToLLVMConverter.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/VectorPattern.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/NVGPUToNVVM/NVGPUToNVVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTCQNVTOLLVMPASS
#include "cq/Conversion/CQToNVGPU/CQToNVGPUPasses.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// Inline PTX that only computes: it may be moved, merged and dropped.
static Value pureAssembly(OpBuilder &b, Location loc, Type result,
                          ValueRange operands, StringRef text,
                          StringRef constraints) {
  return LLVM::InlineAsmOp::create(b, loc, result, operands, text, constraints,
                                   /*has_side_effects=*/false,
                                   /*is_align_stack=*/false,
                                   LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

namespace {

struct LowerLoadWeights : ConvertOpToLLVMPattern<nv::LoadWeightsOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::LoadWeightsOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    MemRefDescriptor plane(adaptor.getPlane());
    Value pointer = plane.alignedPtr(b, loc);
    pointer = LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(),
                                  pointer, adaptor.getByte());
    pointer = LLVM::AddrSpaceCastOp::create(
        b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1), pointer);
    // Not evict-first by name: before sm_100 only a policy can say it.
    Value policy = pureAssembly(b, loc, b.getI64Type(), {},
                                "createpolicy.fractional.L2::evict_first.b64 "
                                "$0, 1.0;",
                                "=l");
    int64_t count = op.getType().getNumElements();
    SmallVector<Type> words(count, b.getI32Type());
    Type result = count == 1
                      ? words[0]
                      : LLVM::LLVMStructType::getLiteral(b.getContext(), words);
    std::string text = "ld.global.nc.L1::no_allocate.L2::cache_hint", list,
                constraints;
    if (count > 1)
      text += ".v" + std::to_string(count);
    for (int64_t i = 0; i < count; ++i) {
      list += (i ? ", $" : "$") + std::to_string(i);
      constraints += "=r,";
    }
    text += ".u32 " + (count > 1 ? "{" + list + "}" : list) + ", [$" +
            std::to_string(count) + "], $" + std::to_string(count + 1) + ";";
    Value loaded = pureAssembly(b, loc, result, {pointer, policy}, text,
                                constraints + "l,l");
    Value vector = LLVM::PoisonOp::create(b, loc, op.getType());
    for (int64_t i = 0; i < count; ++i) {
      Value word =
          count == 1 ? loaded : LLVM::ExtractValueOp::create(b, loc, loaded, i);
      Value at = LLVM::ConstantOp::create(b, loc, b.getI32Type(), i);
      vector = LLVM::InsertElementOp::create(b, loc, vector, word, at);
    }
    b.replaceOp(op, vector);
    return success();
  }
};

struct LowerMma : ConvertOpToLLVMPattern<nv::MmaOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::MmaOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    bool half = cast<VectorType>(op.getA0().getType()).getElementType().isF16();
    SmallVector<Value> operands;
    for (Value pair : adaptor.getOperands().drop_back()) {
      if (!half) // the bf16 intrinsic takes words
        pair = LLVM::BitcastOp::create(b, loc, b.getI32Type(), pair);
      operands.push_back(pair);
    }
    auto at = [&](int64_t i) -> Value {
      return LLVM::ConstantOp::create(b, loc, b.getI32Type(), i);
    };
    for (int64_t i = 0; i < 4; ++i)
      operands.push_back(
          LLVM::ExtractElementOp::create(b, loc, adaptor.getC(), at(i)));
    SmallVector<Type> sums(4, b.getF32Type());
    Type result = LLVM::LLVMStructType::getLiteral(b.getContext(), sums);
    Value d =
        LLVM::CallIntrinsicOp::create(
            b, loc, result,
            b.getStringAttr(half ? "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"
                                 : "llvm.nvvm.mma.m16n8k16.row.col.bf16"),
            operands)
            .getResult(0);
    Value vector = LLVM::PoisonOp::create(b, loc, op.getType());
    for (int64_t i = 0; i < 4; ++i)
      vector = LLVM::InsertElementOp::create(
          b, loc, vector, LLVM::ExtractValueOp::create(b, loc, d, i), at(i));
    b.replaceOp(op, vector);
    return success();
  }
};

template <typename From, typename To>
using LowerExtremum =
    VectorConvertToLLVMPattern<From, To, arith::AttrConvertFastMathToLLVM>;

struct ConvertCQNVToLLVM
    : cq::impl::ConvertCQNVToLLVMPassBase<ConvertCQNVToLLVM> {
  using ConvertCQNVToLLVMPassBase::ConvertCQNVToLLVMPassBase;

  void runOnOperation() override {
    LowerToLLVMOptions options(&getContext());
    // Planes below 2 GiB (MatmulSpec::unsupported): addresses need one
    // register.
    options.overrideIndexBitwidth(32);
    options.useBarePtrCallConv = true;
    LLVMTypeConverter converter(&getContext(), options);
    configureGpuToNVVMTypeConverter(converter);
    converter.addConversion([&](nvgpu::DeviceAsyncTokenType type) -> Type {
      return IntegerType::get(type.getContext(), 32);
    });
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerLoadWeights, LowerMma>(converter);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    // Before the calls of libdevice that the GPU patterns bring.
    populateMathToLLVMConversionPatterns(converter, patterns,
                                         /*approximateLog1p=*/true,
                                         /*benefit=*/2);
    patterns.add<LowerExtremum<arith::MaxNumFOp, LLVM::MaxNumOp>,
                 LowerExtremum<arith::MinNumFOp, LLVM::MinNumOp>,
                 LowerExtremum<arith::MaximumFOp, LLVM::MaximumOp>,
                 LowerExtremum<arith::MinimumFOp, LLVM::MinimumOp>>(
        converter, PatternBenefit(2));
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    populateGpuToNVVMConversionPatterns(converter, patterns);
    populateNVGPUToNVVMConversionPatterns(converter, patterns);
    ConversionTarget target(getContext());
    target.addLegalDialect<LLVM::LLVMDialect, NVVM::NVVMDialect>();
    configureGpuToNVVMConversionLegality(target);
    // NVPTX has instructions for these; upstream would call libdevice.
    target.addLegalOp<LLVM::CopySignOp, LLVM::FAbsOp, LLVM::FCeilOp,
                      LLVM::FFloorOp, LLVM::FTruncOp, LLVM::RoundEvenOp,
                      LLVM::SqrtOp>();
    target.addIllegalDialect<CQDialect>();
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      return signalPassFailure();
    // Memory whose size the launch says is `extern` in PTX.
    getOperation().walk([](LLVM::GlobalOp global) {
      auto array = dyn_cast<LLVM::LLVMArrayType>(global.getType());
      if (global.getAddrSpace() == 3 && array && array.getNumElements() == 0)
        global.setLinkage(LLVM::Linkage::External);
    });
  }
};

} // namespace

void mlir::cq::buildLowerGPUKernelsPipeline(OpPassManager &pm) {
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createSCFToControlFlowPass());
  kernels.addPass(createConvertCQNVToLLVMPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
}

void mlir::cq::registerLowerGPUKernelsPipeline() {
  PassPipelineRegistration<>(
      "cq-lower-gpu-kernels",
      "Kernels of convert-cq-to-nvgpu to the LLVM and NVVM dialects",
      buildLowerGPUKernelsPipeline);
}
