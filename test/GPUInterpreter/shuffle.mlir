// RUN: cq-gpu-run %s --kernel=butterfly --arg='const iota(1)' --arg=undef --print=1 | FileCheck %s --check-prefix=SUM
// RUN: cq-gpu-run %s --kernel=modes --arg=undef --print=0 | FileCheck %s --check-prefix=MODES
// RUN: not cq-gpu-run %s --kernel=missing --arg=undef 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: cq-gpu-run %s --kernel=ptx --arg=undef --print=0 | FileCheck %s --check-prefix=PTX

gpu.module @kernels {
  // SUM: 496 496 496
  gpu.func @butterfly(%in: memref<32xf32>, %out: memref<32xf32>) kernel {
    %lane = gpu.lane_id
    %c32 = arith.constant 32 : i32
    %v0 = memref.load %in[%lane] : memref<32xf32>
    %lb = arith.constant 0 : index
    %ub = arith.constant 5 : index
    %one = arith.constant 1 : index
    %one32 = arith.constant 1 : i32
    %sum = scf.for %i = %lb to %ub step %one iter_args(%v = %v0) -> f32 {
      %i32 = arith.index_cast %i : index to i32
      %offset = arith.shli %one32, %i32 : i32
      %other, %valid = gpu.shuffle xor %v, %offset, %c32 : f32
      %s = arith.addf %v, %other : f32
      scf.yield %s : f32
    }
    memref.store %sum, %out[%lane] : memref<32xf32>
    gpu.return
  }

  // Within groups of eight: two lanes up, two down, lane 3; and who was valid.
  // MODES: 0 1 0 1 2 3 4 5 8 9 8 9
  // MODES: 2 3 4 5 6 7 6 7 10 11
  // MODES: 3 3 3 3 3 3 3 3 11 11
  // MODES: 0 0 -1 -1 -1 -1 -1 -1 0 0 -1
  gpu.func @modes(%out: memref<4x32xi32>) kernel {
    %lane = gpu.lane_id
    %l = arith.index_cast %lane : index to i32
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %two = arith.constant 2 : i32
    %three = arith.constant 3 : i32
    %eight = arith.constant 8 : i32
    %up, %uv = gpu.shuffle up %l, %two, %eight : i32
    %down, %dv = gpu.shuffle down %l, %two, %eight : i32
    %idx, %iv = gpu.shuffle idx %l, %three, %eight : i32
    %v = arith.extsi %uv : i1 to i32
    memref.store %up, %out[%c0, %lane] : memref<4x32xi32>
    memref.store %down, %out[%c1, %lane] : memref<4x32xi32>
    memref.store %idx, %out[%c2, %lane] : memref<4x32xi32>
    memref.store %v, %out[%c3, %lane] : memref<4x32xi32>
    gpu.return
  }

  // MISSING: error: warp 0, lane 0 of block (0, 0, 0): shuffles from lane 16, which is not there
  gpu.func @missing(%out: memref<32xi32>) kernel {
    %lane = gpu.lane_id
    %l = arith.index_cast %lane : index to i32
    %c16 = arith.constant 16 : index
    %sixteen = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %low = arith.cmpi ult, %lane, %c16 : index
    scf.if %low {
      %v, %ok = gpu.shuffle xor %l, %sixteen, %c32 : i32
      memref.store %v, %out[%lane] : memref<32xi32>
    }
    gpu.return
  }

  // PTX: 1 0 3 2 5 4
  gpu.func @ptx(%out: memref<32xi32>) kernel {
    %lane = gpu.lane_id
    %l = nvvm.read.ptx.sreg.laneid : i32
    %all = arith.constant -1 : i32
    %one = arith.constant 1 : i32
    %clamp = arith.constant 31 : i32
    %v = nvvm.shfl.sync bfly %all, %l, %one, %clamp : i32 -> i32
    memref.store %v, %out[%lane] : memref<32xi32>
    gpu.return
  }
}
