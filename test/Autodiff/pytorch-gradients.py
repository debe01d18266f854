# RUN: %torch_python %s %cq_lib_dir %t random
# RUN: %if shared-data %{ %torch_python %s %cq_lib_dir %t %shared/data/stories260K.bin %}
# REQUIRES: torch, mlir-translate
"""Gradients of @loss by every parameter against PyTorch in f64.

Llama is written again here, straight from a llama2.c file: either a random
model of one block (three query heads a key head, an untied head), or
stories260K. What is compared is the whole way through the compiler: cq import,
cq-differentiate, cq-lower-to-llvm, machine code.
"""
import ctypes
import os
import struct
import subprocess
import sys

import numpy as np
import torch

TOKENS = 48


def write_random_model(path):
    dim, hidden, layers, heads, kv_heads, vocabulary, context = 48, 80, 1, 6, 2, 61, 64
    rng = np.random.default_rng(5)
    kv = dim // heads * kv_heads
    shapes = [(vocabulary, dim), (layers, dim), (layers, dim, dim), (layers, kv, dim), (layers, kv, dim),
              (layers, dim, dim), (layers, dim), (layers, hidden, dim), (layers, dim, hidden),
              (layers, hidden, dim), (dim,), (2, context, dim // heads // 2), (vocabulary, dim)]
    with open(path, "wb") as file:
        # A negative vocabulary says that the head is a matrix of its own.
        file.write(struct.pack("7i", dim, hidden, layers, heads, kv_heads, -vocabulary, context))
        for shape in shapes:
            scale = 1.0 if len(shape) == 1 or shape == (layers, dim) else shape[-1] ** -0.5
            file.write((scale * rng.standard_normal(shape)).astype(np.float32).tobytes())


def read_model(path):
    """Header and named parameters of a llama2.c file, as f64 that torch tracks."""
    data = open(path, "rb").read()
    dim, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack("7i", data[:28])
    numbers = np.frombuffer(data, np.float32, offset=28)
    kv, at, parameters = dim // heads * kv_heads, 0, {}

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return numbers[at - size : at].reshape(shape)

    def name(stack, role):
        for i, matrix in enumerate(stack):
            parameters[f"blk.{i}.{role}.weight"] = matrix

    parameters["token_embd.weight"] = take(abs(vocabulary), dim)
    name(take(layers, dim), "attn_norm")
    name(take(layers, dim, dim), "attn_q")
    name(take(layers, kv, dim), "attn_k")
    name(take(layers, kv, dim), "attn_v")
    name(take(layers, dim, dim), "attn_output")
    name(take(layers, dim), "ffn_norm")
    name(take(layers, hidden, dim), "ffn_gate")
    name(take(layers, dim, hidden), "ffn_down")
    name(take(layers, hidden, dim), "ffn_up")
    parameters["output_norm.weight"] = take(dim)
    take(2, context, dim // heads // 2)
    if vocabulary < 0:
        parameters["output.weight"] = take(-vocabulary, dim)
    header = dict(dim=dim, layers=layers, heads=heads, kv_heads=kv_heads, vocabulary=abs(vocabulary))
    tracked = {k: torch.tensor(v.astype(np.float64), requires_grad=True) for k, v in parameters.items()}
    return header, parameters, tracked


def reference_loss(header, p, tokens):
    size = header["dim"] // header["heads"]
    group = header["heads"] // header["kv_heads"]
    count = len(tokens)

    def norm(x, weight):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight

    frequencies = torch.tensor([10000.0 ** (-2 * i / size) for i in range(size // 2)], dtype=torch.float64)
    angles = torch.arange(count, dtype=torch.float64)[:, None, None] * frequencies

    def rope(x):  # [token, head, feature], neighbours are pairs
        a, b = x[..., 0::2], x[..., 1::2]
        cos, sin = torch.cos(angles), torch.sin(angles)
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

    x = p["token_embd.weight"][tokens]
    future = torch.full((count, count), float("-inf"), dtype=torch.float64).triu(1)
    for i in range(header["layers"]):
        w = lambda role: p[f"blk.{i}.{role}.weight"]
        h = norm(x, w("attn_norm"))
        q = rope((h @ w("attn_q").T).view(count, -1, size))
        k = rope((h @ w("attn_k").T).view(count, -1, size)).repeat_interleave(group, 1)
        v = (h @ w("attn_v").T).view(count, -1, size).repeat_interleave(group, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / size**0.5 + future
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), v).reshape(count, -1)
        x = x + mixed @ w("attn_output").T
        h = norm(x, w("ffn_norm"))
        x = x + (torch.nn.functional.silu(h @ w("ffn_gate").T) * (h @ w("ffn_up").T)) @ w("ffn_down").T
    head = p.get("output.weight", p["token_embd.weight"])
    logits = norm(x, p["output_norm.weight"]) @ head.T
    return torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="none")


def compile_gradient(model, folder, library_folder):
    """The compiled @loss_gradient, and the names in its parameter table and among its gradients."""
    module, lowered, shared = (os.path.join(folder, name) for name in ("model.mlir", "lowered.mlir", "model.so"))
    run = lambda *command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    run("cq", "import", model, f"--loss-tokens={TOKENS}", "-o", module)
    differentiated = os.path.join(folder, "gradient.mlir")
    run("cq-opt", module, "--cq-merge-functions", "--cq-differentiate=wrt=all", "-o", differentiated)
    run("cq-opt", differentiated, "--cq-lower-to-llvm", "-o", lowered)
    run("mlir-translate", "--mlir-to-llvmir", lowered, "-o", lowered + ".ll")
    run("clang", "-w", "-O1", "-march=native", "-shared", "-fPIC", lowered + ".ll", "-o", shared,
        "-Wl,--whole-archive", os.path.join(library_folder, "libCQRuntime.a"), "-Wl,--no-whole-archive",
        "-lstdc++", "-lm", "-pthread")
    names = lambda text, mark: [n.strip().strip('"') for n in text.split(mark + " = [", 1)[1].split("]", 1)[0].split(",")]
    order = names(open(lowered).read(), "cq.parameter_order")
    gradients = names(open(differentiated).read(), "cq.gradients")
    return ctypes.CDLL(shared).cq_loss_gradient, order, gradients


def main():
    library_folder, folder, model = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    if model == "random":
        model = os.path.join(folder, "random.bin")
        write_random_model(model)
    header, parameters, tracked = read_model(model)
    function, order, names = compile_gradient(model, folder, library_folder)
    missing = set(parameters) ^ set(names)
    assert not missing, f"gradients of other parameters: {missing}"

    rng = np.random.default_rng(3)
    tokens = rng.integers(0, header["vocabulary"], TOKENS).astype(np.int32)
    cotangent = rng.standard_normal(TOKENS - 1).astype(np.float32)
    address = lambda array: array.ctypes.data_as(ctypes.c_void_p)
    kept = [np.ascontiguousarray(parameters[name]) for name in order]
    table = (ctypes.c_void_p * len(order))(*[a.ctypes.data for a in kept])
    losses = np.empty(TOKENS - 1, np.float32)
    gradients = [np.full(parameters[name].shape, np.nan, np.float32) for name in names]
    function(table, address(tokens), address(cotangent), address(losses), *map(address, gradients))

    expected = reference_loss(header, tracked, torch.tensor(tokens, dtype=torch.long))
    (expected * torch.tensor(cotangent, dtype=torch.float64)).sum().backward()
    reference = expected.detach().numpy()
    worst = [np.linalg.norm(losses - reference) / np.linalg.norm(reference), "losses"]
    assert worst[0] <= 1e-4, worst
    for name, gradient in zip(names, gradients):
        reference = tracked[name].grad.numpy()
        error = np.linalg.norm(gradient - reference) / np.linalg.norm(reference)
        assert error <= 1e-4, f"{name}: relative error {error}"
        worst = max(worst, [error, name])
    print(f"{len(names)} gradients, largest relative error {worst[0]:.1e} ({worst[1]})")


main()
