//===- KernelCall.cpp - Products that call our kernels in IREE ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCall.h"
#include "../CQToLinalg/Emit.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::toiree;
using namespace mlir::cq::tolinalg;

static x86::MatmulSpec specOf(MatmulOp op, x86::ISA isa) {
  x86::MatmulSpec spec;
  spec.weight.scheme = op.getScheme().getScheme();
  spec.weight.layout = op.getLayout().getLayout();
  // IREE gives a call its own part of the result; rows are put in order later.
  spec.weight.layout.permuted = false;
  if (auto cherries = op.getCherries())
    spec.weight.cherries = cherries->getSpec();
  spec.weight.n = op.getN();
  spec.weight.k = op.getK();
  spec.mode = op.getMode().getMode();
  spec.m = op.getM();
  spec.isa = isa;
  return spec;
}

bool toiree::canCallKernel(MatmulOp op) {
  return !ShapedType::isDynamic(op.getM()) &&
         !specOf(op, {}).weight.unsupported();
}

/// An op of a dialect of IREE's, in the generic form that its parser takes.
static Operation *foreign(Emitter &b, StringRef name, ValueRange operands,
                          TypeRange results,
                          ArrayRef<NamedAttribute> properties,
                          ArrayRef<NamedAttribute> attributes = {},
                          unsigned regions = 0) {
  OperationState state(b.getLoc(), name);
  state.addOperands(operands);
  state.addTypes(results);
  if (!properties.empty())
    state.propertiesAttr = b.getDictionaryAttr(properties);
  state.addAttributes(attributes);
  for (unsigned i = 0; i < regions; ++i)
    state.addRegion();
  return b.create(state);
}

/// Panels of one call: as many as divide all of them, for sixteen calls or
/// more.
static int64_t panelsOfCall(int64_t panels) {
  int64_t best = 1;
  for (int64_t each = 1; each <= panels / 16; ++each)
    if (panels % each == 0)
      best = each;
  return best;
}

Value toiree::emitKernelCall(Emitter &b, MatmulOp op,
                             const StoredWeight &weight, LoadPlane load,
                             KernelObject &kernels, StringRef path) {
  x86::MatmulSpec spec = specOf(op, kernels.isa());
  int64_t m = spec.m, n = weight.n, panels = spec.weight.numPanels();
  int64_t stride = panels * 16, each = panelsOfCall(panels);
  std::string name = kernels.entry(spec, stride);

  SmallVector<Value> inputs;
  if (spec.needsFloatActivations())
    inputs.push_back(op.getX());
  if (spec.mode == ActivationMode::Int8)
    inputs.append({op.getActivationCodes(), op.getActivationScales(),
                   op.getActivationSums()});
  for (const StoredPlane &plane : weight.planes())
    if (plane.name != "row_positions")
      inputs.push_back(load(b, plane.name));

  // Rows come in whole panels: what is behind the last one is cut off.
  // One token is a vector: IREE drops unit dimensions behind its own back, and
  // 3.13 then puts a copy behind the call that it cannot compile.
  SmallVector<int64_t> shape{m, stride}, partShape{m, each * 16};
  if (m == 1) {
    shape.erase(shape.begin());
    partShape.erase(partShape.begin());
  }
  auto whole = RankedTensorType::get(shape, b.getF32Type());
  auto part = RankedTensorType::get(partShape, b.getF32Type());
  Value calls = constantIndex(b, panels / each);
  Operation *region = foreign(
      b, "flow.dispatch.region", calls, whole,
      b.getNamedAttr("operandSegmentSizes", b.getDenseI32ArrayAttr({0, 1})), {},
      2);
  {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region->getRegion(0));
    Value all = tensor::EmptyOp::create(b, whole.getShape(), b.getF32Type());
    Value id = foreign(b, "flow.dispatch.workgroup.id", {}, b.getIndexType(),
                       b.getNamedAttr("dimension", b.getIndexAttr(0)))
                   ->getResult(0);
    Value first = apply(b, b.getAffineDimExpr(0) * (each * 16), id);
    Value count = constantIndex(b, each);
    Sizes offsets(shape.size() - 1, b.getIndexAttr(0));
    offsets.push_back(first);
    Sizes sizes = append(b, {}, partShape);
    Sizes strides(shape.size(), b.getIndexAttr(1));
    Value mine =
        tensor::ExtractSliceOp::create(b, part, all, offsets, sizes, strides);
    SmallVector<Value> operands(inputs);
    operands.append({mine, first, count});
    SmallVector<Attribute> none(inputs.size() + 1, b.getArrayAttr({}));
    auto object = OpaqueAttr::get(
        b.getStringAttr("hal"),
        "executable.object<{path = \"" + path.str() + "\"}>", b.getNoneType());
    int32_t numInputs = static_cast<int32_t>(inputs.size());
    Operation *call = foreign(
        b, "iree_codegen.ukernel.generic", operands, part,
        {b.getNamedAttr("fn_def_attrs",
                        b.getDictionaryAttr(b.getNamedAttr("hal.import.static",
                                                           b.getUnitAttr()))),
         b.getNamedAttr("operandSegmentSizes",
                        b.getDenseI32ArrayAttr({numInputs, 1, 2})),
         b.getNamedAttr("strided_dims", b.getArrayAttr(none)),
         b.getNamedAttr("u_kernel_fn_name", b.getStringAttr(name))},
        b.getNamedAttr("hal.executable.objects", b.getArrayAttr(object)));
    Value done = tensor::InsertSliceOp::create(b, call->getResult(0), all,
                                               offsets, sizes, strides);
    foreign(b, "flow.return", done, {}, {});
    Block *grid =
        b.createBlock(&region->getRegion(1), {}, b.getIndexType(), b.getLoc());
    Value one = constantIndex(b, 1);
    foreign(b, "flow.return", {grid->getArgument(0), one, one}, {}, {});
  }
  Value y = region->getResult(0);
  if (stride != n) {
    shape.back() = n;
    Sizes offsets(shape.size(), b.getIndexAttr(0));
    Sizes strides(shape.size(), b.getIndexAttr(1));
    y = tensor::ExtractSliceOp::create(b, y, offsets, append(b, {}, shape),
                                       strides);
  }
  if (m == 1)
    y = tensor::ExpandShapeOp::create(
        b, RankedTensorType::get({1, n}, b.getF32Type()), y,
        SmallVector<ReassociationIndices>{{0, 1}});
  return weight.layout.permuted ? restoreOrder(b, y, load(b, "row_positions"))
                                : y;
}
