# RUN: %with_cq %python %s
# REQUIRES: numpy
import os
import tempfile
import unittest

import cq

TEXT = """
func.func @f(%x: tensor<4x64xf32>, %y: tensor<4x32xf32>) -> tensor<4x32xf32> {
  %w = arith.constant dense_resource<w> : tensor<64x32xf32>
  %0 = linalg.matmul ins(%x, %w : tensor<4x64xf32>, tensor<64x32xf32>) outs(%y : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %0 : tensor<4x32xf32>
}
{-# dialect_resources: { builtin: { w: "0x04000000WEIGHTS" } } #-}
""".replace("WEIGHTS", "0000803f" * (64 * 32))


class Modules(unittest.TestCase):
    def test_pipelines(self):
        for pipeline in ("cq-quantize{bits=3}", "builtin.module(cq-quantize{bits=3})"):
            text = cq.run_pipeline(TEXT, pipeline)
            self.assertIn("cq.matmul", text)
            self.assertNotIn("linalg.matmul", text)
        self.assertIn('"cq.matmul"', cq.run_pipeline(TEXT, "cq-quantize{bits=3}", generic=True))

    def test_bytecode(self):
        module = cq.Module(TEXT).run("cq-quantize{bits=2}")
        again = cq.Module(module.bytecode())
        self.assertEqual(str(again), str(module))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.mlirbc")
            with open(path, "wb") as file:
                file.write(module.bytecode())
            self.assertEqual(str(cq.Module.read(path)), str(module))

    def test_errors(self):
        module = cq.Module(TEXT)
        for call, error, word in (
            (lambda: cq.Module("func.func @f("), cq.CQError, "expected"),
            (lambda: cq.Module(5), TypeError, "int"),
            (lambda: cq.Module(b"ML\xefR\0\0\0"), cq.CQError, ""),
            (lambda: cq.Module('"a.b"() : () -> ()'), cq.CQError, "unregistered"),
            (lambda: module.run("no-such-pass"), cq.CQError, "no-such-pass"),
            (lambda: module.run("builtin.module(no-such-pass)"), cq.CQError, "no-such-pass"),
            (lambda: module.run("cq-quantize{bits=9}"), cq.CQError, "bits"),
            (lambda: module.run("cse\0"), ValueError, "zero byte"),
            (lambda: module.run(None), TypeError, "text"),
            (lambda: cq.Module.read("/no/such/file"), cq.CQError, "/no/such/file"),
        ):
            with self.assertRaisesRegex(error, word):
                call()
        self.assertIn("a.b", str(cq.Module('"a.b"() : () -> ()', allow_unregistered=True)))


if __name__ == "__main__":
    unittest.main()
