// A ragged copy through registers: the last block has lanes past the end.
// RUN: cq-gpu-run %s --grid=3 --block=64 --arg='const 150:iota(2)' --arg=150:undef --arg=150 --print=1 | FileCheck %s
// RUN: not cq-gpu-run %s --grid=3 --block=64 --arg='const 150:iota(2)' --arg=150:undef --arg=151 2>&1 | FileCheck %s --check-prefix=BOUNDS
// RUN: not cq-gpu-run %s --grid=3 --block=64 --arg=150:undef --arg=150:undef --arg=150 2>&1 | FileCheck %s --check-prefix=UNDEF
// RUN: not cq-gpu-run %s --grid=3 --block=64 --arg=150:zero --arg='const 150:zero' --arg=150 2>&1 | FileCheck %s --check-prefix=CONST
// RUN: not cq-gpu-run %s --arg=150 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not cq-gpu-run %s --block=2000 --arg=1:zero --arg=1:zero --arg=1 2>&1 | FileCheck %s --check-prefix=BLOCK

// CHECK: argument 1:
// CHECK-NEXT: 0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30
// CHECK: 288 290 292 294 296 298
// BOUNDS: copy.mlir:[[@LINE+14]]:{{.*}} error: {{.*}}block (2, 0, 0): out of bounds: index 150 of dimension 0, which has size 150
// UNDEF: error: {{.*}}reads byte {{[0-9]+}} of global memory 'argument 0', which nothing has written
// CONST: error: {{.*}}writes to 'argument 1', which the launch passes as read-only
// COUNT: 'copy' has 3 parameters, --arg gives 1
// BLOCK: block sizes from 1 to 1024
gpu.module @kernels {
  gpu.func @copy(%from: memref<?xf32>, %to: memref<?xf32>, %n: index) kernel {
    %thread = gpu.thread_id x
    %block = gpu.block_id x
    %size = gpu.block_dim x
    %start = arith.muli %block, %size : index
    %i = arith.addi %start, %thread : index
    %inside = arith.cmpi ult, %i, %n : index
    scf.if %inside {
      %v = memref.load %from[%i] : memref<?xf32>


      memref.store %v, %to[%i] : memref<?xf32>
    }
    gpu.return
  }
}
