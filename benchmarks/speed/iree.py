#!/usr/bin/env python3
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products inside IREE: what it makes of f16, 8-, 4- and 3-bit weights, and our own
3-bit kernels linked in by cq-export-iree{kernels=}. One worker; process time, not
the clock's, since machines are shared; cases in turn, medians. Ratios count.

    CQ_IREE=~/.cache/cq/peers/iree benchmarks/speed/iree.py [--rows 4096] [--columns 4096] [--tokens 1,8]
"""

import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPT = os.path.join(os.environ.get("CQ_BUILD_DIR", os.path.join(ROOT, "build")), "bin", "cq-opt")
IREE = os.path.join(os.environ.get("CQ_IREE", os.path.expanduser("~/.cache/cq/peers/iree")), "bin")
COMPILE = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
           "--iree-llvmcpu-target-cpu=host"]

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=4096)
parser.add_argument("--columns", type=int, default=4096)
parser.add_argument("--tokens", default="1,8")
parser.add_argument("--rounds", type=int, default=7)
args = parser.parse_args()
n, k = args.rows, args.columns

CASES = {  # name: (scheme, activations, own kernels)
    "f16": ("f16", "f32", False),
    "i8": ("b8-g128", "f32", False),
    "i4": ("b4-g128", "f32", False),
    "3 bits, IREE's code": ("b3-g128", "f32", False),
    "3 bits, our kernel, f32": ("b3-g128", "f32", True),
    "3 bits, our kernel, int8": ("b3-g128", "int8", True),
}


def sh(*command, folder):
    subprocess.run(command, check=True, cwd=folder, capture_output=True)


def write_weights(folder):
    """An archive with W [n, k] in f32 and in f16."""
    # Halves 0x3000 … 0x37ff and their negatives: 0.125 to 0.5.
    random.seed(0)
    halves = [random.randrange(0x3000, 0x3800) | random.randrange(2) << 15 for _ in range(4096)]
    floats = [struct.unpack("<e", struct.pack("<H", h))[0] for h in halves]
    repeat = n * k // 4096
    header = {"w": {"dtype": "F32", "shape": [n, k], "data_offsets": [0, 4 * n * k]},
              "w16": {"dtype": "F16", "shape": [n, k], "data_offsets": [4 * n * k, 6 * n * k]}}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(os.path.join(folder, "w.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write(struct.pack("<4096f", *floats) * repeat)
        file.write(struct.pack("<4096H", *halves) * repeat)


def build(folder, name, m, scheme, activations, kernels):
    wide = scheme == "f16"
    key, element = ("w16", "f16") if wide else ("w", "f32")
    attribute = f'#flow.parameter.named<"model"::"{key}">' if wide else "#ml_program.extern"
    extend = "%be = arith.extf %b : f16 to f32" if wide else ""
    value = "%be" if wide else "%b"
    text = f"""module attributes {{{'' if wide else 'cq.parameters = "w.safetensors"'}}} {{
  ml_program.global private @{key}({attribute} : tensor<{n}x{k}x{element}>) : tensor<{n}x{k}x{element}>
  func.func @main(%x: tensor<{m}x{k}xf32>) -> tensor<{m}x{n}xf32> {{
    %w = ml_program.global_load @{key} : tensor<{n}x{k}x{element}>
    %c = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<{m}x{n}xf32>
    %z = linalg.fill ins(%c : f32) outs(%e : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
    %y = linalg.generic {{indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
        iterator_types = ["parallel", "parallel", "reduction"]}}
        ins(%x, %w : tensor<{m}x{k}xf32>, tensor<{n}x{k}x{element}>) outs(%z : tensor<{m}x{n}xf32>) {{
      ^bb0(%a: f32, %b: {element}, %o: f32):
        {extend}
        %p = arith.mulf %a, {value} : f32
        %s = arith.addf %o, %p : f32
        linalg.yield %s : f32
    }} -> tensor<{m}x{n}xf32>
    return %y : tensor<{m}x{n}xf32>
  }}
}}
"""
    stem = "".join(c for c in name if c.isalnum()) + f"_{m}"
    source = f"{stem}.mlir"
    with open(os.path.join(folder, source), "w") as file:
        file.write(text)
    archive, flags = "w.safetensors", []
    if not wide:
        sh(OPT, source, "-o", "q.mlir", f"--cq-quantize=override=.:{scheme} activations={activations} "
           "cherries=none quantizer=rtn parameters-out=q.safetensors", folder=folder)
        archive = f"{stem}.safetensors"
        own = f" kernels={stem}.o" if kernels else ""
        sh(OPT, "q.mlir", "--allow-unregistered-dialect", "--mlir-print-op-generic", "-o", source,
           f"--cq-export-iree=parameters-out={archive}{own}", folder=folder)
        flags = ["--iree-hal-executable-object-search-path=."]
    sh(os.path.join(IREE, "iree-compile"), source, *COMPILE, *flags, "-o", f"{stem}.vmfb", folder=folder)
    return [os.path.join(IREE, "iree-benchmark-module"), "--device=local-task", "--task_topology_max_group_count=1",
            f"--module={stem}.vmfb", f"--parameters=model={archive}", "--function=main",
            f"--input={m}x{k}xf32=0.5", "--benchmark_min_time=0.3s", "--benchmark_format=json"]


def milliseconds(command, folder):
    done = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    result = json.loads(done.stdout[done.stdout.index("{"):])["benchmarks"][0]
    return result["cpu_time"] * {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}[result["time_unit"]]


with tempfile.TemporaryDirectory() as folder:
    write_weights(folder)
    for m in map(int, args.tokens.split(",")):
        commands = {name: build(folder, name, m, *case) for name, case in CASES.items()}
        times = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                times[name].append(milliseconds(command, folder))
        ours = statistics.median(times["3 bits, our kernel, int8"])
        for name, samples in times.items():
            median = statistics.median(samples)
            print(f"{n}x{k}, {m} tokens, {name:26} {median:8.2f} ms  {median / ours:6.2f}", flush=True)
