//===- CQToX86.cpp - convert-cq-to-x86 ------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToX86/CQToX86.h"
#include "Heuristics.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Support/TargetCPU.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTCQTOX86PASS
#include "cq/Conversion/CQToX86/CQToX86Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

func::FuncOp KernelCache::get(StringRef name, TypeRange arguments,
                              Build build) {
  std::string key = name.str();
  llvm::raw_string_ostream os(key);
  for (Type type : arguments)
    os << ' ' << type;
  func::FuncOp &kernel = kernels[key];
  if (!kernel) {
    OpBuilder builder(module.getContext());
    builder.setInsertionPointToEnd(module.getBody());
    kernel = build(builder, name);
    kernel.setPrivate();
    symbols.insert(kernel); // renames where types differ under one name
  }
  return kernel;
}

//===----------------------------------------------------------------------===//
// What cannot be converted, and why
//===----------------------------------------------------------------------===//

/// Kernels read rows as vectors: the last dimension has to be contiguous.
static std::optional<std::string> checkOperands(Operation *op) {
  for (Value operand : op->getOperands()) {
    if (isa<TensorType>(operand.getType()))
      return "its operands are tensors: bufferize first";
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (type && !type.isLastDimUnitStride())
      return "an operand's last dimension is not contiguous: copy it first";
  }
  return std::nullopt;
}

static WeightSpec weightSpec(SchemeAttr scheme, LayoutAttr layout,
                             std::optional<CherriesAttr> cherries, int64_t n,
                             int64_t k) {
  return {scheme.getScheme(), layout.getLayout(),
          cherries ? cherries->getSpec() : CherrySpec(), n, k};
}
static WeightSpec weightSpec(MatmulOp op) {
  return weightSpec(op.getScheme(), op.getLayout(), op.getCherries(), op.getN(),
                    op.getK());
}
static WeightSpec weightSpec(GatherOp op) {
  return weightSpec(op.getScheme(), op.getLayout(), op.getCherries(), op.getN(),
                    op.getK());
}

/// The reassociation that makes one dimension of all but the last `kept`, or
/// nullopt where strides forbid it. Empty for rank `kept` (the dimension is
/// added).
static std::optional<SmallVector<ReassociationIndices>>
leadingGroup(Value memref, int64_t kept) {
  auto type = cast<MemRefType>(memref.getType());
  SmallVector<ReassociationIndices> groups;
  int64_t leading = type.getRank() - kept;
  if (leading > 0)
    groups.push_back(llvm::to_vector<2>(llvm::seq<int64_t>(0, leading)));
  for (int64_t i = leading; i < type.getRank() && leading > 0; ++i)
    groups.push_back({i});
  if (leading > 1 &&
      !memref::CollapseShapeOp::isGuaranteedCollapsible(type, groups))
    return std::nullopt;
  return groups;
}

/// A view in which all but the last `kept` dimensions are one.
static Value flattenLeading(OpBuilder &b, Location loc, Value memref,
                            int64_t kept) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t leading = type.getRank() - kept;
  if (leading == 1)
    return memref;
  if (leading > 1)
    return memref::CollapseShapeOp::create(b, loc, memref,
                                           *leadingGroup(memref, kept));
  SmallVector<int64_t> shape{1};
  llvm::append_range(shape, type.getShape());
  SmallVector<ReassociationIndices> groups;
  if (kept == 1)
    groups.push_back({0, 1});
  return memref::ExpandShapeOp::create(b, loc, shape, memref, groups);
}

static std::optional<std::string> unsupported(Operation *op) {
  if (auto sentence = checkOperands(op))
    return sentence;
  if (auto matmul = dyn_cast<MatmulOp>(op))
    return weightSpec(matmul).unsupported();
  if (auto gather = dyn_cast<GatherOp>(op)) {
    if (!leadingGroup(gather.getIndices(), 0) ||
        !leadingGroup(gather.getInit(), 1))
      return "its indices or rows are not contiguous: copy them first";
    if (gather.getLayout().getPermuted())
      return "its rows are permuted";
    return weightSpec(gather).unsupported();
  }
  auto quantize = cast<DynamicQuantizeOp>(op);
  auto type = cast<MemRefType>(quantize.getX().getType());
  if (type.getRank() != 2 || type.isDynamicDim(1))
    return "its activations are not of a static width";
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

static MemRefType typeOf(Value value) {
  return value ? cast<MemRefType>(value.getType()) : MemRefType();
}

static SmallVector<Value> present(std::initializer_list<Value> values) {
  return llvm::to_vector(
      llvm::make_filter_range(values, [](Value v) { return !!v; }));
}

namespace {

template <typename OpTy> struct KernelPattern : OpRewritePattern<OpTy> {
  KernelPattern(MLIRContext *context, ISA isa, KernelCache &cache)
      : OpRewritePattern<OpTy>(context), isa(isa), cache(cache) {}
  ISA isa;
  KernelCache &cache;
};

static MatmulSpec matmulSpec(MatmulOp op, ISA isa) {
  return {weightSpec(op), op.getMode().getMode(), op.getM(), isa};
}

struct ConvertMatmul : KernelPattern<MatmulOp> {
  using KernelPattern::KernelPattern;
  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    if (auto sentence = unsupported(op))
      return rewriter.notifyMatchFailure(op, *sentence);
    MatmulSpec spec = matmulSpec(op, isa);
    // In mode f32 without cherries x is the activations; it is given in any
    // case.
    Value x = spec.needsFloatActivations() ? op.getX() : Value();
    if (Value columns = cache.getColumns(op)) {
      spec.transposed = true;
      x = columns;
    }
    MatmulTypes types{typeOf(x),
                      typeOf(op.getActivationCodes()),
                      typeOf(op.getActivationScales()),
                      typeOf(op.getActivationSums()),
                      typeOf(op.getCodes()),
                      typeOf(op.getScales()),
                      typeOf(op.getZeros()),
                      typeOf(op.getCherryColumns()),
                      typeOf(op.getCherryDeltas()),
                      typeOf(op.getRowOrder()),
                      typeOf(op.getInit())};
    SmallVector<Value> args =
        present({x, op.getActivationCodes(), op.getActivationScales(),
                 op.getActivationSums(), op.getCodes(), op.getScales(),
                 op.getZeros(), op.getCherryColumns(), op.getCherryDeltas(),
                 op.getRowOrder(), op.getInit()});
    func::FuncOp kernel = cache.get(
        spec.name(), ValueRange(args).getTypes(),
        [&](OpBuilder &b, StringRef name) {
          func::FuncOp built =
              buildMatmulKernel(b, op.getLoc(), name, spec, types, &cache);
          // For cq-fuse-launches: which argument it writes, and where.
          built->setAttr("cq.written", b.getIndexAttr(args.size() - 1));
          if (spec.weight.tasksAreColumns())
            built->setAttr("cq.columns_of_task", b.getIndexAttr(16));
          return built;
        });
    Value tasks = arith::ConstantIndexOp::create(rewriter, op.getLoc(),
                                                 spec.weight.numPanels());
    const WeightSpec &w = spec.weight;
    // What a verified weight holds fits 64 bits; times tokens it need not.
    int64_t size = 0;
    bool small = !ShapedType::isDynamic(spec.m) &&
                 !llvm::MulOverflow(spec.m, w.n * w.k, size) &&
                 size < parallelProductSize();
    if (small) {
      args.append(
          {arith::ConstantIndexOp::create(rewriter, op.getLoc(), 0), tasks});
      rewriter.replaceOpWithNewOp<func::CallOp>(op, kernel, args);
      return success();
    }
    rewriter.replaceOpWithNewOp<LaunchOp>(op, kernel.getSymName(), args, tasks);
    return success();
  }
};

struct ConvertGather : KernelPattern<GatherOp> {
  using KernelPattern::KernelPattern;
  LogicalResult matchAndRewrite(GatherOp op,
                                PatternRewriter &rewriter) const override {
    if (auto sentence = unsupported(op))
      return rewriter.notifyMatchFailure(op, *sentence);
    WeightSpec spec = weightSpec(op);
    // Any number of index dimensions is one list of rows.
    Value indices = flattenLeading(rewriter, op.getLoc(), op.getIndices(), 0);
    Value rows = flattenLeading(rewriter, op.getLoc(), op.getInit(), 1);
    GatherTypes types{typeOf(indices),
                      typeOf(op.getCodes()),
                      typeOf(op.getScales()),
                      typeOf(op.getZeros()),
                      typeOf(op.getCherryColumns()),
                      typeOf(op.getCherryDeltas()),
                      typeOf(rows)};
    SmallVector<Value> args =
        present({indices, op.getCodes(), op.getScales(), op.getZeros(),
                 op.getCherryColumns(), op.getCherryDeltas(), rows});
    func::FuncOp kernel =
        cache.get("cq_gather_" + spec.name(), ValueRange(args).getTypes(),
                  [&](OpBuilder &b, StringRef name) {
                    return buildGatherKernel(b, op.getLoc(), name, spec, types);
                  });
    // A few rows at most: not worth waking a thread.
    Value zero = arith::ConstantIndexOp::create(rewriter, op.getLoc(), 0);
    Value count = memref::DimOp::create(rewriter, op.getLoc(), indices, zero);
    args.append({zero, count});
    rewriter.replaceOpWithNewOp<func::CallOp>(op, kernel, args);
    return success();
  }
};

struct ConvertDynamicQuantize : KernelPattern<DynamicQuantizeOp> {
  using KernelPattern::KernelPattern;
  LogicalResult matchAndRewrite(DynamicQuantizeOp op,
                                PatternRewriter &rewriter) const override {
    if (auto sentence = unsupported(op))
      return rewriter.notifyMatchFailure(op, *sentence);
    DynamicQuantizeTypes types{typeOf(op.getX()), typeOf(op.getCodesInit()),
                               typeOf(op.getScalesInit()),
                               typeOf(op.getSumsInit())};
    int64_t m = types.x.getDimSize(0), k = types.x.getDimSize(1);
    int64_t group = op.getGroup();
    SmallVector<Value> args{op.getX(), op.getCodesInit(), op.getScalesInit(),
                            op.getSumsInit()};
    // The rows are no part of the code, but part of the types.
    std::string name = "cq_dynamic_quantize_k" + std::to_string(k) + "_g" +
                       std::to_string(group) + "_m" +
                       (ShapedType::isDynamic(m) ? "any" : std::to_string(m));
    func::FuncOp kernel = cache.get(
        name, ValueRange(args).getTypes(), [&](OpBuilder &b, StringRef symbol) {
          func::FuncOp built = buildDynamicQuantizeKernel(
              b, op.getLoc(), symbol, k, group, types);
          // For cq-parallelize-rows: task i is row i of all; these are written.
          built->setAttr("cq.rows_of_task", b.getDenseI64ArrayAttr({1, 2, 3}));
          return built;
        });
    Value zero = arith::ConstantIndexOp::create(rewriter, op.getLoc(), 0);
    Value tokens =
        memref::DimOp::create(rewriter, op.getLoc(), op.getX(), zero);
    if (!ShapedType::isDynamic(m) && m * k < parallelQuantizeElements()) {
      args.append({zero, tokens});
      rewriter.replaceOpWithNewOp<func::CallOp>(op, kernel, args);
    } else {
      rewriter.replaceOpWithNewOp<LaunchOp>(op, kernel.getSymName(), args,
                                            tokens);
    }
    return success();
  }
};

/// The level named, or the best one of a CPU.
std::optional<ISA> resolveISA(StringRef isa, StringRef cpu) {
  if (!isa.empty())
    return ISA::parse(isa);
  if (auto features = featuresOf(cpu))
    return ISA::fromFeatures(*features);
  return std::nullopt;
}

struct ConvertCQToX86 : cq::impl::ConvertCQToX86PassBase<ConvertCQToX86> {
  using ConvertCQToX86PassBase::ConvertCQToX86PassBase;

  void runOnOperation() override {
    std::optional<ISA> level = resolveISA(isa, targetCPU);
    if (!level) {
      emitError(getOperation().getLoc())
          << "convert-cq-to-x86: no x86 vector level for isa='" << isa
          << "' target-cpu='" << targetCPU
          << "'; name one of avx2, avx512, avxvnni, avx512vnni, avx512amx, "
             "generic";
      return signalPassFailure();
    }
    getOperation().walk([&](MatmulOp) { ++numProducts; });
    KernelCache cache(getOperation());
    transposeActivations(getOperation(), cache, [&](MatmulOp op) {
      return !unsupported(op) && wantsTransposed(matmulSpec(op, *level));
    });
    RewritePatternSet patterns(&getContext());
    populateCQToX86Patterns(patterns, *level, cache);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
    numKernels += cache.size();
    bool complete = true;
    getOperation().walk([&](Operation *op) {
      if (!llvm::isa<MatmulOp, GatherOp, DynamicQuantizeOp>(op))
        return;
      complete = false;
      op->emitOpError("has no x86 kernel: ")
          << unsupported(op).value_or("unknown");
    });
    if (!complete)
      signalPassFailure();
  }
};

} // namespace

void mlir::cq::populateCQToX86Patterns(RewritePatternSet &patterns, ISA isa,
                                       KernelCache &cache) {
  patterns.add<ConvertMatmul, ConvertGather, ConvertDynamicQuantize>(
      patterns.getContext(), isa, cache);
}
