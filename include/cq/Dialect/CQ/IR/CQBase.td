//===- CQBase.td - The cq dialect -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQBASE_TD
#define CQ_DIALECT_CQ_IR_CQBASE_TD

include "mlir/IR/OpBase.td"

def CQ_Dialect : Dialect {
  let name = "cq";
  let cppNamespace = "::mlir::cq";
  let summary = "Mixed-precision weights and the products that read them";
  let description = [{
    The `cq` dialect says what a quantized weight *is* and which computations
    read it, on the way from a model in `linalg` to kernels of one target.

    ## Vocabulary

    A **weight** is a matrix W [N, K]: N output features (rows), K input features
    (columns); a linear layer is y = x Wᵀ for activations x [M, K].

    A **group** is a run of consecutive columns of one row that share a scale. The
    last group of a row may be short.

    A **code** u is an unsigned integer of `bits` bits. A **scheme** says which
    number ŵ a code stands for, given the **scale** S (and the **zero point** z)
    of its group:

    | grid        | ŵ                        |
    |-------------|--------------------------|
    | `symmetric` | S (u − 2^(bits − 1))     |
    | `affine`    | S (u − z)                |
    | `half_step` | (S / 2) (2u − (2^bits − 1)) |

    A **cherry** is a weight too important to lose: beside its code the IR holds
    the f16 *delta* w − ŵ, so that precise value = ŵ + delta and the sparse part
    of every kernel only adds.

    A **plane** is a flat, dense tensor with one kind of those numbers: codes
    (packed bytes), scales, zero points, cherry columns, cherry deltas. Planes
    are SSA operands, never part of a type. A **layout** says where in the planes
    the numbers of row n and column k lie. N and K are never stored beside the
    planes: N is the sum of the layout's rows, K comes from the activations.

    Rows may have **several widths**: those of the largest impact are stored
    first, with more bits, in whole panels of 16. A further plane, the **row
    order**, says which row of W each stored row is; everything offline between
    `cq.permute_rows` and `cq.pack` is in stored order, and `cq.matmul` stores
    its results in the order of W.

    ## Attributes

    `#cq.scheme`, `#cq.layout` and `#cq.cherries` wrap the structs of the codec
    library (cq/Codec/Scheme.h, cq/Codec/Layout.h), which alone know the formulas
    and offsets. Verifiers ask them, so an op whose planes do not fit is refused
    before any kernel can read garbage.

    ```mlir
    // 3 bits, one f16 scale for 64 columns.
    #s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
    // 8 bits, one f32 scale for the whole row.
    #r = #cq.scheme<bits = 8, group = row, grid = symmetric, scale = f32>
    // 192 rows of 3-bit codes, in panels of 16 rows.
    #l = #cq.layout<panel16, [192 : 3]>
    // 32 rows of 4 bits, then 160 of 3, in an order of their own.
    #m = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
    // The best weight of every (row, 256 columns) is a cherry.
    #c = #cq.cherries<slot, 1>
    ```

    ## From a weight to a product

    Ops come in pairs: `quantize`/`dequantize`, `pack`/`unpack`,
    `extract_cherries`/`scatter_cherries`. The left one of each pair runs once,
    when a model is quantized (`cq-materialize-parameters`), the right one is the
    meaning of what a kernel reads.

    ```mlir
    %columns = cq.extract_cherries %w {scheme = #s, cherries = #c,
        criterion = #cq.criterion<quant_error>} : tensor<192x576xf32> -> tensor<384xi8>
    %codes, %scales, %deltas = cq.quantize %w cherries(%columns : tensor<384xi8>)
        {scheme = #s, quantizer = #cq.quantizer<mse>, cherries = #c}
        : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16>, tensor<384xf16>
    %pc, %ps = cq.pack %codes scales(%scales : tensor<192x9xf16>) {scheme = #s, layout = #l}
        : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
    ```

    A product reads the planes, in destination style. With int8 activations the
    activations are quantized by an op of their own, shared by all products that
    read them; cherries always multiply the f32 activations:

    ```mlir
    %xc, %xs, %xz = cq.dynamic_quantize %x outs(%a, %b, %c : …) {group = 64 : i64} : …
    %y = cq.matmul x(%x : tensor<8x576xf32>)
        activations(%xc, %xs, %xz : tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>)
        codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
        cherries(%columns, %deltas : tensor<384xi8>, tensor<384xf16>)
        outs(%init : tensor<8x192xf32>)
        {scheme = #s, layout = #l, cherries = #c, mode = #cq.activation<int8>}
        -> tensor<8x192xf32>
    ```

    The numerical meaning of `cq.matmul`, order of operations included, is that of
    cq/Codec/ReferenceGemm.h; every lowering is tested against it.

    ## Bytes

    Element types of planes: codes and zero points `i8` (holding unsigned values),
    scales `f16`, `bf16` or `f32` as the scheme says, cherry columns `i8` (form
    `slot`, column within its block of 256) or `i16` (otherwise), cherry deltas
    `f16`, row order `i16` (`i32` above 65536 rows; unsigned values). Storage is always whole bytes; `i3` lives in registers only.

    By reference, planes are `ml_program.global`s named after the weight:
    `"w:codes"`, `"w:scales"`, `"w:zeros"`, `"w:cherry_columns"`,
    `"w:cherry_deltas"`, `"w:row_order"`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{
    /// Attributes' storage is complete in CQAttributes.cpp only.
    void registerAttributes();
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

#endif // CQ_DIALECT_CQ_IR_CQBASE_TD
