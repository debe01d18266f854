// RUN: cq-gpu-run %s --kernel=diverge --arg=undef --print=0 | FileCheck %s --check-prefix=DIVERGE
// RUN: cq-gpu-run %s --kernel=loops --arg=undef --print=0 | FileCheck %s --check-prefix=LOOPS
// RUN: not cq-gpu-run %s --kernel=deadlock --block=64 2>&1 | FileCheck %s --check-prefix=DEADLOCK
// RUN: not cq-gpu-run %s --kernel=two --block=64 2>&1 | FileCheck %s --check-prefix=TWO
// RUN: not cq-gpu-run %s --kernel=branch 2>&1 | FileCheck %s --check-prefix=BRANCH
// RUN: cq-gpu-run %s --kernel=blocks --arg=undef --print=0 | FileCheck %s --check-prefix=BLOCKS
// RUN: not cq-gpu-run %s --kernel=unknown 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: cq-gpu-run %s --kernel=switch --block=8 --arg=undef --print=0 | FileCheck %s --check-prefix=SWITCH

gpu.module @kernels {
  // Even lanes 10 + lane, odd ones 20 + lane.
  // DIVERGE: 10 21 12 23 14
  gpu.func @diverge(%out: memref<32xindex>) kernel {
    %lane = gpu.lane_id
    %c1 = arith.constant 1 : index
    %c10 = arith.constant 10 : index
    %c20 = arith.constant 20 : index
    %bit = arith.andi %lane, %c1 : index
    %odd = arith.cmpi eq, %bit, %c1 : index
    %v = scf.if %odd -> index {
      %s = arith.addi %lane, %c20 : index
      scf.yield %s : index
    } else {
      %s = arith.addi %lane, %c10 : index
      scf.yield %s : index
    }
    memref.store %v, %out[%lane] : memref<32xindex>
    gpu.return
  }

  // 0 + 1 + … + (lane - 1), the swap of two values a turn, and the steps of
  // 3 n + 1 from the lane to 1.
  // LOOPS: 0 0 1 3 6 10 15
  // LOOPS: 7 8 7 8
  // LOOPS: 0 0 1 7 2 5 8 16 3 19
  gpu.func @loops(%out: memref<3x32xindex>) kernel {
    %lane = gpu.lane_id
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    %c7 = arith.constant 7 : index
    %c8 = arith.constant 8 : index
    %sum, %a, %b = scf.for %i = %c0 to %lane step %c1 iter_args(%s = %c0, %x = %c7, %y = %c8) -> (index, index, index) {
      %n = arith.addi %s, %i : index
      scf.yield %n, %y, %x : index, index, index
    }
    memref.store %sum, %out[%c0, %lane] : memref<3x32xindex>
    memref.store %a, %out[%c1, %lane] : memref<3x32xindex>
    %last, %count = scf.while (%n = %lane, %k = %c0) : (index, index) -> (index, index) {
      %more = arith.cmpi ugt, %n, %c1 : index
      scf.condition(%more) %n, %k : index, index
    } do {
    ^bb0(%n: index, %k: index):
      %bit = arith.andi %n, %c1 : index
      %odd = arith.cmpi eq, %bit, %c1 : index
      %next = scf.if %odd -> index {
        %t = arith.muli %n, %c3 : index
        %u = arith.addi %t, %c1 : index
        scf.yield %u : index
      } else {
        %h = arith.divui %n, %c2 : index
        scf.yield %h : index
      }
      %k1 = arith.addi %k, %c1 : index
      scf.yield %next, %k1 : index, index
    }
    memref.store %count, %out[%c2, %lane] : memref<3x32xindex>
    gpu.return
  }

  // One warp waits for another that never comes.
  // DEADLOCK: error: warp 0 of block (0, 0, 0): waits for ever
  // DEADLOCK: note: warp 1 has ended
  gpu.func @deadlock() kernel {
    %warp = gpu.subgroup_id : index
    %c0 = arith.constant 0 : index
    %first = arith.cmpi eq, %warp, %c0 : index
    scf.if %first {
      gpu.barrier
    }
    gpu.return
  }

  // TWO: divergent barrier: other warps of the block wait at another one
  gpu.func @two() kernel {
    %warp = gpu.subgroup_id : index
    %c0 = arith.constant 0 : index
    %first = arith.cmpi eq, %warp, %c0 : index
    scf.if %first {
      gpu.barrier
    } else {
      gpu.barrier
    }
    gpu.return
  }

  // BRANCH: lanes take different branches
  gpu.func @branch() kernel {
    %lane = gpu.lane_id
    %c0 = arith.constant 0 : index
    %first = arith.cmpi eq, %lane, %c0 : index
    cf.cond_br %first, ^one, ^two
  ^one:
    cf.br ^two
  ^two:
    gpu.return
  }

  // BLOCKS: 0 5 10 15
  gpu.func @blocks(%out: memref<32xindex>) kernel {
    %lane = gpu.lane_id
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c5 = arith.constant 5 : index
    cf.br ^head(%c0, %c0 : index, index)
  ^head(%i: index, %s: index):
    %more = arith.cmpi ult, %i, %c5 : index
    cf.cond_br %more, ^body, ^end
  ^body:
    %n = arith.addi %s, %lane : index
    %j = arith.addi %i, %c1 : index
    cf.br ^head(%j, %n : index, index)
  ^end:
    memref.store %s, %out[%lane] : memref<32xindex>
    gpu.return
  }

  // SWITCH: 7 1 9 7 7 7 7 7
  gpu.func @switch(%out: memref<8xindex>) kernel {
    %lane = gpu.lane_id
    %v = scf.index_switch %lane -> index
    case 1 {
      %c1 = arith.constant 1 : index
      scf.yield %c1 : index
    }
    case 2 {
      %c9 = arith.constant 9 : index
      scf.yield %c9 : index
    }
    default {
      %c7 = arith.constant 7 : index
      scf.yield %c7 : index
    }
    memref.store %v, %out[%lane] : memref<8xindex>
    gpu.return
  }

  // UNKNOWN: error: the interpreter does not know 'gpu.printf'
  gpu.func @unknown() kernel {
    gpu.printf "hello"
    gpu.return
  }
}
