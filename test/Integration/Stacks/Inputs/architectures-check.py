# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantizes FOLDER/NAME.mlir to 8 bits and lets IREE run it: architectures-check.py FOLDER NAME…

Prints products and gathers of cq, how many ops a remark says are left, and whether the result is that of 8 bits."""

import os
import subprocess
import sys

import cq_iree as stack
import numpy as np

for name in sys.argv[2:]:
    path = os.path.join(sys.argv[1], name)
    done = subprocess.run(["cq-opt", path + ".mlir", "--cq-quantize=bits=8 group-size=32 cherry-form=none quantizer=rtn",
                           "-o", path + ".q"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(path + ".q") as file:
        text = file.read()
    stack.sh("cq-opt", path + ".q", "--cq-export-iree", "--mlir-print-op-generic", "-o", path + ".iree")
    stack.compile(path + ".iree", path + ".vmfb")
    numbers = np.load(path + ".npz")
    got, y = np.asarray(stack.Module(path + ".vmfb")("main", numbers["x"]), np.float32), numbers["y"]
    error = np.abs(got - y).max() / np.abs(y).max()
    print(f"{name}: {text.count('cq.matmul')} products, {text.count('cq.gather')} gathers, "
          f"{done.stderr.count('stays as it is: its weight') + done.stderr.count('stays as it is: it reads')} left, "
          + ("near" if got.shape == y.shape and error < 0.03 else f"{error:.1e} {got.shape} {y.shape}"))
