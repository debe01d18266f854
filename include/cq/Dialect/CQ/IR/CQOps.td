//===- CQOps.td - Ops of the cq dialect -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQOPS_TD
#define CQ_DIALECT_CQ_IR_CQOPS_TD

include "cq/Dialect/CQ/IR/CQAttributes.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

// Products survive one-shot-bufferization, so their operands are tensors before
// and memrefs after it; ops that run when a model is quantized stay on tensors.
class CQ_Shaped<list<Type> types>
    : AnyTypeOf<[RankedTensorOf<types>, MemRefOf<types>]>;
defvar CQ_ScaleTypes = [F16, BF16, F32];
def CQ_Codes : CQ_Shaped<[I8]>;
def CQ_Scales : CQ_Shaped<CQ_ScaleTypes>;
def CQ_Columns : CQ_Shaped<[I8, I16]>;
def CQ_Deltas : CQ_Shaped<[F16]>;
def CQ_RowOrder : CQ_Shaped<[I16, I32]>;
def CQ_F32 : CQ_Shaped<[F32]>;
def CQ_F32Matrix : 2DTensorOf<[F32]>;
def CQ_I8Matrix : 2DTensorOf<[I8]>;
def CQ_I8Plane : 1DTensorOf<[I8]>;

class CQ_Op<string mnemonic, list<Trait> traits = []>
    : Op<CQ_Dialect, mnemonic, traits> {
  let hasVerifier = 1;
}

/// An op that only exists while a model is being quantized.
class CQ_OfflineOp<string mnemonic, list<Trait> traits = []>
    : CQ_Op<mnemonic, !listconcat([Pure], traits)>;

/// An op of the running model: destination style, tensors or memrefs.
class CQ_ComputeOp<string mnemonic, list<Trait> traits = []>
    : CQ_Op<mnemonic, !listconcat(
          [DestinationStyleOpInterface,
           DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
           AlwaysSpeculatable], traits)>;

//===----------------------------------------------------------------------===//
// Weights to planes and back
//===----------------------------------------------------------------------===//

def CQ_QuantizeOp : CQ_OfflineOp<"quantize", [AttrSizedResultSegments]> {
  let summary = "Weights to codes and scales";
  let description = [{
    W [N, K] → codes [N, K] (one a byte), scales [N, groups] (rounded to the
    scheme's type) and, for the affine grid, zero points [N, groups]. With
    `cherries` the weights at the given columns are left out of the groups'
    ranges, and their deltas (f16 plane) are a last result. A `layout` with
    segments of several widths says how many bits each row gets.

    ```mlir
    %codes, %scales = cq.quantize %w {scheme = #s, quantizer = #cq.quantizer<mse>}
        : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16>
    ```
  }];
  let arguments = (ins CQ_F32Matrix:$weight,
                       Optional<1DTensorOf<[I8, I16]>>:$cherryColumns,
                       CQ_SchemeAttr:$scheme, CQ_QuantizerAttr:$quantizer,
                       OptionalAttr<CQ_CherriesAttr>:$cherries,
                       OptionalAttr<CQ_LayoutAttr>:$layout);
  let results = (outs CQ_I8Matrix:$codes, 2DTensorOf<CQ_ScaleTypes>:$scales,
                      Optional<CQ_I8Matrix>:$zeros,
                      Optional<1DTensorOf<[F16]>>:$cherryDeltas);
  let assemblyFormat = [{
    $weight (`cherries` `(` $cherryColumns^ `:` type($cherryColumns) `)`)? attr-dict
    `:` type($weight) `->` type($codes) `,` type($scales)
    (`zeros` type($zeros)^)? (`deltas` type($cherryDeltas)^)?
  }];
}

def CQ_DequantizeOp : CQ_OfflineOp<"dequantize"> {
  let summary = "Codes and scales to numbers";
  let description = [{
    The decoded ŵ [N, K], exactly the formula of the scheme in f32; row by row
    with the widths of `layout`, if it is given.

    ```mlir
    %w = cq.dequantize %codes scales(%scales : tensor<192x9xf16>) {scheme = #s}
        : tensor<192x576xi8> -> tensor<192x576xf32>
    ```
  }];
  let arguments = (ins CQ_I8Matrix:$codes, 2DTensorOf<CQ_ScaleTypes>:$scales,
                       Optional<CQ_I8Matrix>:$zeros, CQ_SchemeAttr:$scheme,
                       OptionalAttr<CQ_LayoutAttr>:$layout);
  let results = (outs CQ_F32Matrix:$result);
  let assemblyFormat = [{
    $codes `scales` `(` $scales `:` type($scales) `)`
    (`zeros` `(` $zeros^ `:` type($zeros) `)`)? attr-dict
    `:` type($codes) `->` type($result)
  }];
  let hasFolder = 1;
}

def CQ_PackOp : CQ_OfflineOp<"pack"> {
  let summary = "Logical planes to flat packed planes";
  let description = [{
    Codes [N, K], scales and zero points [N, groups] → the flat planes of a
    layout, padding written as 0.

    ```mlir
    %pc, %ps = cq.pack %codes scales(%scales : tensor<192x9xf16>) {scheme = #s, layout = #l}
        : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
    ```
  }];
  let arguments = (ins CQ_I8Matrix:$codes, 2DTensorOf<CQ_ScaleTypes>:$scales,
                       Optional<CQ_I8Matrix>:$zeros, CQ_SchemeAttr:$scheme,
                       CQ_LayoutAttr:$layout);
  let results = (outs CQ_I8Plane:$packedCodes, 1DTensorOf<CQ_ScaleTypes>:$packedScales,
                      Optional<CQ_I8Plane>:$packedZeros);
  let assemblyFormat = [{
    $codes `scales` `(` $scales `:` type($scales) `)`
    (`zeros` `(` $zeros^ `:` type($zeros) `)`)? attr-dict
    `:` type($codes) `->` type($packedCodes) `,` type($packedScales)
    (`,` type($packedZeros)^)?
  }];
}

def CQ_UnpackOp : CQ_OfflineOp<"unpack"> {
  let summary = "Flat packed planes to logical planes";
  let description = [{
    Inverse of `cq.pack`; padding is ignored. `unpack(pack(x))` folds to x.

    ```mlir
    %codes, %scales = cq.unpack %pc scales(%ps : tensor<1728xf16>) {scheme = #s, layout = #l}
        : tensor<41472xi8> -> tensor<192x576xi8>, tensor<192x9xf16>
    ```
  }];
  let arguments = (ins CQ_I8Plane:$packedCodes, 1DTensorOf<CQ_ScaleTypes>:$packedScales,
                       Optional<CQ_I8Plane>:$packedZeros, CQ_SchemeAttr:$scheme,
                       CQ_LayoutAttr:$layout);
  let results = (outs CQ_I8Matrix:$codes, 2DTensorOf<CQ_ScaleTypes>:$scales,
                      Optional<CQ_I8Matrix>:$zeros);
  let assemblyFormat = [{
    $packedCodes `scales` `(` $packedScales `:` type($packedScales) `)`
    (`zeros` `(` $packedZeros^ `:` type($packedZeros) `)`)? attr-dict
    `:` type($packedCodes) `->` type($codes) `,` type($scales) (`,` type($zeros)^)?
  }];
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def CQ_ExtractCherriesOp : CQ_OfflineOp<"extract_cherries"> {
  let summary = "Where the important weights are";
  let description = [{
    W [N, K] → the cherry column plane (flat; see cq/Codec/Scheme.h for the order
    of each form). Runs before `cq.quantize`, because cherries do not take part in
    the ranges of their groups. `scheme` is the one the rest will be quantized
    with, `layout` gives rows other widths: the criterion `quant_error` asks how
    badly they round a weight.

    ```mlir
    %columns = cq.extract_cherries %w {scheme = #s, cherries = #c,
        criterion = #cq.criterion<quant_error>} : tensor<192x576xf32> -> tensor<384xi8>
    ```
  }];
  let arguments = (ins CQ_F32Matrix:$weight, CQ_SchemeAttr:$scheme,
                       CQ_CherriesAttr:$cherries, CQ_CriterionAttr:$criterion,
                       OptionalAttr<CQ_LayoutAttr>:$layout);
  let results = (outs 1DTensorOf<[I8, I16]>:$columns);
  let assemblyFormat = "$weight attr-dict `:` type($weight) `->` type($columns)";
}

def CQ_RankRowsOp : CQ_OfflineOp<"rank_rows"> {
  let summary = "Which rows are worth more bits";
  let description = [{
    W [N, K] → the order in which its rows are stored: those of the largest
    impact first, as many as the first segment of `layout` has, each part
    ascending (cq/Codec/MixedRows.h has the formula). Stored row s is row
    order[s] of W. Entries are unsigned, i16 up to 65536 rows, else i32.

    ```mlir
    %order = cq.rank_rows %w {scheme = #s, layout = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>}
        : tensor<192x576xf32> -> tensor<192xi16>
    ```
  }];
  let arguments = (ins CQ_F32Matrix:$weight, CQ_SchemeAttr:$scheme,
                       CQ_LayoutAttr:$layout);
  let results = (outs 1DTensorOf<[I16, I32]>:$order);
  let assemblyFormat = "$weight attr-dict `:` type($weight) `->` type($order)";
}

def CQ_PermuteRowsOp : CQ_OfflineOp<"permute_rows", [AllTypesMatch<["matrix", "result"]>]> {
  let summary = "The rows of a matrix as they are stored";
  let description = [{
    Row s of the result is row order[s] of the matrix. `cq.matmul` with the same
    order undoes it on store. An entry that is no row is undefined behaviour, as
    in `tensor.extract`.

    ```mlir
    %v = cq.permute_rows %w, %order : tensor<192x576xf32>, tensor<192xi16>
    ```
  }];
  let arguments = (ins CQ_F32Matrix:$matrix, 1DTensorOf<[I16, I32]>:$order);
  let results = (outs CQ_F32Matrix:$result);
  let assemblyFormat = "$matrix `,` $order attr-dict `:` type($matrix) `,` type($order)";
}

def CQ_ScatterCherriesOp : CQ_OfflineOp<"scatter_cherries", [AllTypesMatch<["dense", "result"]>]> {
  let summary = "Adds the cherries' deltas to decoded weights";
  let description = [{
    result = dense, plus each delta at its row and column. Deltas are added, never
    stored over.

    ```mlir
    %w = cq.scatter_cherries %dense, %columns, %deltas {cherries = #c}
        : tensor<192x576xf32>, tensor<384xi8>, tensor<384xf16>
    ```
  }];
  let arguments = (ins CQ_F32Matrix:$dense, 1DTensorOf<[I8, I16]>:$columns,
                       1DTensorOf<[F16]>:$deltas, CQ_CherriesAttr:$cherries);
  let results = (outs CQ_F32Matrix:$result);
  let assemblyFormat = [{
    $dense `,` $columns `,` $deltas attr-dict
    `:` type($dense) `,` type($columns) `,` type($deltas)
  }];
}

def CQ_RelayoutOp : CQ_OfflineOp<"relayout"> {
  let summary = "Planes of one layout to planes of another";
  let description = [{
    Codes, scales and zero points of W [N, columns] from layout `from` to layout
    `to`; both hold the same rows. Cherry planes are the same in every layout.

    ```mlir
    %qc, %qs = cq.relayout %pc scales(%ps : tensor<1728xf16>)
        {scheme = #s, from = #linear, to = #l, columns = 576 : i64}
        : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
    ```
  }];
  let arguments = (ins CQ_I8Plane:$codes, 1DTensorOf<CQ_ScaleTypes>:$scales,
                       Optional<CQ_I8Plane>:$zeros, CQ_SchemeAttr:$scheme,
                       CQ_LayoutAttr:$from, CQ_LayoutAttr:$to, I64Attr:$columns);
  let results = (outs CQ_I8Plane:$newCodes, 1DTensorOf<CQ_ScaleTypes>:$newScales,
                      Optional<CQ_I8Plane>:$newZeros);
  let assemblyFormat = [{
    $codes `scales` `(` $scales `:` type($scales) `)`
    (`zeros` `(` $zeros^ `:` type($zeros) `)`)? attr-dict
    `:` type($codes) `->` type($newCodes) `,` type($newScales)
    (`,` type($newZeros)^)?
  }];
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

//===----------------------------------------------------------------------===//
// The running model
//===----------------------------------------------------------------------===//

def CQ_GatherOp : CQ_ComputeOp<"gather", [AttrSizedOperandSegments]> {
  let summary = "Rows of a packed weight as floats";
  let description = [{
    out[i…, :] = decoded row indices[i…] of W [N, K], cherries included; K is the
    last dimension of `init`. One packed copy so serves an embedding and the tied
    head. An index outside [0, N) is undefined behaviour, as in `tensor.extract`.

    ```mlir
    %rows = cq.gather %tokens : tensor<8xi32>
        codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
        outs(%init : tensor<8x576xf32>) {scheme = #s, layout = #l} -> tensor<8x576xf32>
    ```
  }];
  let arguments = (ins CQ_Shaped<[AnySignlessInteger, Index]>:$indices,
                       CQ_Codes:$codes, CQ_Scales:$scales, Optional<CQ_Codes>:$zeros,
                       Optional<CQ_Columns>:$cherryColumns,
                       Optional<CQ_Deltas>:$cherryDeltas, CQ_F32:$init,
                       CQ_SchemeAttr:$scheme, CQ_LayoutAttr:$layout,
                       OptionalAttr<CQ_CherriesAttr>:$cherries);
  let results = (outs Optional<RankedTensorOf<[F32]>>:$result);
  let assemblyFormat = [{
    $indices `:` type($indices)
    `codes` `(` $codes `:` type($codes) `)` `scales` `(` $scales `:` type($scales) `)`
    (`zeros` `(` $zeros^ `:` type($zeros) `)`)?
    (`cherries` `(` $cherryColumns^ `,` $cherryDeltas `:`
        type($cherryColumns) `,` type($cherryDeltas) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    int64_t getN();
    int64_t getK();
  }];
}

def CQ_DynamicQuantizeOp : CQ_ComputeOp<"dynamic_quantize"> {
  let summary = "Activations to int8 codes, scales and group sums";
  let description = [{
    x [M, K] → codes [M, K], scales [M, A], sums of the codes [M, A], with
    A = ⌈K / group⌉ (cq/Codec/ReferenceGemm.h has the formula). An op of its own,
    so that all products that read x share it.

    ```mlir
    %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<8x576xf32>
        outs(%a, %b, %c : tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>)
        {group = 64 : i64} -> tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>
    ```
  }];
  let arguments = (ins CQ_F32:$x, CQ_Codes:$codesInit, CQ_F32:$scalesInit,
                       CQ_Shaped<[I32]>:$sumsInit, I64Attr:$group);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $x `:` type($x) `outs` `(` $codesInit `,` $scalesInit `,` $sumsInit `:`
    type($codesInit) `,` type($scalesInit) `,` type($sumsInit) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() {
      return MutableOperandRange(getOperation(), 1, 3);
    }
  }];
}

def CQ_MatmulOp : CQ_ComputeOp<"matmul", [AttrSizedOperandSegments]> {
  let summary = "A product with a packed weight";
  let description = [{
    init [M, N] is overwritten with x Ŵᵀ, Ŵ [N, K] being the decoded weight with its
    cherries added (it is a destination, not an accumulator). In mode `f32` the
    activations are `x`; in mode `int8` they are the three results of
    `cq.dynamic_quantize` (group: `cq::activationGroup(scheme)`), and `x` is given
    as well exactly when there are cherries. With `rows` (of a permuted layout)
    the result of stored row s is column rows[s] of init.

    ```mlir
    %y = cq.matmul x(%x : tensor<8x576xf32>)
        codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
        outs(%init : tensor<8x192xf32>)
        {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<8x192xf32>
    ```
  }];
  let arguments = (ins Optional<CQ_F32>:$x, Optional<CQ_Codes>:$activationCodes,
                       Optional<CQ_F32>:$activationScales,
                       Optional<CQ_Shaped<[I32]>>:$activationSums,
                       CQ_Codes:$codes, CQ_Scales:$scales, Optional<CQ_Codes>:$zeros,
                       Optional<CQ_Columns>:$cherryColumns,
                       Optional<CQ_Deltas>:$cherryDeltas,
                       Optional<CQ_RowOrder>:$rowOrder, CQ_F32:$init,
                       CQ_SchemeAttr:$scheme, CQ_LayoutAttr:$layout,
                       OptionalAttr<CQ_CherriesAttr>:$cherries,
                       CQ_ActivationAttr:$mode);
  let results = (outs Optional<RankedTensorOf<[F32]>>:$result);
  let assemblyFormat = [{
    (`x` `(` $x^ `:` type($x) `)`)?
    (`activations` `(` $activationCodes^ `,` $activationScales `,` $activationSums `:`
        type($activationCodes) `,` type($activationScales) `,` type($activationSums) `)`)?
    `codes` `(` $codes `:` type($codes) `)` `scales` `(` $scales `:` type($scales) `)`
    (`zeros` `(` $zeros^ `:` type($zeros) `)`)?
    (`cherries` `(` $cherryColumns^ `,` $cherryDeltas `:`
        type($cherryColumns) `,` type($cherryDeltas) `)`)?
    (`rows` `(` $rowOrder^ `:` type($rowOrder) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    /// Rows of activations (may be ShapedType::kDynamic), and the weight's shape.
    int64_t getM();
    int64_t getN();
    int64_t getK();
    /// The activations' f32 or int8 operand, whichever gives M and K.
    Value getActivations();
  }];
}

def CQ_ObservedStatistic : I32EnumAttr<"ObservedStatistic", "what an observation is", [
    I32EnumAttrCase<"input", 0>, I32EnumAttrCase<"gram", 1>,
    I32EnumAttrCase<"block", 2>, I32EnumAttrCase<"gradient", 3>,
    I32EnumAttrCase<"fisher", 4>]> {
  let cppNamespace = "::mlir::cq";
}

def CQ_ObserveOp : CQ_Op<"observe", [AttrSizedOperandSegments,
                                     DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Shows values to the calibration run";
  let description = [{
    Hands f32 values to the host (`cq_observe` of the runtime). The number of the
    observation, base + offset, is an index into the module attribute
    `cq.observations`, which says what each is of; the base is an argument of
    instrumented private functions, so that equal blocks stay equal text. What the
    host does with the values:

    | statistic  | operands                     | meaning                               |
    |------------|------------------------------|---------------------------------------|
    | `input`    | x [tokens, K]                | its columns' moments are summed       |
    | `gram`     | XᵀX [K, K] of a sequence     | summed                                |
    | `block`    | x entering, x leaving        | similarity of the two                 |
    | `gradient` | dL/dW [N, K] of a sequence   | squares are summed                    |
    | `fisher`   | Σ_t (dl_t/dW)² of a sequence | summed                                |

    The effect on the host keeps the op, its order and its count. Leading
    dimensions count as rows.

    ```mlir
    cq.observe input [%base + 3] (%x) : tensor<512x576xf32>
    cq.observe block [0] (%in, %out) : tensor<512x576xf32>, tensor<512x576xf32>
    ```
  }];
  let arguments = (ins CQ_ObservedStatistic:$statistic, Optional<Index>:$base,
                       ConfinedAttr<I64Attr, [IntNonNegative]>:$offset,
                       Variadic<CQ_F32>:$values);
  let results = (outs);
  let assemblyFormat = [{
    $statistic custom<Number>($base, $offset) ` ` `(` $values `)` attr-dict
    `:` type($values)
  }];
}

def CQ_LaunchOp : CQ_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Runs an outlined kernel on the thread pool";
  let description = [{
    Calls `@kernel(args…, begin, end)` for contiguous ranges that together are
    [0, tasks), through `cq_parallel_for` of the runtime, and returns when all are
    done. The kernel is a `func.func` whose last two arguments are of type index.
    Arguments are memrefs, index, i32, i64, f32 or `!llvm.ptr`.

    ```mlir
    cq.launch @kernel(%x, %y : memref<8xf32>, memref<8xf32>) tasks(%n)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$args, Index:$tasks);
  let results = (outs);
  let assemblyFormat = [{
    $kernel `(` ($args^ `:` type($args))? `)` `tasks` `(` $tasks `)` attr-dict
  }];
}

#endif // CQ_DIALECT_CQ_IR_CQOPS_TD
