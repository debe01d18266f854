# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds libcq-c.so and declares its functions (include/cq-c/CQ.h)."""

import ctypes
import os
import pathlib

_float_p = ctypes.POINTER(ctypes.c_float)

# name: (result, arguments), in the order of the header.
_FUNCTIONS = {
    "cqLastError": (ctypes.c_char_p, []),
    "cqStringFree": (None, [ctypes.c_void_p]),
    "cqModuleParse": (ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_size_t]),
    "cqModuleRunPipeline": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
    "cqModulePrint": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "cqModuleFree": (None, [ctypes.c_void_p]),
    "cqWeightQuantize": (
        ctypes.c_void_p,
        [_float_p, ctypes.c_int64, ctypes.c_int64]
        + [ctypes.c_char_p] * 4
        + [ctypes.c_double, ctypes.c_char_p, _float_p],
    ),
    "cqWeightDequantize": (ctypes.c_int, [ctypes.c_void_p, _float_p]),
    "cqWeightPlane": (
        ctypes.POINTER(ctypes.c_uint8),
        [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_size_t)],
    ),
    "cqWeightBitsPerWeight": (ctypes.c_double, [ctypes.c_void_p]),
    "cqWeightFree": (None, [ctypes.c_void_p]),
}


class CQError(RuntimeError):
    """A sentence from the compiler: what is wrong and where."""


def _load() -> ctypes.CDLL:
    here = pathlib.Path(__file__).resolve().parent
    candidates = [
        os.environ.get("CQ_LIBRARY"),
        here / "libcq-c.so",
        here.parents[1] / "build" / "lib" / "libcq-c.so",
    ]
    for path in candidates:
        if path and os.path.exists(path):
            library = ctypes.CDLL(str(path))
            break
    else:
        raise CQError(
            "libcq-c.so was not found; build the project or set CQ_LIBRARY to its path"
        )
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


library = _load()


def last_error() -> CQError:
    """The error of the last failed call of this thread."""
    return CQError(library.cqLastError().decode("utf-8", "replace"))
