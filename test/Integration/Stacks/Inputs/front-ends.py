# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models from JAX and ONNX, as their importers in IREE give them, quantized and run.

usage: front-ends.py FOLDER jax|onnx

Weights are integers with ±127 in every group of 32, so that 8 bits lose nothing: what
IREE computes after quantization has to be what NumPy computes before."""

import os
import sys

import cq_iree as stack
import numpy as np

folder, kind = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
random = np.random.default_rng(3)


def weight(n, k):
    w = random.integers(-126, 127, (n, k)).astype(np.float32)
    w[:, ::32], w[:, 1::32] = 127, -127
    return w


W1, W2, W3 = weight(96, 64), weight(64, 96), weight(32, 64)
x = random.standard_normal((2, 4, 64)).astype(np.float32)
bias = random.standard_normal(96).astype(np.float32)
hidden = np.maximum(x @ W1.T + bias, 0)
expected = (hidden @ W2.T / 1e4) @ W3.T
tool = lambda name: os.path.join(os.environ["CQ_IREE"], "bin", name)
path = lambda name: os.path.join(folder, name)


def from_jax():
    import jax
    import jax.numpy as jnp
    jax.config.update("jax_platforms", "cpu")

    def main(x):
        h = jax.nn.relu(x @ jnp.asarray(W1).T + bias)             # rank 3, transposed
        y = jax.lax.dot_general(h, jnp.asarray(W2), (((2,), (1,)), ((), ()))) / 1e4
        return jnp.einsum("bti,oi->bto", y, jnp.asarray(W3))

    text = jax.jit(main).lower(x).as_text()
    with open(path("stablehlo.mlir"), "w") as file:
        file.write(text)
    stack.sh(tool("iree-opt"), path("stablehlo.mlir"), "--iree-stablehlo-input-transformation-pipeline",
             "--mlir-print-op-generic", "-o", path("linalg.mlir"))


def from_onnx():
    import onnx
    from onnx import helper, numpy_helper
    constant = lambda name, value: numpy_helper.from_array(np.ascontiguousarray(value), name)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),             # rank 3: a broadcast weight
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Reshape", ["d", "flat"], ["e"]),
        helper.make_node("Gemm", ["e", "w2"], ["f"], transB=1, alpha=1e-4),
        helper.make_node("Transpose", ["w3"], ["w3t"], perm=[1, 0]),
        helper.make_node("MatMul", ["f", "w3t"], ["g"]),
        helper.make_node("Reshape", ["g", "back"], ["y"])]
    value = lambda name, shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "main", [value("x", [2, 4, 64])], [value("y", [2, 4, 32])], [
        constant("w1", W1.T), constant("b", bias), constant("w2", W2), constant("w3", W3),
        constant("flat", np.array([8, 96])), constant("back", np.array([2, 4, 32]))])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path("m.onnx"))
    stack.sh(tool("iree-import-onnx"), path("m.onnx"), "-o", path("torch.mlir"))
    stack.sh(tool("iree-opt"), path("torch.mlir"), "--torch-onnx-to-torch-backend-pipeline",
             "--torch-backend-to-linalg-on-tensors-backend-pipeline", "--mlir-print-op-generic",
             "-o", path("linalg.mlir"))


{"jax": from_jax, "onnx": from_onnx}[kind]()
stack.sh("cq-opt", path("linalg.mlir"), "--cq-quantize=override=.:b8-g32-symmetric-f32 cherries=none quantizer=rtn",
         "-o", path("quantized.mlir"))
with open(path("quantized.mlir")) as file:
    products = file.read().count("cq.matmul")
stack.sh("cq-opt", path("quantized.mlir"), "--cq-export-iree", "--mlir-print-op-generic", "-o", path("iree.mlir"))
stack.compile(path("iree.mlir"), path("model.vmfb"))
got = stack.Module(path("model.vmfb"))("main", x)
error = np.abs(got - expected).max() / np.abs(expected).max()
print(f"{products} products quantized, {'the numbers are the same' if error < 1e-5 else f'off by {error:.1e}'}")
# And with 3 bits, as a user would.
stack.sh("cq-opt", path("linalg.mlir"), "--cq-quantize=bits=3", "-o", path("three.mlir"))
with open(path("three.mlir")) as file:
    print("3 bits:", file.read().count("cq.matmul"), "products")
