// A producer warp hands tiles to a consumer warp through a ring of two buffers,
// with one pair of mbarriers a buffer. Mutations: a wait of either side is
// removed, the initialisation is not published.
// RUN: cq-gpu-run %s --kernel=ring --block=64 --arg='const iota(1)' --arg=undef --print=1 --seeds=8 | FileCheck %s --check-prefix=RING
// RUN: sed '/MUTATE-FULL/d' %s > %t.full.mlir
// RUN: not cq-gpu-run %t.full.mlir --kernel=ring --block=64 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=RACE
// RUN: sed '/MUTATE-EMPTY/d' %s > %t.empty.mlir
// RUN: not cq-gpu-run %t.empty.mlir --kernel=ring --block=64 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=RACE
// RUN: sed '/MUTATE-INIT/d' %s > %t.init.mlir
// RUN: not cq-gpu-run %t.init.mlir --kernel=ring --block=64 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=INIT
// RUN: cq-gpu-run %s --kernel=bulk --block=64 --arg='const 256:iota(1)' --arg=undef --print=1 --seeds=8 | FileCheck %s --check-prefix=BULK
// RUN: sed '/MUTATE-BULK/d' %s > %t.bulk.mlir
// RUN: not cq-gpu-run %t.bulk.mlir --kernel=bulk --block=64 --arg='const 256:iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=INFLIGHT

// RING: 0 2 4 6
// RING: 224 226 228 230 232 234 236 238 240 242 244 246 248 250 252 254
// RACE: error: {{.*}}{{race: (reads|writes) byte|which nothing has written|arrives 1 times at an mbarrier|waits for ever}}
// INIT: error: {{.*}}{{race: reads byte|nothing has initialised}}
// Bytes 0, 1, 2, 3 as a word, and so on.
// BULK: 50462976 117835012
// INFLIGHT: error: {{.*}}{{destination of an asynchronous copy|which nothing has written|race}}
#shared = #gpu.address_space<workgroup>
!bars = !nvgpu.mbarrier.group<memorySpace = #gpu.address_space<workgroup>, num_barriers = 2>
gpu.module @kernels {
  gpu.func @ring(%in: memref<128xf32>, %out: memref<128xf32>) workgroup(%ring: memref<2x32xf32, #shared>) kernel {
    %thread = gpu.thread_id x
    %lane = gpu.lane_id
    %warp = gpu.subgroup_id : index
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c32 = arith.constant 32 : index
    %ticks = arith.constant 1000 : index
    %true = arith.constant true
    %full = nvgpu.mbarrier.create -> !bars
    %empty = nvgpu.mbarrier.create -> !bars
    %first = arith.cmpi eq, %thread, %c0 : index
    scf.if %first {
      nvgpu.mbarrier.init %full[%c0], %c32 : !bars
      nvgpu.mbarrier.init %full[%c1], %c32 : !bars
      nvgpu.mbarrier.init %empty[%c0], %c32 : !bars
      nvgpu.mbarrier.init %empty[%c1], %c32 : !bars
    }
    gpu.barrier // MUTATE-INIT
    %producer = arith.cmpi eq, %warp, %c0 : index
    scf.for %i = %c0 to %c4 step %c1 {
      %buf = arith.remui %i, %c2 : index
      %turn = arith.divui %i, %c2 : index
      %turn32 = arith.index_cast %turn : index to i32
      %parity = arith.trunci %turn32 : i32 to i1
      %at0 = arith.muli %i, %c32 : index
      %at = arith.addi %at0, %lane : index
      scf.if %producer {
        %other = arith.xori %parity, %true : i1
        nvgpu.mbarrier.try_wait.parity %empty[%buf], %other, %ticks : !bars // MUTATE-EMPTY
        %v = memref.load %in[%at] : memref<128xf32>
        memref.store %v, %ring[%buf, %lane] : memref<2x32xf32, #shared>
        %t = nvgpu.mbarrier.arrive %full[%buf] : !bars -> !nvgpu.mbarrier.token
      } else {
        nvgpu.mbarrier.try_wait.parity %full[%buf], %parity, %ticks : !bars // MUTATE-FULL
        %v = memref.load %ring[%buf, %lane] : memref<2x32xf32, #shared>
        %d = arith.addf %v, %v : f32
        memref.store %d, %out[%at] : memref<128xf32>
        %t = nvgpu.mbarrier.arrive %empty[%buf] : !bars -> !nvgpu.mbarrier.token
      }
    }
    gpu.return
  }

  memref.global "private" @tile : memref<64xi32, #shared>
  memref.global "private" @barrier : memref<1xi64, #shared>

  // A bulk copy of 256 bytes, counted by an mbarrier that expects them.
  gpu.func @bulk(%in: !llvm.ptr<1>, %out: memref<64xi32>) kernel {
    %thread = gpu.thread_id x
    %c0 = arith.constant 0 : index
    %one = arith.constant 1 : i32
    %zero = arith.constant 0 : i32
    %bytes = arith.constant 256 : i32
    %ticks = arith.constant 1000 : i32
    %tile = memref.get_global @tile : memref<64xi32, #shared>
    %b = memref.get_global @barrier : memref<1xi64, #shared>
    %ti = memref.extract_aligned_pointer_as_index %tile : memref<64xi32, #shared> -> index
    %bi = memref.extract_aligned_pointer_as_index %b : memref<1xi64, #shared> -> index
    %t64 = arith.index_cast %ti : index to i64
    %b64 = arith.index_cast %bi : index to i64
    %tp = llvm.inttoptr %t64 : i64 to !llvm.ptr<7>
    %bp = llvm.inttoptr %b64 : i64 to !llvm.ptr<3>
    %first = arith.cmpi eq, %thread, %c0 : index
    scf.if %first {
      nvvm.mbarrier.init %bp, %one : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init // MUTATE-FENCE
    }
    gpu.barrier
    scf.if %first {
      nvvm.mbarrier.arrive.expect_tx %bp, %bytes : !llvm.ptr<3>, i32
      nvvm.cp.async.bulk.shared.cluster.global %tp, %in, %bp, %bytes : !llvm.ptr<7>, !llvm.ptr<1>
    }
    nvvm.mbarrier.try_wait.parity %bp, %zero, %ticks : !llvm.ptr<3>, i32, i32 // MUTATE-BULK
    %v = memref.load %tile[%thread] : memref<64xi32, #shared>
    memref.store %v, %out[%thread] : memref<64xi32>
    gpu.return
  }
}
