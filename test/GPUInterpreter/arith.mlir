// RUN: cq-gpu-run %s --kernel=integers --arg=undef --print=0 | FileCheck %s --check-prefix=INT
// RUN: cq-gpu-run %s --kernel=floats --arg=undef --print=0 | FileCheck %s --check-prefix=FLOAT
// RUN: cq-gpu-run %s --kernel=magic --arg=undef --print=0 | FileCheck %s --check-prefix=MAGIC
// RUN: not cq-gpu-run %s --kernel=divide --arg=undef --arg=5 2>&1 | FileCheck %s --check-prefix=DIVIDE
// RUN: cq-gpu-run %s --kernel=divide --arg=undef --arg=32 --print=0 | FileCheck %s --check-prefix=FINE
// RUN: not cq-gpu-run %s --kernel=shift --arg=undef 2>&1 | FileCheck %s --check-prefix=SHIFT

gpu.module @kernels {
  // INT: -2 2 -3 1 -1 7 255 -1 -4 1 0 2
  gpu.func @integers(%out: memref<12xi32>) kernel {
    %lane = gpu.lane_id
    %m5 = arith.constant -5 : i32
    %c2 = arith.constant 2 : i32
    %c7 = arith.constant 7 : i32
    %quotient = arith.divsi %m5, %c2 : i32
    %ceil = arith.ceildivui %c2, %c2 : i32
    %two = arith.addi %ceil, %ceil : i32
    %floor = arith.floordivsi %m5, %c2 : i32
    %remainder = arith.remui %c7, %c2 : i32
    %negative = arith.remsi %m5, %c2 : i32
    %max = arith.maxsi %m5, %c7 : i32
    %byte = arith.trunci %m5 : i32 to i8
    %all = arith.constant -1 : i8
    %u = arith.extui %all : i8 to i32
    %s = arith.extsi %all : i8 to i32
    %mul = arith.muli %c2, %c2 : i32
    %neg = arith.subi %ceil, %m5 : i32
    %xor = arith.xori %neg, %c2 : i32
    %m4 = arith.shrsi %m5, %c2 : i32
    %m4b = arith.shli %m4, %ceil : i32
    %c31 = arith.constant 31 : i32
    %bit = arith.shrui %m5, %c31 : i32
    %ult = arith.cmpi ult, %m5, %c2 : i32
    %ultw = arith.extui %ult : i1 to i32
    %sel = arith.select %ult, %c7, %c2 : i32
    %v = vector.from_elements %quotient, %two, %floor, %remainder, %negative, %max, %u, %s, %m4b, %bit, %ultw, %sel : vector<12xi32>
    %c0 = arith.constant 0 : index
    vector.store %v, %out[%c0] : memref<12xi32>, vector<12xi32>
    gpu.return
  }

  // 2049 rounds to even in f16; an f16 fma rounds once; subnormal f16 are kept;
  // conversions saturate.
  // FLOAT: 2048 1 5.96046e-08 3 -2.14748e+09 0 inf 1 0.5
  gpu.func @floats(%out: memref<9xf32>) kernel {
    %c0 = arith.constant 0 : index
    %c2049 = arith.constant 2049.0 : f32
    %h = arith.truncf %c2049 : f32 to f16
    %f0 = arith.extf %h : f16 to f32
    %one = arith.constant 1.0 : f16
    // 1.0009765625² = 1.00195407867…; minus 1.001953125 is 2^-20 only if fused.
    %x = arith.constant 1.0009765625 : f16
    %m = arith.constant -1.001953125 : f16
    %fused = math.fma %x, %x, %m : f16
    %fusedw = arith.extf %fused : f16 to f32
    %scale = arith.constant 1048576.0 : f32
    %f1 = arith.mulf %fusedw, %scale : f32
    %tiny = arith.constant 0x0001 : f16
    %f2 = arith.extf %tiny : f16 to f32
    %b = arith.constant 3.01 : bf16
    %bw = arith.extf %b : bf16 to f32
    %bi = arith.fptosi %bw : f32 to i32
    %f3 = arith.sitofp %bi : i32 to f32
    %big = arith.constant -1.0e20 : f32
    %sat = arith.fptosi %big : f32 to i32
    %f4 = arith.sitofp %sat : i32 to f32
    %nan = arith.constant 0x7FC00000 : f32
    %nani = arith.fptosi %nan : f32 to i32
    %f5 = arith.sitofp %nani : i32 to f32
    %c65520 = arith.constant 65520.0 : f32
    %inf = arith.truncf %c65520 : f32 to f16
    %f6 = arith.extf %inf : f16 to f32
    %uno = arith.cmpf uno, %nan, %big : f32
    %unow = arith.uitofp %uno : i1 to f32
    %four = arith.constant 4.0 : f32
    %f8 = math.rsqrt %four : f32
    %v = vector.from_elements %f0, %f1, %f2, %f3, %f4, %f5, %f6, %unow, %f8 : vector<9xf32>
    vector.store %v, %out[%c0] : memref<9xf32>, vector<9xf32>
    gpu.return
  }

  // The magic exponent: 3-bit fields of a word become f16 1024 + code.
  // MAGIC: 1 5
  gpu.func @magic(%out: memref<2xf32>) kernel {
    %c0 = arith.constant 0 : index
    %word = arith.constant dense<0x00050001> : vector<1xi32>
    %mask = arith.constant dense<0x00070007> : vector<1xi32>
    %exponent = arith.constant dense<0x64006400> : vector<1xi32>
    %low = arith.andi %word, %mask : vector<1xi32>
    %bits = arith.ori %low, %exponent : vector<1xi32>
    %halves = vector.bitcast %bits : vector<1xi32> to vector<2xf16>
    %bias = arith.constant dense<-1024.0> : vector<2xf16>
    %one = arith.constant dense<1.0> : vector<2xf16>
    %codes = math.fma %halves, %one, %bias : vector<2xf16>
    %wide = arith.extf %codes : vector<2xf16> to vector<2xf32>
    vector.store %wide, %out[%c0] : memref<2xf32>, vector<2xf32>
    gpu.return
  }

  // Only lanes that are active count.
  // DIVIDE: error: warp 0, lane 5 of block (0, 0, 0): division by zero
  // FINE: 0 1 1 1
  gpu.func @divide(%out: memref<32xindex>, %bad: index) kernel {
    %lane = gpu.lane_id
    %c0 = arith.constant 0 : index
    memref.store %c0, %out[%lane] : memref<32xindex>
    %is = arith.cmpi eq, %lane, %bad : index
    %is0 = arith.cmpi eq, %lane, %c0 : index
    %divisor = arith.select %is, %c0, %lane : index
    %not0 = arith.cmpi ne, %lane, %c0 : index
    scf.if %not0 {
      %q = arith.divui %lane, %divisor : index
      memref.store %q, %out[%lane] : memref<32xindex>
    }
    gpu.return
  }

  // SHIFT: error: {{.*}}shift by 32 of a 32-bit value
  gpu.func @shift(%out: memref<32xi32>) kernel {
    %lane = gpu.lane_id
    %c32 = arith.constant 32 : i32
    %v = arith.shli %c32, %c32 : i32
    memref.store %v, %out[%lane] : memref<32xi32>
    gpu.return
  }
}
