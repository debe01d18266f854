//===- CQToNVGPU.cpp - convert-cq-to-nvgpu --------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToNVGPU/CQToNVGPU.h"
#include "cq/Conversion/CQToNVGPU/Kernels.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTCQTONVGPUPASS
#include "cq/Conversion/CQToNVGPU/CQToNVGPUPasses.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct ConvertCQToNVGPU : cq::impl::ConvertCQToNVGPUPassBase<ConvertCQToNVGPU> {
  using ConvertCQToNVGPUPassBase::ConvertCQToNVGPUPassBase;

  void runOnOperation() override {
    std::optional<nv::FloatKind> kind = parseScaleType(compute);
    if (!kind || *kind == nv::FloatKind::F32) {
      emitError(getOperation().getLoc())
          << "convert-cq-to-nvgpu: compute is f16 or bf16, not '" << compute
          << "'";
      return signalPassFailure();
    }
    SmallVector<MatmulOp> products;
    getOperation().walk([&](MatmulOp op) { products.push_back(op); });
    for (MatmulOp op : products)
      if (failed(convert(op, *kind)))
        return signalPassFailure();
  }

private:
  LogicalResult convert(MatmulOp op, nv::FloatKind kind) {
    if (op.getMode().getMode() != ActivationMode::F32)
      return op.emitOpError("has no NVIDIA kernel: its activations are int8; "
                            "set them to f32 (cq-set-activations)");
    for (Value operand : op->getOperands()) {
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (!type)
        return op.emitOpError("has no NVIDIA kernel: its operands are tensors: "
                              "bufferize first");
      if (!type.getLayout().isIdentity())
        return op.emitOpError("has no NVIDIA kernel: an operand is not "
                              "contiguous: copy it first");
    }
    int64_t tokens = op.getM();
    bool dynamic = ShapedType::isDynamic(tokens);
    nv::MatmulSpec spec;
    spec.scheme = op.getScheme().getScheme();
    spec.layout = op.getLayout().getLayout();
    if (op.getCherries())
      spec.cherries = op.getCherries()->getSpec();
    spec.n = op.getN();
    spec.k = op.getK();
    spec.maxTokens = dynamic ? maxTokens : tokens;
    spec.compute = kind;
    spec.x = spec.y = nv::FloatKind::F32;

    OpBuilder b(op);
    Location loc = op.getLoc();
    Value x = op.getX(), y = op.getInit(), m;
    if (dynamic) {
      // Bare pointers need static shapes; a kernel reads m rows only.
      m = arith::IndexCastOp::create(
          b, loc, b.getI32Type(), memref::DimOp::create(b, loc, y, int64_t{0}));
      x = bounded(b, loc, x, spec.k);
      y = bounded(b, loc, y, spec.n);
    } else {
      m = arith::ConstantIntOp::create(b, loc, tokens, 32);
    }
    for (unsigned i = 0; i < spec.layout.segments.size(); ++i) {
      spec.segment = i;
      spec.options = nv::chooseOptions(spec, dynamic ? 0 : tokens, architecture,
                                       nv::Abilities{wgmma, splits});
      if (auto sentence = spec.unsupported())
        return op.emitOpError("has no NVIDIA kernel: ") << *sentence;
      gpu::GPUFuncOp kernel = kernelOf(spec, loc);
      auto index = [&](int64_t value) -> Value {
        return arith::ConstantIndexOp::create(b, loc, value);
      };
      Value tokenBlocks = index(1);
      if (spec.options.family != nv::Family::Resident) {
        Value wide = arith::IndexCastOp::create(b, loc, b.getIndexType(), m);
        tokenBlocks = arith::CeilDivUIOp::create(b, loc, wide,
                                                 index(spec.options.tokens));
      }
      auto launch = [&](gpu::GPUFuncOp function, Value gridY,
                        ValueRange operands) {
        auto sizes = [&](StringRef name) {
          return function->getAttrOfType<DenseI32ArrayAttr>(name).asArrayRef();
        };
        gpu::KernelDim3 grid{index(sizes("cq.grid")[0]), gridY,
                             index(sizes("cq.grid")[2])};
        gpu::KernelDim3 block{index(sizes("cq.block")[0]), index(1), index(1)};
        auto shared = function->getAttrOfType<IntegerAttr>("cq.shared_bytes");
        gpu::LaunchFuncOp::create(
            b, loc, function, grid, block,
            arith::ConstantIntOp::create(b, loc, shared.getInt(), 32),
            operands);
      };
      SmallVector<Value> arguments{x};
      Value packed, target = y;
      gpu::GPUFuncOp finish;
      if (spec.options.family == nv::Family::Warpgroup) {
        gpu::GPUFuncOp prepare = helperOf(spec.activationsName(), spec, loc,
                                          nv::buildActivationsKernel);
        kernel->setAttr("cq.prepare", FlatSymbolRefAttr::get(prepare));
        Value whole;
        auto type = cast<MemRefType>(prepare.getArgument(1).getType());
        if (!dynamic) {
          whole = packed = memref::AllocOp::create(b, loc, type);
        } else {
          // Bare pointers need static shapes; of a bound on m, only what the
          // tokens need is allocated.
          Value perBlock = index(
              type.getNumElements() /
              llvm::divideCeil(spec.maxTokens, int64_t(spec.options.tokens)));
          Value size = arith::MulIOp::create(b, loc, tokenBlocks, perBlock);
          packed = memref::AllocOp::create(
              b, loc,
              MemRefType::get({ShapedType::kDynamic}, type.getElementType()),
              size);
          whole = memref::ReinterpretCastOp::create(
              b, loc, type, packed, /*offset=*/0, type.getShape(),
              ArrayRef<int64_t>{1});
        }
        launch(prepare, tokenBlocks, {x, whole, m});
        arguments.push_back(whole);
      }
      if (spec.options.splitK > 1) {
        finish = helperOf(spec.sumName(), spec, loc, nv::buildSumKernel);
        kernel->setAttr("cq.finish", FlatSymbolRefAttr::get(finish));
        target = memref::AllocOp::create(
            b, loc, cast<MemRefType>(finish.getArgument(0).getType()));
      }
      for (Value plane :
           {op.getCodes(), op.getScales(), op.getZeros(), op.getCherryColumns(),
            op.getCherryDeltas(), op.getRowOrder()})
        if (plane)
          arguments.push_back(plane);
      arguments.append({target, m});
      launch(kernel, tokenBlocks, arguments);
      if (finish) {
        Value tokens = arith::IndexCastOp::create(b, loc, b.getIndexType(), m);
        launch(finish, tokens, {target, y, m});
        memref::DeallocOp::create(b, loc, target);
      }
      if (packed)
        memref::DeallocOp::create(b, loc, packed);
    }
    op.erase();
    ++numProducts;
    return success();
  }

  Value bounded(OpBuilder &b, Location loc, Value memref, int64_t columns) {
    auto type = cast<MemRefType>(memref.getType());
    auto shape = MemRefType::get({maxTokens, columns}, type.getElementType());
    return memref::ReinterpretCastOp::create(
        b, loc, shape, memref, /*offset=*/0,
        ArrayRef<int64_t>{maxTokens, columns}, ArrayRef<int64_t>{columns, 1});
  }

  gpu::GPUFuncOp kernelOf(const nv::MatmulSpec &spec, Location loc) {
    if (!kernels) {
      OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
      getOperation()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                              b.getUnitAttr());
      kernels = gpu::GPUModuleOp::create(b, loc, "cq_kernels");
    }
    std::string key = spec.name() + "_m" + std::to_string(spec.maxTokens);
    gpu::GPUFuncOp &kernel = written[key];
    if (!kernel) {
      OpBuilder b = OpBuilder::atBlockEnd(&kernels.getBodyRegion().front());
      kernel = nv::buildMatmulKernel(b, loc, spec);
      // Products of other bounds on m have other types.
      kernel.setName(key);
      ++numKernels;
    }
    return kernel;
  }

  /// A kernel beside a product's, of the same bound on m.
  gpu::GPUFuncOp
  helperOf(StringRef name, const nv::MatmulSpec &spec, Location loc,
           llvm::function_ref<gpu::GPUFuncOp(OpBuilder &, Location,
                                             const nv::MatmulSpec &)>
               build) {
    std::string key = (name + "_m" + Twine(spec.maxTokens)).str();
    gpu::GPUFuncOp &kernel = written[key];
    if (!kernel) {
      OpBuilder b = OpBuilder::atBlockEnd(&kernels.getBodyRegion().front());
      kernel = build(b, loc, spec);
      kernel.setName(key);
      ++numKernels;
    }
    return kernel;
  }

  gpu::GPUModuleOp kernels;
  llvm::StringMap<gpu::GPUFuncOp> written;
};

} // namespace
