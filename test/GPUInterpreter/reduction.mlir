// A block sums 256 numbers through shared memory. Mutations: each barrier is
// removed in turn, and the index of a partner is wrong.
// RUN: cq-gpu-run %s --block=128 --arg='const iota(1)' --arg=undef --print=1 --seeds=8 | FileCheck %s
// RUN: sed '/MUTATE-FIRST/d' %s > %t.first.mlir
// RUN: not cq-gpu-run %t.first.mlir --block=128 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=FIRST
// RUN: sed '/MUTATE-LOOP/d' %s > %t.loop.mlir
// RUN: not cq-gpu-run %t.loop.mlir --block=128 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=LOOP
// RUN: sed 's/%%half = arith.shrui %%width, %%c1 : index/%%half = arith.addi %%width, %%c0 : index/' %s > %t.partner.mlir
// RUN: not cq-gpu-run %t.partner.mlir --block=128 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=PARTNER
// RUN: sed 's/scf.if %%low {/scf.if %%low { gpu.barrier/' %s > %t.divergent.mlir
// RUN: not cq-gpu-run %t.divergent.mlir --block=128 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=DIVERGENT

// CHECK: argument 1:
// CHECK-NEXT: 32640
// FIRST: error: warp {{[0-3]}}, lane {{[0-9]+}} of block (0, 0, 0): {{reads byte .* which nothing has written|race: (reads|writes) byte}}
// LOOP: error: warp {{.*}} race: {{reads|writes}} byte {{[0-9]+}} of shared memory 'workgroup 0', which warp {{.*}} without synchronisation in between
// LOOP: note: the other access is here
// PARTNER: error: {{.*}}{{race|out of bounds|nothing has written}}
// DIVERGENT: error: {{.*}}divergent barrier
gpu.module @kernels {
  gpu.func @sum(%in: memref<256xf32>, %out: memref<1xf32>)
      workgroup(%shared : memref<128xf32, #gpu.address_space<workgroup>>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c128 = arith.constant 128 : index
    %thread = gpu.thread_id x
    %second = arith.addi %thread, %c128 : index
    %a = memref.load %in[%thread] : memref<256xf32>
    %b = memref.load %in[%second] : memref<256xf32>
    %ab = arith.addf %a, %b : f32
    memref.store %ab, %shared[%thread] : memref<128xf32, #gpu.address_space<workgroup>>
    gpu.barrier // MUTATE-FIRST
    %last = scf.while (%width = %c128) : (index) -> index {
      %more = arith.cmpi ugt, %width, %c1 : index
      scf.condition(%more) %width : index
    } do {
    ^bb0(%width: index):
      %half = arith.shrui %width, %c1 : index
      %low = arith.cmpi ult, %thread, %half : index
      scf.if %low {
        %partner = arith.addi %thread, %half : index
        %x = memref.load %shared[%thread] : memref<128xf32, #gpu.address_space<workgroup>>
        %y = memref.load %shared[%partner] : memref<128xf32, #gpu.address_space<workgroup>>
        %s = arith.addf %x, %y : f32
        memref.store %s, %shared[%thread] : memref<128xf32, #gpu.address_space<workgroup>>
      }
      gpu.barrier // MUTATE-LOOP
      scf.yield %half : index
    }
    %first = arith.cmpi eq, %thread, %c0 : index
    scf.if %first {
      %s = memref.load %shared[%c0] : memref<128xf32, #gpu.address_space<workgroup>>
      memref.store %s, %out[%c0] : memref<1xf32>
    }
    gpu.return
  }
}
