//===- CQNVOps.td - What NVIDIA kernels need beside nvgpu -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQNVOPS_TD
#define CQ_DIALECT_CQ_IR_CQNVOPS_TD

include "cq/Dialect/CQ/IR/CQBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

// Ops inside gpu.func kernels that nvgpu and nvvm of MLIR 22 lack. They say what
// happens, so that an interpreter can run them; PTX appears in
// convert-cq-nv-to-llvm only.
class CQNV_Op<string mnemonic, list<Trait> traits = []>
    : Op<CQ_Dialect, "nv." # mnemonic, traits> {
  let cppNamespace = "::mlir::cq::nv";
}

def CQNV_LoadWeightsOp : CQNV_Op<"load_weights"> {
  let summary = "Words of a packed plane, read once";
  let description = [{
    One, two or four little-endian 32-bit words at a byte offset of a plane in
    global memory that nobody writes while the kernel runs. The offset is a
    multiple of the bytes read. They are read once: no L1 allocation, first to
    leave L2.

    ```mlir
    %w = cq.nv.load_weights %codes[%byte] : memref<41472xi8> -> vector<4xi32>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[I8], [1]>, "", [MemRead]>:$plane, Index:$byte);
  let results = (outs VectorOfLengthAndType<[1, 2, 4], [I32]>:$words);
  let assemblyFormat = "$plane `[` $byte `]` attr-dict `:` type($plane) `->` type($words)";
}

def CQNV_MmaOp : CQNV_Op<"mma", [Pure, AllTypesMatch<["c", "d"]>,
    AllTypesMatch<["a0", "a1", "a2", "a3", "b0", "b1"]>]> {
  let summary = "D = C + A B of a warp, m16n8k16, f32 sums";
  let description = [{
    With g = lane / 4 and t = lane mod 4, two elements each:
    a0 = A[g, 2t …], a1 = A[g + 8, 2t …], a2 = A[g, 2t + 8 …],
    a3 = A[g + 8, 2t + 8 …]; b0 = B[2t …, g], b1 = B[2t + 8 …, g];
    c = C[g, 2t], C[g, 2t + 1], C[g + 8, 2t], C[g + 8, 2t + 1], and so d.
    All 32 lanes take part. (nvgpu.mma.sync has no bf16.)

    ```mlir
    %d = cq.nv.mma a(%a0, %a1, %a2, %a3) b(%b0, %b1) c(%c)
        : vector<2xf16>, vector<4xf32>
    ```
  }];
  defvar Pair = VectorOfLengthAndType<[2], [F16, BF16]>;
  defvar Sums = VectorOfLengthAndType<[4], [F32]>;
  let arguments = (ins Pair:$a0, Pair:$a1, Pair:$a2, Pair:$a3, Pair:$b0, Pair:$b1, Sums:$c);
  let results = (outs Sums:$d);
  let assemblyFormat = [{
    `a` `(` $a0 `,` $a1 `,` $a2 `,` $a3 `)` `b` `(` $b0 `,` $b1 `)` `c` `(` $c `)`
    attr-dict `:` type($a0) `,` type($c)
  }];
  let builders = [OpBuilder<(ins "ValueRange":$a, "ValueRange":$b, "Value":$c), [{
    build($_builder, $_state, c.getType(), a[0], a[1], a[2], a[3], b[0], b[1], c);
  }]>];
}

#endif // CQ_DIALECT_CQ_IR_CQNVOPS_TD
