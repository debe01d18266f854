# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One weight matrix as packed planes."""

import ctypes
import threading
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from . import _arrays
from ._library import Handle, check, last_error, library, optional_text, take_text, text_of

PLANES = ("codes", "scales", "zeros", "cherry_columns", "cherry_deltas", "row_order")


class _Inputs(ctypes.Structure):
    """CqQuantizeInputs"""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("column_weights", ctypes.c_void_p),
        ("fisher", ctypes.c_void_p),
        ("second_moments", ctypes.c_void_p),
        ("threads", ctypes.c_uint),
    ]


class QuantizedWeight:
    """Packed planes of a weight [n, k] = [out_features, in_features].

    Made by `cq.quantize` or `QuantizedWeight.from_planes`; it does not change.
    """

    def __init__(self, handle: Optional[int]):
        self._handle = Handle(handle, library.cqWeightFree)

    @classmethod
    def from_planes(cls, planes: Mapping[str, Any], shape: Tuple[int, int], choice: str,
                    layout: str = "panel16") -> "QuantizedWeight":
        """A weight from `planes` (names as in `.planes`, uint8 [bytes] each; absent ones may
        be left out), its shape (n, k), and `choice` and `layout` as it was stored with.

        Raises CQError where sizes or contents do not fit.
        """
        unknown = set(planes) - set(PLANES)
        if unknown:
            raise ValueError(f"there are no planes {sorted(unknown)}; they are {', '.join(PLANES)}")
        arrays = []
        for name in PLANES:
            plane = _arrays.to_numpy(planes.get(name, np.empty(0, np.uint8)))
            if plane.dtype != np.uint8 or plane.ndim != 1:
                raise TypeError(f"the plane {name} must be uint8 with one dimension, not {plane.dtype} {plane.shape}")
            arrays.append(np.ascontiguousarray(plane))
        n, k = _shape(shape)
        pointers = (ctypes.c_void_p * len(PLANES))(*(a.ctypes.data if a.size else None for a in arrays))
        sizes = (ctypes.c_size_t * len(PLANES))(*(a.size for a in arrays))
        return cls(library.cqWeightFromPlanes(n, k, text_of(choice, "choice"), text_of(layout, "layout"),
                                              pointers, sizes))

    @property
    def shape(self) -> Tuple[int, int]:
        """(n, k)"""
        handle = self._handle
        return library.cqWeightRows(handle), library.cqWeightColumns(handle)

    @property
    def choice(self) -> str:
        """How it is stored, without the quantizer and the criterion, which planes do not hold."""
        return take_text(library.cqWeightChoice(self._handle))

    @property
    def layout(self) -> str:
        """"panel16" or "linear" """
        return take_text(library.cqWeightLayout(self._handle))

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, every byte of every plane counted."""
        return float(library.cqWeightBitsPerWeight(self._handle))

    @property
    def planes(self) -> Dict[str, np.ndarray]:
        """Copies of the planes' bytes, uint8 [bytes] by name; absent planes are empty."""
        result = {}
        for index, name in enumerate(PLANES):
            size = _arrays.size_t()
            data = library.cqWeightPlane(self._handle, index, ctypes.byref(size))
            if not data:
                raise last_error()
            result[name] = np.frombuffer(ctypes.string_at(data, size.value), np.uint8).copy()
        return result

    def dequantize(self, out: Optional[np.ndarray] = None) -> np.ndarray:
        """The decoded weight, float32 [n, k], cherries included; into `out` where given
        (C-contiguous float32 of that shape)."""
        result = _arrays.output(out, self.shape)
        check(library.cqWeightDequantize(self._handle, result.ctypes.data, result.size))
        return result

    def relayout(self, layout: str) -> "QuantizedWeight":
        """The same numbers in another layout, "panel16" or "linear"."""
        return QuantizedWeight(library.cqWeightRelayout(self._handle, text_of(layout, "layout")))

    def __repr__(self) -> str:
        n, k = self.shape
        return f"QuantizedWeight({n} x {k}, {self.choice}, {self.layout}, {self.bits_per_weight:.3f} bits per weight)"


class Product:
    """Compiled code for x @ W.T of one weight on this CPU (AVX2 or AVX-512).

    `activation`: "f32", or "int8" (rows of x are rounded to 8 bits in groups; faster).
    The planes are copied. Raises CQError on a CPU without AVX2.
    """

    def __init__(self, weight: QuantizedWeight, activation: str = "f32"):
        if weight.layout != "panel16":
            weight = weight.relayout("panel16")
        self.shape = weight.shape
        self._handle = Handle(
            library.cqProductCreate(weight._handle, text_of(activation, "activation")),
            library.cqProductFree)
        self._lock = threading.Lock()

    def __call__(self, x: Any, out: Optional[np.ndarray] = None) -> np.ndarray:
        """float32 [m, n] of x [m, k]."""
        n, k = self.shape
        x = _arrays.floats(x, "x")
        if x.shape[1] != k:
            raise ValueError(f"x must have {k} columns, not {x.shape[1]}")
        result = _arrays.output(out, (x.shape[0], n))
        with self._lock:
            check(library.cqProductRun(self._handle, x.ctypes.data, x.shape[0], result.ctypes.data))
        return result


def _shape(shape: Tuple[int, int]) -> Tuple[int, int]:
    n, k = (int(extent) for extent in shape)
    if not (0 < n < 2**40 and 0 < k < 2**40):
        raise ValueError(f"a weight has at least one row and one column, not {n} x {k}")
    return n, k


def plane_sizes(shape: Tuple[int, int], choice: str, layout: str = "panel16") -> Dict[str, int]:
    """Exact bytes of every plane of a weight (n, k) that would be stored so."""
    n, k = _shape(shape)
    sizes = (ctypes.c_int64 * len(PLANES))()
    check(library.cqWeightPlaneSizes(n, k, text_of(choice, "choice"), text_of(layout, "layout"), sizes))
    return dict(zip(PLANES, sizes))


def compose_choice(scheme: str, k: int, quantizer: Optional[str], cherry_form: Optional[str], cherry_ratio: float,
                   criterion: str) -> str:
    """The choice that separate arguments mean."""
    choice = scheme
    if quantizer is not None:
        choice += "/" + quantizer
    if cherry_form not in (None, "none"):
        count = library.cqCherryCount(text_of(cherry_form, "cherry_form"), float(cherry_ratio), k)
        if count < 0:
            raise last_error()
        choice += f"/{cherry_form}{count}-{criterion}"
    return choice


def quantize_array(weight: Any, choice: str, layout: str = "panel16", *, column_weights: Any = None,
                   fisher: Any = None, second_moments: Any = None, threads: int = 0,
                   name: str = "weight") -> QuantizedWeight:
    """Quantizes one array; `cq.quantize` says what the arguments are."""
    w = _arrays.floats(weight, name)
    n, k = w.shape
    columns = None if column_weights is None else _arrays.squares(column_weights, "column_weights", (k,))
    if fisher is not None:
        fisher = _arrays.squares(fisher, "fisher", (n, k))
    moments = None
    if second_moments is not None:
        packed = k * (k + 1) // 2
        array = _arrays.to_numpy(second_moments)
        if array.shape == (k, k):
            array = array[np.triu_indices(k)]
        elif array.shape != (packed,):
            raise ValueError(f"second_moments must have shape ({k}, {k}) or ({packed},), not {array.shape}")
        moments = _arrays.floats(array, "second_moments", ndim=1, dtype=np.float64)
    if not 0 <= int(threads) <= 4096:
        raise ValueError("threads must be 0 to 4096")
    inputs = _Inputs(ctypes.sizeof(_Inputs), _arrays.address(columns), _arrays.address(fisher),
                     _arrays.address(moments), int(threads))
    return QuantizedWeight(
        library.cqWeightQuantize(w.ctypes.data, n, k, text_of(choice, "choice"), optional_text(layout, "layout"),
                                 ctypes.byref(inputs)))
