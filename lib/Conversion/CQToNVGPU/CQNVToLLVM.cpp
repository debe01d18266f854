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
#include "mlir/IR/Matchers.h"
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

/// (word & mask) | magic: one LOP3. ptxas makes two of it by itself, as only
/// one operand of an instruction is a constant.
struct FuseAndOr : ConvertOpToLLVMPattern<arith::OrIOp> {
  FuseAndOr(const LLVMTypeConverter &converter)
      : ConvertOpToLLVMPattern(converter, /*benefit=*/2) {}
  LogicalResult matchAndRewrite(arith::OrIOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    auto inner = op.getLhs().getDefiningOp<arith::AndIOp>();
    APInt mask, magic;
    if (!op.getType().isInteger(32) || !inner || !inner->hasOneUse() ||
        !matchPattern(inner.getRhs(), m_ConstantInt(&mask)) ||
        !matchPattern(op.getRhs(), m_ConstantInt(&magic)))
      return failure();
    Value word = b.getRemappedValue(inner.getLhs());
    if (!word)
      return failure();
    b.replaceOp(op, pureAssembly(
                        b, op.getLoc(), op.getType(), {word, adaptor.getRhs()},
                        "lop3.b32 $0, $1, " +
                            std::to_string(mask.getZExtValue()) + ", $2, 0xEA;",
                        "=r,r,r"));
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

/// Inline PTX that acts, `values` passing through its registers; `more` are
/// further operands, numbered behind them. Null values: registers that the text
/// only writes (f32).
SmallVector<Value> actingAssembly(OpBuilder &b, Location loc, StringRef text,
                                  ArrayRef<Value> values, StringRef kind,
                                  ArrayRef<Value> more = {},
                                  StringRef moreKinds = "") {
  std::string constraints;
  bool reads = values.empty() || values.front();
  auto append = [&](const Twine &one) {
    constraints += (constraints.empty() ? "" : ",") + one.str();
  };
  for (size_t i = 0; i < values.size(); ++i)
    append("=" + kind);
  for (size_t i = 0; reads && i < values.size(); ++i)
    append(Twine(i));
  if (!moreKinds.empty())
    append(moreKinds);
  append("~{memory}");
  SmallVector<Type> types;
  for (Value value : values)
    types.push_back(value ? value.getType() : b.getF32Type());
  Type result = types.empty() ? Type()
                : types.size() == 1
                    ? types.front()
                    : LLVM::LLVMStructType::getLiteral(b.getContext(), types);
  SmallVector<Value> operands;
  if (reads)
    operands.append(values.begin(), values.end());
  operands.append(more.begin(), more.end());
  auto op = LLVM::InlineAsmOp::create(
      b, loc, result ? TypeRange(result) : TypeRange(), operands, text,
      constraints, /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
      ArrayAttr());
  SmallVector<Value> results;
  for (size_t i = 0; i < values.size(); ++i)
    results.push_back(values.size() == 1 ? op.getResult(0)
                                         : LLVM::ExtractValueOp::create(
                                               b, loc, op.getResult(0), i));
  return results;
}

/// The numbers of vectors of four, one after the other, and back.
SmallVector<Value> scalarsOf(OpBuilder &b, Location loc, ValueRange vectors) {
  SmallVector<Value> scalars;
  for (Value vector : vectors)
    for (int64_t i = 0; i < 4; ++i)
      scalars.push_back(LLVM::ExtractElementOp::create(
          b, loc, vector, LLVM::ConstantOp::create(b, loc, b.getI32Type(), i)));
  return scalars;
}
SmallVector<Value> vectorsOf(OpBuilder &b, Location loc, ValueRange scalars) {
  SmallVector<Value> vectors;
  for (size_t at = 0; at < scalars.size(); at += 4) {
    Value vector = LLVM::PoisonOp::create(
        b, loc, VectorType::get({4}, scalars[at].getType()));
    for (int64_t i = 0; i < 4; ++i)
      vector = LLVM::InsertElementOp::create(
          b, loc, vector, scalars[at + i],
          LLVM::ConstantOp::create(b, loc, b.getI32Type(), i));
    vectors.push_back(vector);
  }
  return vectors;
}

struct LowerWgmmaFence : ConvertOpToLLVMPattern<nv::WgmmaFenceOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::WgmmaFenceOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    SmallVector<Value> words;
    for (Value pair : adaptor.getValues())
      words.push_back(LLVM::BitcastOp::create(b, loc, b.getI32Type(), pair));
    words = actingAssembly(b, loc, "wgmma.fence.sync.aligned;", words, "r");
    for (auto [word, type] : llvm::zip(words, op.getFenced().getTypes()))
      word = LLVM::BitcastOp::create(b, loc, type, word);
    b.replaceOp(op, words);
    return success();
  }
};

struct LowerWgmmaCommit : ConvertOpToLLVMPattern<nv::WgmmaCommitOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::WgmmaCommitOp op, OpAdaptor,
                                ConversionPatternRewriter &b) const override {
    actingAssembly(b, op.getLoc(), "wgmma.commit_group.sync.aligned;", {}, "");
    b.eraseOp(op);
    return success();
  }
};

struct LowerWgmmaWait : ConvertOpToLLVMPattern<nv::WgmmaWaitOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::WgmmaWaitOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    SmallVector<Value> sums =
        actingAssembly(b, loc,
                       "wgmma.wait_group.sync.aligned " +
                           std::to_string(op.getPending()) + ";",
                       scalarsOf(b, loc, adaptor.getSums()), "f");
    b.replaceOp(op, vectorsOf(b, loc, sums));
    return success();
  }
};

struct LowerWgmma : ConvertOpToLLVMPattern<nv::WgmmaOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  /// index = first + second; second a multiple of eight elements (16 bytes).
  static std::pair<Value, int64_t> withoutConstant(Value index) {
    int64_t sum = 0, constant = 0;
    while (auto add = index.getDefiningOp<LLVM::AddOp>()) {
      auto literal = add.getRhs().getDefiningOp<LLVM::ConstantOp>();
      auto value =
          literal ? dyn_cast<IntegerAttr>(literal.getValue()) : nullptr;
      if (!value || (constant = value.getInt()) < 0 || constant % 8 != 0)
        break;
      sum += constant;
      index = add.getLhs();
    }
    return {index, sum};
  }

  LogicalResult matchAndRewrite(nv::WgmmaOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto number = [&](Type type, uint64_t value) -> Value {
      return LLVM::ConstantOp::create(b, loc, type,
                                      static_cast<int64_t>(value));
    };
    // B: address, rows of 128 swizzled bytes, eight of them every 1024 bytes.
    // What is constant of the index is added behind the shift, so that the
    // products of a stage share everything else: no carry leaves the field, an
    // address in shared memory has 18 bits.
    auto [index, constant] = withoutConstant(adaptor.getIndex());
    Type i32 = b.getI32Type(), i64 = b.getI64Type();
    Value pointer = getStridedElementPtr(b, loc, op.getB().getType(),
                                         adaptor.getB(), index);
    Value low = LLVM::PtrToIntOp::create(b, loc, i32, pointer);
    low = LLVM::LShrOp::create(b, loc, low, number(i32, 4));
    low = LLVM::AndOp::create(b, loc, low, number(i32, 0x3FFF));
    low = LLVM::OrOp::create(b, loc, low, number(i32, 1 << 16));
    low = LLVM::AddOp::create(b, loc, low, number(i32, constant / 8));
    Value descriptor = LLVM::OrOp::create(
        b, loc, LLVM::ZExtOp::create(b, loc, i64, low),
        number(i64, uint64_t{1} << 62 | uint64_t{1024 >> 4} << 32));
    SmallVector<Value> more;
    for (Value pair :
         {adaptor.getA0(), adaptor.getA1(), adaptor.getA2(), adaptor.getA3()})
      more.push_back(LLVM::BitcastOp::create(b, loc, b.getI32Type(), pair));
    more.push_back(descriptor);
    bool adds = !op.getC().empty();
    size_t count = 4 * op.getD().size();
    SmallVector<Value> sums;
    if (adds)
      sums = scalarsOf(b, loc, adaptor.getC());
    else // not read: the product starts at zero
      sums.assign(count, Value());
    size_t firstMore = adds ? 2 * count : count;
    std::string type =
        op.getB().getType().getElementType().isF16() ? "f16" : "bf16";
    auto list = [](size_t from, size_t count) {
      std::string text = "{";
      for (size_t i = 0; i < count; ++i)
        text += (i ? ", $" : "$") + std::to_string(from + i);
      return text + "}";
    };
    std::string text =
        "{ .reg .pred p; setp.ne.b32 p, " + std::string(adds ? "1" : "0") +
        ", 0; wgmma.mma_async.sync.aligned.m64n" +
        std::to_string(8 * op.getD().size()) + "k16.f32." + type + "." + type +
        " " + list(0, count) + ", " + list(firstMore, 4) + ", $" +
        std::to_string(firstMore + 4) + ", p, 1, 1, 0; }";
    sums = actingAssembly(b, loc, text, sums, "f", more, "r,r,r,r,l");
    b.replaceOp(op, vectorsOf(b, loc, sums));
    return success();
  }
};

struct LowerBulkCopy : ConvertOpToLLVMPattern<nv::BulkCopyOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(nv::BulkCopyOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto barrierType = nvgpu::getMBarrierMemrefType(
        b.getContext(),
        cast<nvgpu::MBarrierGroupType>(op.getBarriers().getType()));
    Value source = getStridedElementPtr(b, loc, op.getSource().getType(),
                                        adaptor.getSource(), adaptor.getFrom());
    source = LLVM::AddrSpaceCastOp::create(
        b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1), source);
    auto shared = [&](MemRefType type, Value memref, Value index) -> Value {
      Value pointer = getStridedElementPtr(b, loc, type, memref, index);
      return LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), pointer);
    };
    Value bytes = adaptor.getBytes();
    if (!bytes.getType().isInteger(32))
      bytes = LLVM::TruncOp::create(b, loc, b.getI32Type(), bytes);
    // Plain shared addresses are those of the own CTA in the cluster.
    actingAssembly(
        b, loc,
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[$0], [$1], $2, [$3];",
        {}, "",
        {shared(op.getDestination().getType(), adaptor.getDestination(),
                adaptor.getTo()),
         source, bytes,
         shared(barrierType, adaptor.getBarriers(), adaptor.getBarrier())},
        "r,l,r,r");
    b.eraseOp(op);
    return success();
  }
};

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
    converter.addConversion([&](nvgpu::MBarrierTokenType type) -> Type {
      return IntegerType::get(type.getContext(), 64);
    });
    converter.addConversion([&](nvgpu::MBarrierGroupType type) -> Type {
      return converter.convertType(
          nvgpu::getMBarrierMemrefType(type.getContext(), type));
    });
    RewritePatternSet patterns(&getContext());
    patterns
        .add<FuseAndOr, LowerLoadWeights, LowerMma, LowerWgmma, LowerWgmmaFence,
             LowerWgmmaCommit, LowerWgmmaWait, LowerBulkCopy>(converter);
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
      if (global.getAddrSpace() == 3 && array && array.getNumElements() == 0) {
        global.setLinkage(LLVM::Linkage::External);
        // Swizzled tiles of cq.nv.wgmma start there.
        global.setAlignment(1024);
      }
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
  // mbarriers, which only PTX can spell.
  kernels.addPass(createConvertNVVMToLLVMPass());
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
