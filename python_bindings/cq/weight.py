# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantize and dequantize NumPy arrays with the codec of the compiler."""

import ctypes

import numpy as np

from ._library import last_error, library

_PLANES = ("codes", "scales", "zeros", "cherry_columns", "cherry_deltas")


def _pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


class QuantizedWeight:
    """Packed planes of a weight [n, k]; made by `quantize`."""

    def __init__(self, handle, shape):
        self._handle = handle
        self.shape = shape

    def dequantize(self) -> np.ndarray:
        """The decoded weight, float32 [n, k], cherries included."""
        out = np.empty(self.shape, np.float32)
        if library.cqWeightDequantize(self._handle, _pointer(out)):
            raise last_error()
        return out

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, every byte of every plane counted."""
        return library.cqWeightBitsPerWeight(self._handle)

    @property
    def planes(self) -> "dict[str, np.ndarray]":
        """Copies of the planes' bytes (uint8) by name; absent planes are empty."""
        result = {}
        for index, name in enumerate(_PLANES):
            size = ctypes.c_size_t()
            data = library.cqWeightPlane(self._handle, index, ctypes.byref(size))
            result[name] = np.frombuffer(
                ctypes.string_at(data, size.value) if size.value else b"", np.uint8
            )
        return result

    def __del__(self):
        if getattr(self, "_handle", None):
            library.cqWeightFree(self._handle)
            self._handle = None


def quantize(
    weight,
    scheme: str = "b3-g64-symmetric-f16",
    *,
    quantizer: str = "rtn",
    layout: str = "panel16",
    cherry_form: str = "none",
    cherry_ratio: float = 1 / 256,
    criterion: str = "quant-error",
    column_weights=None,
) -> QuantizedWeight:
    """Quantizes ``weight`` [n, k] = [out_features, in_features], float32.

    scheme: "b<bits>-g<group>|row-<grid>-<scale type>"; quantizer: "rtn" | "mse";
    layout: "panel16" | "linear"; cherry_form: "none" | "element" | "column" |
    "slot"; criterion: "magnitude" | "quant-error"; column_weights: E[x^2] of each
    input column [k]. Raises CQError with one sentence.
    """
    w = np.ascontiguousarray(weight, np.float32)
    if w.ndim != 2:
        raise ValueError(f"a weight has two dimensions, this one has {w.ndim}")
    columns = None
    if column_weights is not None:
        columns = np.ascontiguousarray(column_weights, np.float32)
        if columns.shape != (w.shape[1],):
            raise ValueError(
                f"column_weights must have shape ({w.shape[1]},), not {columns.shape}"
            )
    handle = library.cqWeightQuantize(
        _pointer(w),
        *w.shape,
        scheme.encode(),
        quantizer.encode(),
        layout.encode(),
        cherry_form.encode(),
        cherry_ratio,
        criterion.encode(),
        _pointer(columns) if columns is not None else None,
    )
    if not handle:
        raise last_error()
    return QuantizedWeight(handle, w.shape)
