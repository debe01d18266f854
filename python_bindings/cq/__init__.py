# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantize weights, plan bits, run cq's compiler passes and models from Python.

>>> import numpy as np, cq
>>> w = np.random.default_rng(0).standard_normal((64, 576), dtype=np.float32)
>>> q = cq.quantize(w, "b3-g64")
>>> q
QuantizedWeight(64 x 576, b3-g64-symmetric-f16, panel16, 3.250 bits per weight)
>>> q.dequantize().shape
(64, 576)
>>> print(cq.run_pipeline("func.func @f() { return }", "canonicalize"))  # doctest: +ELLIPSIS
module {...

docs/Python.md has more. `cq.torch` has linear layers for PyTorch.
"""

from ._library import CQError, library as _library
from .checkpoint import Checkpoint
from .model import LanguageModel, compile_model, import_model, load
from .module import Module, run_pipeline
from .plan import Candidate, Cherries, Measurements, Plan, PlanEntry, Statistics, WideRows
from ._quantize import QuantizedModel, quantize
from .weight import Product, QuantizedWeight, plane_sizes

__version__ = _library.cqVersion().decode().split()[0]
__all__ = [
    "CQError", "Candidate", "Checkpoint", "Cherries", "LanguageModel", "Measurements", "Module", "Plan", "PlanEntry",
    "Product", "QuantizedModel", "QuantizedWeight", "Statistics", "WideRows", "compile_model", "import_model", "load",
    "plane_sizes", "quantize", "run_pipeline",
]
