//===- Passes.h - Passes over upstream dialects --------------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TRANSFORMS_PASSES_H
#define CQ_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class ModuleOp;
class RewritePatternSet;
namespace affine {
class AffineDialect;
} // namespace affine
namespace arith {
class ArithDialect;
} // namespace arith
namespace bufferization {
class BufferizationDialect;
} // namespace bufferization
namespace func {
class FuncOp;
} // namespace func
namespace linalg {
class LinalgDialect;
} // namespace linalg
namespace LLVM {
class LLVMDialect;
} // namespace LLVM
namespace math {
class MathDialect;
} // namespace math
namespace memref {
class MemRefDialect;
} // namespace memref
namespace scf {
class SCFDialect;
} // namespace scf
namespace tensor {
class TensorDialect;
} // namespace tensor
namespace vector {
class VectorDialect;
} // namespace vector
} // namespace mlir

namespace mlir::cq {

class CQDialect;

#define GEN_PASS_DECL
#include "cq/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "cq/Transforms/Passes.h.inc"

/// The patterns of `cq-approximate-math`.
void populateApproximateMathPatterns(RewritePatternSet &patterns);

} // namespace mlir::cq

#endif // CQ_TRANSFORMS_PASSES_H
