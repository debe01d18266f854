# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What torch-mlir.py exported, quantized or raised, run by IREE: torch-mlir-check.py FOLDER"""

import os
import sys

import cq_iree as stack
import numpy as np

path = lambda name: os.path.join(sys.argv[1], name)
for name, verb, option in (
        ("plain", "quantized", "--cq-quantize=override=.:b8-g32-symmetric-f32 cherries=none quantizer=rtn"),
        ("decoded", "raised", "--cq-raise-dequant-matmul")):
    stack.sh("cq-opt", path(name + ".mlir"), option, "-o", path("out.mlir"))
    with open(path("out.mlir")) as file:
        products = file.read().count("cq.matmul")
    stack.sh("cq-opt", path("out.mlir"), "--cq-export-iree", "--mlir-print-op-generic", "-o", path("iree.mlir"))
    stack.compile(path("iree.mlir"), path("model.vmfb"))
    got, y = stack.Module(path("model.vmfb"))("main", np.load(path(name + ".x.npy"))), np.load(path(name + ".y.npy"))
    error = np.abs(got - y).max() / np.abs(y).max()
    print(f"{name}: {products} products {verb},", "the numbers are the same" if error < 1e-5 else f"off by {error:.1e}")
