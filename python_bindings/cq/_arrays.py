# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks arrays before the library sees them."""

import ctypes
from typing import Any, Optional, Tuple

import numpy as np


def to_numpy(value: Any) -> np.ndarray:
    """A NumPy array of an array or a torch tensor (bfloat16 as float32)."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    return np.asarray(value)


def is_matrix(value: Any) -> bool:
    """Whether it is a floating-point array of two dimensions with elements."""
    shape = getattr(value, "shape", ())
    return len(shape) == 2 and 0 not in tuple(shape) and "float" in str(getattr(value, "dtype", ""))


def floats(value: Any, what: str, shape: Optional[Tuple[int, ...]] = None, ndim: int = 2,
           dtype: type = np.float32) -> np.ndarray:
    """`value` as a C-contiguous array of float32 (or `dtype`), a copy where it is not one.

    TypeError: elements that are not floating-point. ValueError: another shape, no
    elements, NaN, infinity (also of numbers too large for the type).
    """
    array = to_numpy(value)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{what} has elements of type {array.dtype}; give floating-point numbers (float16, float32, float64)")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{what} must have shape {shape}, not {array.shape}")
    if array.ndim != ndim:
        raise ValueError(f"{what} must have {ndim} dimensions, not {array.ndim} (shape {array.shape})")
    if array.size == 0:
        raise ValueError(f"{what} is empty (shape {array.shape})")
    with np.errstate(over="ignore"):
        result: np.ndarray = np.ascontiguousarray(array, dtype)
    finite = np.isfinite(result)
    if not finite.all():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), result.shape))
        raise ValueError(f"{what} has NaN or infinity at index {where}")
    return result


def squares(value: Any, what: str, shape: Tuple[int, ...]) -> np.ndarray:
    """Means of squares: finite, not negative, float32."""
    result = floats(value, what, shape=shape, ndim=len(shape))
    if (result < 0).any():
        raise ValueError(f"{what} holds means of squares, which are not negative")
    return result


def output(out: Optional[np.ndarray], shape: Tuple[int, ...]) -> np.ndarray:
    """The array to write float32 results of this shape to."""
    if out is None:
        return np.empty(shape, np.float32)
    if not isinstance(out, np.ndarray) or out.dtype != np.float32:
        raise TypeError("out must be a NumPy array of float32")
    if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out must be C-contiguous, writeable and of shape {shape}")
    return out


def tokens_of(value: Any) -> np.ndarray:
    """Token ids as int32 [count]."""
    array = to_numpy(value)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"tokens are integers, not {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"tokens must have one dimension, not {array.ndim}")
    if array.size and (array.min() < 0 or array.max() >= 2**31):
        raise ValueError("tokens are 0 to 2^31 - 1")
    return np.ascontiguousarray(array, np.int32)


def address(array: Optional[np.ndarray]) -> Optional[int]:
    """Where its elements are; None for None."""
    return None if array is None else array.ctypes.data


def size_t() -> "ctypes.c_size_t":
    return ctypes.c_size_t(0)
