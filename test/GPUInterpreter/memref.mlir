// RUN: cq-gpu-run %s --kernel=views --arg='const iota(1)' --arg=undef --print=1 | FileCheck %s --check-prefix=VIEWS
// RUN: not cq-gpu-run %s --kernel=subview --arg='const iota(1)' --arg=undef --arg=3 2>&1 | FileCheck %s --check-prefix=SUBVIEW
// RUN: cq-gpu-run %s --kernel=shared --shared=1024 --block=64 --arg=undef --print=0 --counts | FileCheck %s --check-prefix=SHARED
// RUN: not cq-gpu-run %s --kernel=shared --shared=128 --block=64 --arg=undef 2>&1 | FileCheck %s --check-prefix=SMALL
// RUN: not cq-gpu-run %s --kernel=shared --shared=300000 --block=64 --arg=undef 2>&1 | FileCheck %s --check-prefix=LARGE
// RUN: cq-gpu-run %s --kernel=atomic --block=64 --grid=3 --arg=zero --print=0 | FileCheck %s --check-prefix=ATOMIC
// RUN: not cq-gpu-run %s --kernel=conflict --grid=2 --arg=undef 2>&1 | FileCheck %s --check-prefix=CONFLICT
// RUN: not cq-gpu-run %s --kernel=lanes --arg=undef 2>&1 | FileCheck %s --check-prefix=LANES
// RUN: sed 's/^    .. SYNC-HERE/%%all = arith.constant -1 : i32\n nvvm.bar.warp.sync %%all : i32/' %s | cq-gpu-run - --kernel=lanes --arg=undef --print=0 | FileCheck %s --check-prefix=SYNCED
// RUN: cq-gpu-run %s --kernel=private --arg=undef --print=0 | FileCheck %s --check-prefix=PRIVATE
// RUN: not cq-gpu-run %s --kernel=short --arg=1:zero 2>&1 | FileCheck %s --check-prefix=SHORT

#shared = #gpu.address_space<workgroup>
gpu.module @kernels {
  memref.global "private" constant @table : memref<4xi32> = dense<[3, 1, 4, 1]>

  // VIEWS: 9 11 17 19 5 13 3 4
  gpu.func @views(%in: memref<4x8xf32>, %out: memref<8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c6 = arith.constant 6 : index
    %c7 = arith.constant 7 : index
    %s = memref.subview %in[1, 1] [2, 2] [1, 2] : memref<4x8xf32> to memref<2x2xf32, strided<[8, 2], offset: 9>>
    scf.for %i = %c0 to %c2 step %c1 {
      scf.for %j = %c0 to %c2 step %c1 {
        %v = memref.load %s[%i, %j] : memref<2x2xf32, strided<[8, 2], offset: 9>>
        %i2 = arith.muli %i, %c2 : index
        %o = arith.addi %i2, %j : index
        memref.store %v, %out[%o] : memref<8xf32>
      }
    }
    %column = memref.subview %in[0, 5] [2, 1] [1, 1] : memref<4x8xf32> to memref<2xf32, strided<[8], offset: 5>>
    scf.for %i = %c0 to %c2 step %c1 {
      %v = memref.load %column[%i] : memref<2xf32, strided<[8], offset: 5>>
      %o = arith.addi %i, %c4 : index
      memref.store %v, %out[%o] : memref<8xf32>
    }
    %t = memref.get_global @table : memref<4xi32>
    %three = memref.load %t[%c0] : memref<4xi32>
    %four = memref.load %t[%c2] : memref<4xi32>
    %f3 = arith.sitofp %three : i32 to f32
    %f4 = arith.sitofp %four : i32 to f32
    memref.store %f3, %out[%c6] : memref<8xf32>
    memref.store %f4, %out[%c7] : memref<8xf32>
    gpu.return
  }

  // SUBVIEW: out of bounds: the view takes 2 from 3 of dimension 0, which has size 4
  gpu.func @subview(%in: memref<4x8xf32>, %out: memref<8xf32>, %i: index) kernel {
    %c0 = arith.constant 0 : index
    %s = memref.subview %in[%i, 0] [2, 8] [1, 1] : memref<4x8xf32> to memref<2x8xf32, strided<[8, 1], offset: ?>>
    %v = memref.load %s[%c0, %c0] : memref<2x8xf32, strided<[8, 1], offset: ?>>
    memref.store %v, %out[%c0] : memref<8xf32>
    gpu.return
  }

  // Threads reverse their numbers through dynamic shared memory.
  // SHARED: 63 62 61
  // SHARED: 2 1 0
  // SHARED: barriers: 1
  // SHARED: shared bytes: 1024
  // SMALL: out of bounds: the view takes bytes 256 to 768 of 128
  // LARGE: a block has at most 227 KiB of shared memory
  gpu.func @shared(%out: memref<64xindex>) kernel {
    %thread = gpu.thread_id x
    %c63 = arith.constant 63 : index
    %c256 = arith.constant 256 : index
    %d = gpu.dynamic_shared_memory : memref<?xi8, #shared>
    %v = memref.view %d[%c256][] : memref<?xi8, #shared> to memref<64xindex, #shared>
    memref.store %thread, %v[%thread] : memref<64xindex, #shared>
    gpu.barrier
    %other = arith.subi %c63, %thread : index
    %r = memref.load %v[%other] : memref<64xindex, #shared>
    memref.store %r, %out[%thread] : memref<64xindex>
    gpu.return
  }

  // ATOMIC: 192
  gpu.func @atomic(%out: memref<1xi32>) kernel {
    %c0 = arith.constant 0 : index
    %one = arith.constant 1 : i32
    %old = memref.atomic_rmw addi %one, %out[%c0] : (i32, memref<1xi32>) -> i32
    gpu.return
  }

  // CONFLICT: race: writes byte 0 of global memory 'argument 0', which block {{[01]}}, warp 0, lane {{[0-9]+}} wrote
  gpu.func @conflict(%out: memref<32xindex>) kernel {
    %thread = gpu.thread_id x
    memref.store %thread, %out[%thread] : memref<32xindex>
    gpu.return
  }

  // Lanes of a warp that exchange numbers through memory need bar.warp.sync.
  // LANES: lane 0 of block (0, 0, 0): race: reads byte 8 of shared memory 'workgroup 0', which warp 0, lane 1 wrote
  // SYNCED: 1 0 3 2
  gpu.func @lanes(%out: memref<32xindex>) workgroup(%s: memref<32xindex, #shared>) kernel {
    %thread = gpu.thread_id x
    %c1 = arith.constant 1 : index
    %other = arith.xori %thread, %c1 : index
    memref.store %thread, %s[%thread] : memref<32xindex, #shared>
    // SYNC-HERE
    %v = memref.load %s[%other] : memref<32xindex, #shared>
    memref.store %v, %out[%thread] : memref<32xindex>
    gpu.return
  }

  // PRIVATE: 0 1 2 3 4
  gpu.func @private(%out: memref<32xindex>) kernel {
    %thread = gpu.thread_id x
    %c0 = arith.constant 0 : index
    %own = memref.alloca() : memref<1xindex, #gpu.address_space<private>>
    memref.store %thread, %own[%c0] : memref<1xindex, #gpu.address_space<private>>
    %v = memref.load %own[%c0] : memref<1xindex, #gpu.address_space<private>>
    memref.store %v, %out[%thread] : memref<32xindex>
    gpu.return
  }

  // A pointer knows no size; the buffer behind it does.
  // SHORT: out of bounds: writes 4 bytes at byte 4 of global memory 'argument 0' of 1 bytes
  gpu.func @short(%out: !llvm.ptr<1>) kernel {
    %one = arith.constant 1 : i32
    %p = llvm.getelementptr %out[1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    llvm.store %one, %p : i32, !llvm.ptr<1>
    gpu.return
  }
}
