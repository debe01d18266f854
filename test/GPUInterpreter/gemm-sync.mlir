// D [16, 8] = A [16, 64] · B [64, 8] in f16, summed in f32: four k-steps, A
// and B come by cp.async in two buffers. A is i mod 7, B is i mod 5, so sums are
// exact and the expected numbers can be computed by hand (see the script below).
// RUN: cq-gpu-run %s --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef --print=2 > %t.out
// RUN: %python %S/Inputs/gemm-reference.py %t.out
// RUN: FileCheck %s < %t.out

// A wait that leaves one group too many in flight:
// RUN: sed 's/numGroups = 1/numGroups = 2/' %s > %t.wait.mlir
// RUN: not cq-gpu-run %t.wait.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef 2>&1 | FileCheck %s --check-prefix=WAIT
// The wait gone:
// RUN: sed '/MUTATE-WAIT/d' %s > %t.nowait.mlir
// RUN: not cq-gpu-run %t.nowait.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef 2>&1 | FileCheck %s --check-prefix=WAIT
// No barrier between a copy's arrival and ldmatrix, which reads other lanes' copies:
// RUN: sed '/MUTATE-BARRIER/d' %s > %t.barrier.mlir
// RUN: not cq-gpu-run %t.barrier.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef 2>&1 | FileCheck %s --check-prefix=RACE
// The next copy goes into a buffer that is still being read:
// RUN: sed '/MUTATE-REUSE/d' %s > %t.reuse.mlir
// RUN: not cq-gpu-run %t.reuse.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef 2>&1 | FileCheck %s --check-prefix=RACE
// A copy that nothing waits for:
// RUN: sed 's/numGroups = 0/numGroups = 1/' %s > %t.last.mlir
// RUN: not cq-gpu-run %t.last.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef 2>&1 | FileCheck %s --check-prefix=WAIT
// Wrong fragments give wrong numbers:
// RUN: sed 's/transpose = true/transpose = false/' %s > %t.transpose.mlir
// RUN: cq-gpu-run %t.transpose.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef --print=2 > %t.bad.out
// RUN: not %python %S/Inputs/gemm-reference.py %t.bad.out
// RUN: sed 's/%%a = nvgpu.ldmatrix %%sa\[%%buf, %%arow, %%acol\]/%%a = nvgpu.ldmatrix %%sa[%%buf, %%arow, %%c0]/' %s > %t.column.mlir
// RUN: cq-gpu-run %t.column.mlir --arg='const cycle(7)' --arg='const cycle(5)' --arg=undef --print=2 > %t.bad2.out
// RUN: not %python %S/Inputs/gemm-reference.py %t.bad2.out

// CHECK: argument 2:
// WAIT: error: {{.*}}{{destination of an asynchronous copy that warp .* has not waited for|without having waited for this copy}}
// RACE: error: {{.*}}race: {{reads|writes}} byte
#shared = #gpu.address_space<workgroup>
gpu.module @kernels {
  gpu.func @gemm(%A: memref<16x64xf16>, %B: memref<64x8xf16>, %D: memref<16x8xf32>)
      workgroup(%sa : memref<2x16x16xf16, #shared>, %sb : memref<2x16x8xf16, #shared>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant dense<0.0> : vector<2x2xf32>
    %lane = gpu.thread_id x
    // Copies: lane l takes 8 elements of A's row l / 2, lanes 0–15 row l of B.
    %row = arith.divui %lane, %c2 : index
    %odd = arith.remui %lane, %c2 : index
    %col = arith.muli %odd, %c8 : index
    %low = arith.cmpi ult, %lane, %c16 : index
    // ldmatrix: rows of the four tiles of A, of the two of B.
    %arow = arith.remui %lane, %c16 : index
    %hi = arith.divui %lane, %c16 : index
    %acol = arith.muli %hi, %c8 : index

    %t0 = nvgpu.device_async_copy %A[%row, %col], %sa[%c0, %row, %col], 8 : memref<16x64xf16> to memref<2x16x16xf16, #shared>
    scf.if %low {
      %u = nvgpu.device_async_copy %B[%lane, %c0], %sb[%c0, %lane, %c0], 8 : memref<64x8xf16> to memref<2x16x8xf16, #shared>
    }
    %g0 = nvgpu.device_async_create_group %t0

    %sum = scf.for %k = %c0 to %c4 step %c1 iter_args(%acc = %zero) -> vector<2x2xf32> {
      %buf = arith.remui %k, %c2 : index
      %next = arith.addi %k, %c1 : index
      %nextbuf = arith.remui %next, %c2 : index
      %more = arith.cmpi ult, %next, %c4 : index
      scf.if %more {
        %nk = arith.muli %next, %c16 : index
        %ncol = arith.addi %nk, %col : index
        %t1 = nvgpu.device_async_copy %A[%row, %ncol], %sa[%nextbuf, %row, %col], 8 : memref<16x64xf16> to memref<2x16x16xf16, #shared>
        scf.if %low {
          %nrow = arith.addi %nk, %lane : index
          %u = nvgpu.device_async_copy %B[%nrow, %c0], %sb[%nextbuf, %lane, %c0], 8 : memref<64x8xf16> to memref<2x16x8xf16, #shared>
        }
        %g1 = nvgpu.device_async_create_group %t1
        nvgpu.device_async_wait %g1 {numGroups = 1 : i32} // MUTATE-WAIT
      } else {
        nvgpu.device_async_wait %g0 {numGroups = 0 : i32}
      }
      gpu.barrier // MUTATE-BARRIER
      %a = nvgpu.ldmatrix %sa[%buf, %arow, %acol] {numTiles = 4 : i32, transpose = false} : memref<2x16x16xf16, #shared> -> vector<4x2xf16>
      %b = nvgpu.ldmatrix %sb[%buf, %arow, %c0] {numTiles = 2 : i32, transpose = true} : memref<2x16x8xf16, #shared> -> vector<2x2xf16>
      %d = nvgpu.mma.sync (%a, %b, %acc) {mmaShape = [16, 8, 16]} : (vector<4x2xf16>, vector<2x2xf16>, vector<2x2xf32>) -> vector<2x2xf32>
      gpu.barrier // MUTATE-REUSE
      scf.yield %d : vector<2x2xf32>
    }

    %g = arith.divui %lane, %c4 : index
    %t = arith.remui %lane, %c4 : index
    %dcol = arith.muli %t, %c2 : index
    %g8 = arith.addi %g, %c8 : index
    %upper = vector.extract %sum[0] : vector<2xf32> from vector<2x2xf32>
    %lower = vector.extract %sum[1] : vector<2xf32> from vector<2x2xf32>
    vector.store %upper, %D[%g, %dcol] : memref<16x8xf32>, vector<2xf32>
    vector.store %lower, %D[%g8, %dcol] : memref<16x8xf32>, vector<2xf32>
    gpu.return
  }
}
