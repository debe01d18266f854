# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions of several kinds in JAX, through IREE's input pipeline: architectures-jax.py FOLDER"""

import os
import sys

import cq_iree as stack
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_platforms", "cpu")
random = np.random.default_rng(1)
weight = lambda *shape: jnp.asarray((random.standard_normal(shape) * 0.1).astype(np.float32))
up, down, layers, query, out = weight(64, 96), weight(96, 64), weight(4, 64, 64), weight(64, 4, 16), weight(4, 16, 64)
words, experts, points = weight(128, 64), weight(16, 64, 96), weight(1, 1, 64, 96)
half = up.astype(jnp.bfloat16)
x = random.standard_normal((3, 64)).astype(np.float32)
CASES = {
    "dense_general": (lambda x: jnp.einsum("thk,hkd->td", jnp.tanh(jnp.einsum("td,dhk->thk", x, query)), out), x),
    "tied": (lambda t: jnp.tanh(words[t]) @ words.T, np.array([3, 5, 100], np.int32)),
    "flat_experts": (lambda x: jnp.einsum("td,edf->etf", x, experts).max(0), x),
    "bfloat16": (lambda x: (x.astype(jnp.bfloat16) @ half).astype(jnp.float32), x),
    "loop": (lambda x: jax.lax.fori_loop(0, 3, lambda i, a: jnp.tanh(a @ up) @ down, x), x),
    "branches": (lambda x: jax.lax.cond(x[0, 0] > 0, lambda a: a @ up, lambda a: (a * 2) @ up, x), x),
    "point_conv": (lambda x: jax.lax.conv_general_dilated(x, points, (1, 1), "SAME", dimension_numbers=(
        "NHWC", "HWIO", "NHWC")), random.standard_normal((1, 4, 4, 64)).astype(np.float32)),
    "scan": (lambda x: jax.lax.scan(lambda a, w: (jnp.tanh(a @ w), None), x, layers)[0], x),
}
for name, (function, x) in CASES.items():
    path = os.path.join(sys.argv[1], name)
    with open(path + ".stablehlo", "w") as file:
        file.write(jax.jit(function).lower(x).as_text())
    stack.sh(os.path.join(os.environ["CQ_IREE"], "bin", "iree-opt"), path + ".stablehlo",
             "--iree-stablehlo-input-transformation-pipeline", "--mlir-print-op-generic", "-o", path + ".mlir")
    np.savez(path, x=x, y=np.asarray(function(x), np.float32))
