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

//===----------------------------------------------------------------------===//
// Products of a warpgroup (sm_90a)
//===----------------------------------------------------------------------===//

defvar CQNV_Pair = VectorOfLengthAndType<[2], [F16, BF16]>;
defvar CQNV_Sums = VectorOfLengthAndType<[4], [F32]>;

def CQNV_WgmmaFenceOp : CQNV_Op<"wgmma_fence"> {
  let summary = "Registers that products may read from here on";
  let description = [{
    Orders the writes of registers before the products that follow. Operands of
    `cq.nv.wgmma` come through it.
  }];
  let arguments = (ins Variadic<CQNV_Pair>:$values);
  let results = (outs Variadic<CQNV_Pair>:$fenced);
  let assemblyFormat = "$values attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def CQNV_WgmmaOp : CQNV_Op<"wgmma"> {
  let summary = "Starts D = C + A B of a warpgroup, m64nNk16, f32 sums";
  let description = [{
    Four warps multiply 16 rows each (fragments as in `cq.nv.mma`) with N = 8
    times the number of results tokens. B is K-major in shared memory: tiles of
    N rows of 64 elements in a row of 128 bytes, 1024-byte aligned, whose 16-byte
    pieces are swizzled (piece XOR row mod 8); `index` is the element of the
    first row at which the step of 16 starts, before swizzling. Without `c` the sums start at zero.

    The product is in flight until a `cq.nv.wgmma_wait` has seen its group:
    results are operands of further products and of that wait only, and B must
    stay as it is. `a` comes from `cq.nv.wgmma_fence`.
  }];
  let arguments = (ins CQNV_Pair:$a0, CQNV_Pair:$a1, CQNV_Pair:$a2, CQNV_Pair:$a3,
                       MemRefRankOf<[F16, BF16], [1]>:$b, Index:$index,
                       Variadic<CQNV_Sums>:$c);
  let results = (outs Variadic<CQNV_Sums>:$d);
  let assemblyFormat = [{
    `a` `(` $a0 `,` $a1 `,` $a2 `,` $a3 `)` `b` `(` $b `[` $index `]` `)` `c` `(` $c `)`
    attr-dict `:` type($a0) `,` type($a1) `,` type($a2) `,` type($a3) `,` type($b)
    `,` functional-type($c, $d)
  }];
  let hasVerifier = 1;
}

def CQNV_WgmmaCommitOp : CQNV_Op<"wgmma_commit"> {
  let summary = "Makes a group of the products started since the last one";
  let assemblyFormat = "attr-dict";
}

def CQNV_WgmmaWaitOp : CQNV_Op<"wgmma_wait"> {
  let summary = "Until all but the `pending` newest groups are done";
  let description = [{
    `sums` are of products of groups that are done; the results may be used.
  }];
  let arguments = (ins I32Attr:$pending, Variadic<CQNV_Sums>:$sums);
  let results = (outs Variadic<CQNV_Sums>:$results);
  let assemblyFormat = "$pending `(` $sums `)` attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def CQNV_BulkCopyOp : CQNV_Op<"bulk_copy"> {
  let summary = "Starts copying consecutive bytes to shared memory";
  let description = [{
    One copy for each active lane (let one be active): `bytes` of `source` from
    element `from` on, to `destination` from element `to` on; all multiples of 16
    bytes. It counts `bytes` down on an mbarrier, whose phase ends when all is there.

    ```mlir
    cq.nv.bulk_copy %packed[%from] to %staged[%to], %bytes, %barriers[%stage]
        : memref<65536xf16>, memref<?xf16, #gpu.address_space<workgroup>>, !nvgpu.mbarrier.group<…>
    ```
  }];
  let arguments = (ins MemRefRankOf<[AnyType], [1]>:$source, Index:$from,
                       MemRefRankOf<[AnyType], [1]>:$destination, Index:$to,
                       Index:$bytes, AnyType:$barriers, Index:$barrier);
  let assemblyFormat = [{
    $source `[` $from `]` `to` $destination `[` $to `]` `,` $bytes `,`
    $barriers `[` $barrier `]` attr-dict `:` type($source) `,` type($destination) `,` type($barriers)
  }];
}

#endif // CQ_DIALECT_CQ_IR_CQNVOPS_TD
