//===- CQVerify.cpp - Do planes fit their layout? -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The one place where shapes of planes are compared with what the codec
// demands. Packed bytes in a wrong kernel would otherwise be silent garbage.
//
//===----------------------------------------------------------------------===//

#include "CQDetail.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::cq;

LogicalResult cq::detail::emitIfError(Operation *op, llvm::Error error) {
  if (error)
    return op->emitOpError() << llvm::toString(std::move(error));
  return success();
}

FloatType cq::getScaleElementType(MLIRContext *context, ScaleType type) {
  switch (type) {
  case ScaleType::F16:
    return Float16Type::get(context);
  case ScaleType::BF16:
    return BFloat16Type::get(context);
  case ScaleType::F32:
    return Float32Type::get(context);
  }
  llvm_unreachable("unknown scale type");
}

RankedTensorType cq::getRowOrderType(MLIRContext *context, int64_t n) {
  return RankedTensorType::get(
      {n}, IntegerType::get(context, 8 * Layout::orderEntryBytes(n)));
}

llvm::Expected<PlaneTypes> PlaneTypes::get(MLIRContext *context, int64_t n,
                                           int64_t k, SchemeAttr schemeAttr,
                                           LayoutAttr layoutAttr,
                                           CherriesAttr cherriesAttr) {
  Scheme scheme = schemeAttr.getScheme();
  Layout layout = layoutAttr.getLayout();
  if (llvm::Error error = scheme.check())
    return std::move(error);
  if (llvm::Error error = layout.check(n, k))
    return std::move(error);
  if (llvm::Error error = layout.checkWidths(scheme))
    return std::move(error);
  if (cherriesAttr)
    if (llvm::Error error = cherriesAttr.getSpec().check(n, k))
      return std::move(error);

  Type i8 = IntegerType::get(context, 8), i16 = IntegerType::get(context, 16);
  PlaneTypes types;
  int64_t entries = layout.scaleEntries(n, k, scheme);
  types.codes = RankedTensorType::get({layout.codeBytes(n, k)}, i8);
  types.scales = RankedTensorType::get(
      {entries}, getScaleElementType(context, scheme.scaleType));
  if (scheme.hasZeroPoints())
    types.zeros = RankedTensorType::get({entries}, i8);
  if (cherriesAttr) {
    CherrySpec spec = cherriesAttr.getSpec();
    types.cherryColumns = RankedTensorType::get(
        {spec.numColumns(n, k)}, spec.columnBytes() == 1 ? i8 : i16);
    types.cherryDeltas = RankedTensorType::get({spec.numDeltas(n, k)},
                                               Float16Type::get(context));
  }
  if (layout.permuted)
    types.rowOrder = getRowOrderType(context, n);
  return types;
}

static LogicalResult verifyPlane(Operation *op, StringRef name, Value plane,
                                 RankedTensorType expected) {
  if (!expected)
    return plane ? op->emitOpError()
                       << "has a plane of " << name
                       << " that its scheme, layout and cherries do not have"
                 : success();
  if (!plane)
    return op->emitOpError()
           << "needs a plane of " << name << ", " << expected.getNumElements()
           << " x " << expected.getElementType();
  auto type = cast<ShapedType>(plane.getType());
  if (type.getRank() != 1 || type.getShape() != expected.getShape() ||
      type.getElementType() != expected.getElementType())
    return op->emitOpError()
           << "plane of " << name << " is " << type
           << ", but shape, scheme and layout demand "
           << expected.getNumElements() << " x " << expected.getElementType();
  return success();
}

LogicalResult cq::detail::verifyPlanes(Operation *op, int64_t n, int64_t k,
                                       SchemeAttr scheme, LayoutAttr layout,
                                       CherriesAttr cherries,
                                       const Planes &planes, bool knowsOrder) {
  if (ShapedType::isDynamic(n) || ShapedType::isDynamic(k))
    return op->emitOpError("needs static N and K");
  llvm::Expected<PlaneTypes> types =
      PlaneTypes::get(op->getContext(), n, k, scheme, layout, cherries);
  if (!types)
    return emitIfError(op, types.takeError());
  return failure(
      failed(verifyPlane(op, "codes", planes.codes, types->codes)) ||
      failed(verifyPlane(op, "scales", planes.scales, types->scales)) ||
      failed(verifyPlane(op, "zeros", planes.zeros, types->zeros)) ||
      failed(verifyPlane(op, "cherry columns", planes.cherryColumns,
                         types->cherryColumns)) ||
      failed(verifyPlane(op, "cherry deltas", planes.cherryDeltas,
                         types->cherryDeltas)) ||
      (knowsOrder &&
       failed(verifyPlane(op, "row order", planes.rowOrder, types->rowOrder))));
}
