# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products with every scheme: IREE's numbers against those of the reference lowering.

usage: iree-products.py FOLDER CHERRY_FORM ACTIVATIONS CODES PLACE [kernels]
PLACE: inline (constants) or archive (named parameters); kernels: our own object code."""

import os
import sys

import numpy as np

import cq_iree as stack

folder, form, activations, codes, place, *kernels = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
# Ragged rows, ragged groups, one group a row, several widths.
schemes = {
    "b2-g32-affine-f16": (24, 64), "b3-g64-symmetric-f16": (48, 200),
    "b3-row-affine-bf16": (20, 300), "b4-g128-half-step-f32": (16, 300),
    "b4-g32-symmetric-f16": (33, 96), "b5-g64-symmetric-f16": (17, 256),
    "b6-g32-affine-f16": (16, 512), "b8-row-symmetric-f32": (18, 77),
    "b3-g64-symmetric-f16+rows=1/2:b4": (64, 512),
}
random = np.random.default_rng(7)
text, calls, plan = "", [], []
for i, (scheme, (n, k)) in enumerate(schemes.items()):
    w = random.standard_normal((n, k), np.float32)
    m = 1 + i % 3
    calls.append((f"f{i}", random.standard_normal((m, k), np.float32), m, n))
    plan.append(f"weight_{i}_:{scheme}")
    text += f"""
  func.func @f{i}(%x: tensor<{m}x{k}xf32>) -> tensor<{m}x{n}xf32> {{
    %w = arith.constant dense_resource<weight_{i}_> : tensor<{n}x{k}xf32>
    %c = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<{m}x{n}xf32>
    %z = linalg.fill ins(%c : f32) outs(%e : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
    %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %w : tensor<{m}x{k}xf32>, tensor<{n}x{k}xf32>) outs(%z : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
    return %y : tensor<{m}x{n}xf32>
  }}"""
    plan[-1] = (plan[-1], w)
blobs = ",\n".join(f'weight_{i}_: "0x40000000{w.tobytes().hex()}"' for i, (_, w) in enumerate(plan))
source = os.path.join(folder, "model.mlir")
with open(source, "w") as file:
    file.write(f"module {{{text}\n}}\n{{-# dialect_resources: {{ builtin: {{ {blobs} }} }} #-}}\n")
quantized = os.path.join(folder, "quantized.mlir")
# The last one takes the defaults.
overrides = ",".join(text for text, _ in plan[:-1])
stack.sh("cq-opt", source, f"--cq-quantize=override={overrides} activations={activations} "
         "bits=3 group-size=64 rows=1/2:4 "
         f"cherries={'none' if form == 'none' else 'magnitude'} cherry-form={form} cherry-ratio=0.02",
         "-o", quantized)
with open(quantized) as file:
    assert file.read().count("cq.matmul") == len(calls)

exported = os.path.join(folder, "exported.mlir")
archive = os.path.join(folder, "exported.safetensors") if place == "archive" else None
option = f" parameters-out={archive}" if archive else ""
if kernels:
    option += f" kernels={os.path.join(folder, 'kernels.o')}"
stack.sh("cq-opt", quantized, "--allow-unregistered-dialect", "--mlir-print-op-generic",
         f"--cq-export-iree=codes={codes}{option}", "-o", exported)
with open(exported) as file:
    text = file.read()
assert "cq." not in text
assert not kernels or text.count('"iree_codegen.ukernel.generic"') == len(calls)
vmfb = os.path.join(folder, "exported.vmfb")
stack.compile(exported, vmfb, *([f"--iree-hal-executable-object-search-path={folder}"] if kernels else []))
module = stack.Module(vmfb, archive)
expected = stack.reference(quantized, calls, os.path.join(folder, "reference.mlir"))
worst = 0
for (function, x, m, n), scheme, y in zip(calls, schemes, expected):
    got = module(function, x)
    error = np.abs(got - y).max() / np.abs(y).max()
    worst = max(worst, error)
    if not error < 1e-5:
        print(f"{scheme}: IREE differs by {error:.1e}", got[0, :4], y[0, :4])
print(f"{len(calls)} products agree" if worst < 1e-5 else f"worst {worst}")
