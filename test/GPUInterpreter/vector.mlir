// RUN: cq-gpu-run %s --kernel=moves --arg=undef --print=0 | FileCheck %s --check-prefix=MOVES
// RUN: cq-gpu-run %s --kernel=bits --arg=undef --print=0 | FileCheck %s --check-prefix=BITS
// RUN: cq-gpu-run %s --kernel=access --block=4 --arg='const iota(1)' --arg=undef --print=1 | FileCheck %s --check-prefix=ACCESS
// RUN: not cq-gpu-run %s --kernel=access --block=5 --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=PAST
// RUN: not cq-gpu-run %s --kernel=aligned --arg='const iota(1)' --arg=undef 2>&1 | FileCheck %s --check-prefix=ALIGNED
// RUN: not cq-gpu-run %s --kernel=dynamic --arg=undef --arg=4 2>&1 | FileCheck %s --check-prefix=DYNAMIC
// RUN: cq-gpu-run %s --kernel=dynamic --arg=undef --arg=2 --print=0 | FileCheck %s --check-prefix=FINE

gpu.module @kernels {
  // MOVES: 1 4 2 5 3 6 1 2 4 5 4 5 6 9 9 9
  // MOVES-NEXT: 9 1 2 3 1 3 5 3 2 1 21 7
  gpu.func @moves(%out: memref<28xi32>) kernel {
    %c0 = arith.constant 0 : index
    %m = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : vector<2x3xi32>
    %nine = arith.constant 9 : i32
    %t = vector.transpose %m, [1, 0] : vector<2x3xi32> to vector<3x2xi32>
    %t1 = vector.shape_cast %t : vector<3x2xi32> to vector<6xi32>
    %slice = vector.extract_strided_slice %m {offsets = [0, 0], sizes = [2, 2], strides = [1, 1]} : vector<2x3xi32> to vector<2x2xi32>
    %slice1 = vector.shape_cast %slice : vector<2x2xi32> to vector<4xi32>
    %row = vector.extract %m[1] : vector<3xi32> from vector<2x3xi32>
    %b = vector.broadcast %nine : i32 to vector<4xi32>
    %first = vector.extract %m[0] : vector<3xi32> from vector<2x3xi32>
    %s = vector.shuffle %first, %row [0, 2, 4] : vector<3xi32>, vector<3xi32>
    %rev = vector.shuffle %first, %first [2, 1, 0] : vector<3xi32>, vector<3xi32>
    %sum = vector.reduction <add>, %t1 : vector<6xi32> into i32
    %seven = arith.constant 7 : i32
    %z = arith.constant dense<0> : vector<28xi32>
    %v0 = vector.insert_strided_slice %t1, %z {offsets = [0], strides = [1]} : vector<6xi32> into vector<28xi32>
    %v1 = vector.insert_strided_slice %slice1, %v0 {offsets = [6], strides = [1]} : vector<4xi32> into vector<28xi32>
    %v2 = vector.insert_strided_slice %row, %v1 {offsets = [10], strides = [1]} : vector<3xi32> into vector<28xi32>
    %v3 = vector.insert_strided_slice %b, %v2 {offsets = [13], strides = [1]} : vector<4xi32> into vector<28xi32>
    %v4 = vector.insert_strided_slice %first, %v3 {offsets = [17], strides = [1]} : vector<3xi32> into vector<28xi32>
    %v5 = vector.insert_strided_slice %s, %v4 {offsets = [20], strides = [1]} : vector<3xi32> into vector<28xi32>
    %v6 = vector.insert_strided_slice %rev, %v5 {offsets = [23], strides = [1]} : vector<3xi32> into vector<28xi32>
    %v7 = vector.insert %sum, %v6[26] : i32 into vector<28xi32>
    %v8 = vector.insert %seven, %v7[27] : i32 into vector<28xi32>
    vector.store %v8, %out[%c0] : memref<28xi32>, vector<28xi32>
    gpu.return
  }

  // Nibbles of 0x87654321, lowest first, and back.
  // BITS: 1 2 3 4 5 6 7 8 -2023406815
  gpu.func @bits(%out: memref<9xi32>) kernel {
    %c0 = arith.constant 0 : index
    %c8 = arith.constant 8 : index
    %word = arith.constant dense<0x87654321> : vector<1xi32>
    %n = vector.bitcast %word : vector<1xi32> to vector<8xi4>
    %w = arith.extui %n : vector<8xi4> to vector<8xi32>
    vector.store %w, %out[%c0] : memref<9xi32>, vector<8xi32>
    %back = vector.bitcast %n : vector<8xi4> to vector<1xi32>
    %e:1 = vector.to_elements %back : vector<1xi32>
    memref.store %e#0, %out[%c8] : memref<9xi32>
    gpu.return
  }

  // ACCESS: 0 1 2 3 4 5 6 7
  // PAST: lane 4 of block (0, 0, 0): out of bounds: index 8 to 9 of dimension 0, which has size 8
  gpu.func @access(%in: memref<8xf16>, %out: memref<8xf16>) kernel {
    %thread = gpu.thread_id x
    %c2 = arith.constant 2 : index
    %i = arith.muli %thread, %c2 : index
    %v = vector.load %in[%i] : memref<8xf16>, vector<2xf16>
    vector.store %v, %out[%i] : memref<8xf16>, vector<2xf16>
    gpu.return
  }

  // ALIGNED: lane 1 of block (0, 0, 0): misaligned: byte 4 of its buffer is not a multiple of 16 bytes
  gpu.func @aligned(%in: memref<64xf32>, %out: memref<64xf32>) kernel {
    %thread = gpu.thread_id x
    %v = vector.load %in[%thread] {alignment = 16} : memref<64xf32>, vector<4xf32>
    vector.store %v, %out[%thread] : memref<64xf32>, vector<4xf32>
    gpu.return
  }

  // DYNAMIC: out of bounds: index 4 of dimension 0 of a vector, which has size 4
  // FINE: 12
  gpu.func @dynamic(%out: memref<1xi32>, %i: index) kernel {
    %c0 = arith.constant 0 : index
    %v = arith.constant dense<[10, 11, 12, 13]> : vector<4xi32>
    %e = vector.extract %v[%i] : i32 from vector<4xi32>
    memref.store %e, %out[%c0] : memref<1xi32>
    gpu.return
  }
}
