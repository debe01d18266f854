# What type checkers see: the package itself is clean, results have their types, and
# misspelt arguments are found.
#
# RUN: cd %cq_src_root/python_bindings && env PYTHONPATH=%wheel_tools %python -m mypy \
# RUN:   --disallow-untyped-defs --check-untyped-defs --ignore-missing-imports --cache-dir=%t.cache --python-executable=%python cq
# RUN: cd %t.cache && env PYTHONPATH=%wheel_tools MYPYPATH=%cq_src_root/python_bindings %python -m mypy \
# RUN:   --cache-dir=%t.cache --python-executable=%python --warn-unused-ignores %s
# REQUIRES: numpy, mypy
from typing import Dict, Optional

import cq
import numpy as np

w = np.zeros((4, 64), np.float32)
one: cq.QuantizedWeight = cq.quantize(w, "b3-g64")
many: cq.QuantizedModel = cq.quantize({"a": w}, bpw=3.0)
read: cq.QuantizedModel = cq.quantize("model.gguf")
plan: cq.Plan = cq.quantize("model.mlir", "b3-g64", output="small")
planes: Dict[str, np.ndarray] = one.planes
cherries: Optional[cq.Cherries] = plan.entries[0].cherries
text: str = cq.run_pipeline("", "cse")
number: float = one.bits_per_weight
cq.quantize({"a": w}, bits=3)  # type: ignore[call-overload]
cq.load(5)  # type: ignore[arg-type]
