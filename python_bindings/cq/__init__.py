# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantize weights and run cq's compiler passes from Python.

>>> import numpy as np, cq
>>> w = np.random.default_rng(0).standard_normal((64, 576), dtype=np.float32)
>>> q = cq.quantize(w, "b3-g64-symmetric-f16")
>>> round(q.bits_per_weight, 2)
3.25
>>> q.dequantize().shape
(64, 576)
>>> m = cq.Module("func.func @f() { return }")
>>> m.run("builtin.module(canonicalize)")
>>> print(m)  # doctest: +ELLIPSIS
module {...
"""

from ._library import CQError
from .module import Module
from .weight import QuantizedWeight, quantize

__all__ = ["CQError", "Module", "QuantizedWeight", "quantize"]
