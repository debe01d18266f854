# RUN: env CQ_LIBRARY=%cq_lib_dir/libcq-c.so PYTHONPATH=%cq_src_root/python_bindings %python %s
# REQUIRES: numpy
import numpy as np

import cq

rng = np.random.default_rng(0)
for n, k in ((16, 64), (33, 172), (5, 576)):
    w = rng.standard_normal((n, k), dtype=np.float32)
    for scheme in ("b2-g32-half-step-f16", "b3-g64-symmetric-f16", "b8-row-symmetric-f32", "b4-g128-affine-bf16"):
        bits = int(scheme[1])
        q = cq.quantize(w, scheme)
        error = np.abs(q.dequantize() - w).max()
        # No level is further than a step and a half from a weight in range.
        assert error < 1.5 * np.abs(w).max() / 2 ** (bits - 1), (scheme, error)
        planes = q.planes
        total = sum(p.size for p in planes.values())
        assert abs(q.bits_per_weight - 8 * total / w.size) < 1e-9
        assert (planes["zeros"].size > 0) == ("affine" in scheme)
        other = cq.quantize(w, scheme, layout="linear").dequantize()
        assert np.array_equal(other, q.dequantize())

w = rng.standard_normal((16, 512), dtype=np.float32)
w[3, 70] = 40
plain = cq.quantize(w, "b3-g64-symmetric-f16")
cherry = cq.quantize(w, "b3-g64-symmetric-f16", cherry_form="slot")
assert np.abs(cherry.dequantize() - w)[3].max() < np.abs(plain.dequantize() - w)[3].max()
assert abs(cherry.dequantize()[3, 70] - 40) < 0.02

for arguments, word in (
    (dict(scheme="b9-g64"), "b9"),
    (dict(quantizer="magic"), "magic"),
    (dict(cherry_form="slot", cherry_ratio=2.0), "ratio"),
):
    try:
        cq.quantize(w, **arguments)
    except cq.CQError as error:
        assert word in str(error) or "bits" in str(error), error
    else:
        raise AssertionError(arguments)

w[0, 0] = np.nan
try:
    cq.quantize(w)
except cq.CQError:
    pass
else:
    raise AssertionError("NaN was accepted")
