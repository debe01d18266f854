//===- CQAttributes.td - Attributes of the cq dialect -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQATTRIBUTES_TD
#define CQ_DIALECT_CQ_IR_CQATTRIBUTES_TD

include "cq/Dialect/CQ/IR/CQBase.td"
include "mlir/IR/AttrTypeBase.td"

class CQ_Attr<string name, string mnemonic_> : AttrDef<CQ_Dialect, name> {
  let mnemonic = mnemonic_;
  let hasCustomAssemblyFormat = 1;
}

def CQ_SchemeAttr : CQ_Attr<"Scheme", "scheme"> {
  let summary = "What the numbers of a quantized weight mean";
  let description = [{
    Wraps `cq::Scheme`. Fields: `bits` (2, 3, 4, 5, 6 or 8), `group` (32, 64, 128
    or `row`), `grid` (`symmetric`, `affine`, `half_step`) and `scale`, the type
    scales are stored in (`f16`, `bf16`, `f32`).

    ```mlir
    #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
    ```
  }];
  let parameters = (ins "Scheme":$scheme);
  let genVerifyDecl = 1;
}

def CQ_LayoutAttr : CQ_Attr<"Layout", "layout"> {
  let summary = "Where the bytes of a quantized weight lie";
  let description = [{
    Wraps `cq::Layout`: `linear` (dense rows, least significant bit first),
    `panel16` (panels of 16 rows, for x86) or `mma_fragment` (tiles of 16 rows
    in the registers of an NVIDIA mma), then row segments `rows : bits`. The rows sum
    to N; the last segment has the bits of the op's scheme, others may be wider
    (rows of high impact come first). `permuted`: the rows are not stored in the
    order of W; the op has an operand `rows` that says which row each is.

    ```mlir
    #cq.layout<panel16, [192 : 3]>
    #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
    ```
  }];
  let parameters = (ins "LayoutKind":$kind,
                        ArrayRefParameter<"RowSegment">:$segments,
                        "bool":$permuted);
  let builders = [AttrBuilder<(ins "const Layout &":$layout), [{
    return $_get($_ctxt, layout.kind, ArrayRef<RowSegment>(layout.segments),
                 layout.permuted);
  }]>];
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    Layout getLayout() const;
    /// N, the sum of the segments' rows (the verifier bounds it).
    int64_t getNumRows() const;
  }];
}

def CQ_CherriesAttr : CQ_Attr<"Cherries", "cherries"> {
  let summary = "How many weights are kept precise, and how they are stored";
  let description = [{
    Wraps `cq::CherrySpec`. Forms: `element` (count a row), `column` (count whole
    columns), `slot` (count for every row and 256 columns).

    ```mlir
    #cq.cherries<slot, 1>
    ```
  }];
  let parameters = (ins "CherrySpec":$spec);
  let genVerifyDecl = 1;
}

def CQ_QuantizerAttr : CQ_Attr<"Quantizer", "quantizer"> {
  let summary = "How scales are chosen";
  let description = "`rtn` (min–max) or `mse` (scale search): `#cq.quantizer<mse>`.";
  let parameters = (ins "QuantizerKind":$kind);
}

def CQ_CriterionAttr : CQ_Attr<"Criterion", "criterion"> {
  let summary = "What makes a weight a cherry";
  let description = "`magnitude` or `quant_error`: `#cq.criterion<quant_error>`.";
  let parameters = (ins "CherryCriterion":$criterion);
}

def CQ_ActivationAttr : CQ_Attr<"Activation", "activation"> {
  let summary = "In which numbers a product reads its activations";
  let description = "`f32` or `int8`: `#cq.activation<int8>`.";
  let parameters = (ins "ActivationMode":$mode);
}

#endif // CQ_DIALECT_CQ_IR_CQATTRIBUTES_TD
