# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX's block-quantized ops through IREE's importer. usage: onnx-blocks.py FOLDER"""

import os
import re
import sys
import warnings

import cq_iree as stack
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

warnings.simplefilter("ignore")
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
random = np.random.default_rng(5)
path = lambda name: os.path.join(folder, name)
tool = lambda name: os.path.join(os.environ["CQ_IREE"], "bin", name)
constant = lambda name, value: numpy_helper.from_array(np.ascontiguousarray(value), name)
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(nodes, x, n, constants):
    graph = helper.make_graph(nodes, "main", [value("x", x.shape)], [value("y", [*x.shape[:-1], n])], constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path("m.onnx"))


def check(what, x, expected):
    """From the .onnx file to the numbers of what we export."""
    stack.sh(tool("iree-import-onnx"), path("m.onnx"), "-o", path("torch.mlir"))
    stack.sh(tool("iree-opt"), path("torch.mlir"), "--mlir-print-op-generic", "-o", path("generic.mlir"))
    stack.sh("cq-opt", path("generic.mlir"), "--allow-unregistered-dialect", "--cq-raise-dequant-matmul",
             "--mlir-print-op-generic", "-o", path("plain.mlir"))
    stack.sh(tool("iree-opt"), path("plain.mlir"), "--torch-onnx-to-torch-backend-pipeline",
             "--torch-backend-to-linalg-on-tensors-backend-pipeline", "--mlir-print-op-generic", "-o", path("linalg.mlir"))
    stack.sh("cq-opt", path("linalg.mlir"), "--cq-raise-dequant-matmul", "-o", path("raised.mlir"))
    with open(path("raised.mlir")) as file:
        text = file.read()
    schemes = re.findall(r"cq.matmul.*bits = (\d), group = (\w+), grid = (\w+)", text)
    print(f"{what}:", " ".join(f"b{bits}-g{group}-{grid}" for bits, group, grid in schemes) + ",", run(x, expected, "raised.mlir"))


def run(x, expected, source, archive=None):
    options = [f"--cq-export-iree=parameters={path('q.safetensors')} parameters-out={archive}" if archive
               else "--cq-export-iree"]
    stack.sh("cq-opt", path(source), "--allow-unregistered-dialect", *options, "--mlir-print-op-generic", "-o",
             path("iree.mlir"))
    stack.compile(path("iree.mlir"), path("m.vmfb"))
    got = stack.Module(path("m.vmfb"), archive)("main", x)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    return "agrees" if error < 1e-5 else f"off by {error:.1e}"


def pack(codes, bits):
    """Low bits first, whole bytes a row."""
    per = 8 // bits
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    parts = codes.reshape(*codes.shape[:-1], -1, per).astype(np.uint8)
    return np.bitwise_or.reduce(parts << (np.arange(per, dtype=np.uint8) * bits), axis=-1).astype(np.uint8)


def product(what, n, k, bits, block, zeros=False, bias=False, rows=(3,)):
    codes = random.integers(0, 1 << bits, (n, k // block, block), dtype=np.uint8)
    codes[..., 0], codes[..., 1] = 0, (1 << bits) - 1
    points = random.integers(0, 1 << bits, (n, k // block), dtype=np.uint8)
    scales = random.random((n, k // block), dtype=np.float32)
    x = random.standard_normal((*rows, k)).astype(np.float32)
    inputs = ["x", "w", "s", "z" if zeros else "", "", "b" if bias else ""]
    while not inputs[-1]:
        inputs.pop()
    offset = random.standard_normal(n).astype(np.float32)
    constants = [constant("w", pack(codes, bits)), constant("s", scales.reshape(-1))]
    constants += [constant("z", pack(points, bits).reshape(-1))] if zeros else []
    constants += [constant("b", offset)] if bias else []
    node = helper.make_node("MatMulNBits", inputs, ["y"], domain="com.microsoft", K=k, N=n, bits=bits, block_size=block)
    save([node], x, n, constants)
    zero = points[..., None].astype(np.float32) if zeros else np.float32(1 << (bits - 1))
    w = ((codes - zero) * scales[..., None]).reshape(n, k).astype(np.float64)
    check(what, x, x @ w.T + (offset if bias else 0))


product("MatMulNBits 4 bits, zero points", 48, 128, 4, 32, zeros=True)
product("MatMulNBits 4 bits, no zero points, bias", 40, 128, 4, 64, bias=True)
product("MatMulNBits 8 bits", 16, 64, 8, 32, zeros=True)
product("MatMulNBits 2 bits, 3 dimensions", 32, 384, 2, 128, zeros=True, rows=(2, 3))


def decoded(what, n, k, block, axis, zeros=False, trans=False):
    """y = x · dequantize(codes): codes [k, n], or [n, k] with Gemm's transB."""
    codes = random.integers(-127, 128, (n, k) if trans else (k, n)).astype(np.int8)
    codes.reshape(-1)[:2] = -127, 127
    shape = list(codes.shape)
    if block:
        shape[axis] //= block
    else:
        shape = [shape[axis]]
    scales = random.random(shape, dtype=np.float32)
    points = random.integers(-90, 90, shape).astype(np.int8)
    node = helper.make_node("DequantizeLinear", ["c", "s", "z"] if zeros else ["c", "s"], ["w"], axis=axis,
                            **({"block_size": block} if block else {}))
    x = random.standard_normal((3, k)).astype(np.float32)
    save([node, helper.make_node("Gemm", ["x", "w"], ["y"], transB=int(trans))], x, n,
         [constant("c", codes), constant("s", scales)] + ([constant("z", points)] if zeros else []))
    spread = (lambda v: np.repeat(v, block, axis)) if block else (lambda v: np.expand_dims(v, 1 - axis))
    level = codes.astype(np.float64) - (spread(points) if zeros else 0)
    w = level * spread(scales)
    check(what, x, x @ (w.T if trans else w))


decoded("DequantizeLinear, blocks of columns", 48, 64, 32, 1, trans=True)
decoded("DequantizeLinear, blocks of rows, zero points", 48, 96, 32, 0, zeros=True)
decoded("DequantizeLinear, one scale a row", 32, 64, 0, 0, trans=True)

# Parameters outside: the archive that iree-import-onnx writes has no types.
w = random.integers(-126, 127, (96, 64)).astype(np.float32)
w[:, ::32], w[:, 1::32] = 127, -127
x = random.standard_normal((3, 64)).astype(np.float32)
save([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], x, 96, [constant("w", w)])
stack.sh(tool("iree-import-onnx"), path("m.onnx"), "--externalize-params", "--num-elements-threshold", "2",
         "--save-params-to", path("w.irpa"), "-o", path("torch.mlir"))
stack.sh(tool("iree-compile"), path("torch.mlir"), "--compile-to=input", "--iree-torch-emit-async-entry-points=false",
         "--mlir-print-op-generic", "-o", path("input.mlir"))
stack.sh("cq-opt", path("input.mlir"), "--allow-unregistered-dialect", "--cq-import-globals",
         f"--cq-quantize=override=.:b8-g32-symmetric-f32 cherries=none quantizer=rtn parameters={path('w.irpa')} "
         f"parameters-out={path('q.safetensors')}", "-o", path("quantized.mlir"))
with open(path("quantized.mlir")) as file:
    count = file.read().count("cq.matmul")
print(f"parameters in .irpa: {count} product,", run(x, x @ w.T.astype(np.float64), "quantized.mlir", path("out.irpa")))
# IREE 3.13's runtime may crash when Python takes several of its contexts down.
sys.stdout.flush()
os._exit(0)
