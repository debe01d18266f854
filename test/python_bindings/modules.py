# RUN: env CQ_LIBRARY=%cq_lib_dir/libcq-c.so PYTHONPATH=%cq_src_root/python_bindings %python %s
# REQUIRES: numpy
import cq

TEXT = """
func.func @f(%x: tensor<4x64xf32>, %y: tensor<4x32xf32>) -> tensor<4x32xf32> {
  %w = arith.constant dense_resource<w> : tensor<64x32xf32>
  %0 = linalg.matmul ins(%x, %w : tensor<4x64xf32>, tensor<64x32xf32>) outs(%y : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %0 : tensor<4x32xf32>
}
{-# dialect_resources: { builtin: { w: "0x04000000WEIGHTS" } } #-}
""".replace("WEIGHTS", "0000803f" * (64 * 32))

module = cq.Module(TEXT)
module.run("builtin.module(cq-quantize{bits=3})")
assert "cq.matmul" in str(module)
assert "linalg.matmul" not in str(module)
assert '"cq.matmul"' in module.text(generic=True)

for call, word in (
    (lambda: cq.Module("func.func @f("), "expected"),
    (lambda: module.run("builtin.module(no-such-pass)"), "no-such-pass"),
):
    try:
        call()
    except cq.CQError as error:
        assert word in str(error), error
    else:
        raise AssertionError(word)
