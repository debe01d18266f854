# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds libcq-c.so and declares its functions (include/cq-c)."""

import ctypes
import os
import pathlib
from typing import Any, Callable, Optional

_API_VERSION = 2

_TYPES = {
    "v": None,
    "p": ctypes.c_void_p,
    "s": ctypes.c_char_p,
    "i": ctypes.c_int,
    "t": ctypes.c_int32,
    "l": ctypes.c_int64,
    "z": ctypes.c_size_t,
    "d": ctypes.c_double,
}

# Name: result and arguments by the letters above, in the order of the headers.
# Text that must be freed is a plain pointer.
_FUNCTIONS = {
    "cqApiVersion": "i",
    "cqVersion": "s",
    "cqLastError": "s",
    "cqStringFree": "vp",
    "cqSetThreads": "ii",
    "cqContextCreate": "p",
    "cqContextAllowUnregisteredDialects": "ipi",
    "cqContextFree": "vp",
    "cqModuleParse": "ppsz",
    "cqModuleRead": "pps",
    "cqModuleRunPipeline": "ips",
    "cqModulePrint": "ppi",
    "cqModuleWriteBytecode": "ppp",
    "cqModuleFree": "vp",
    "cqWeightQuantize": "ppllssp",
    "cqWeightFromPlanes": "pllsspp",
    "cqWeightRelayout": "pps",
    "cqWeightFree": "vp",
    "cqWeightPlaneSizes": "illssp",
    "cqWeightPlane": "ppip",
    "cqWeightRows": "lp",
    "cqWeightColumns": "lp",
    "cqWeightLayout": "pp",
    "cqWeightChoice": "pp",
    "cqWeightBitsPerWeight": "dp",
    "cqCherryCount": "lsdl",
    "cqWeightDequantize": "ippz",
    "cqProductCreate": "pps",
    "cqProductRun": "ipplp",
    "cqProductFree": "vp",
    "cqStatisticsOpen": "ps",
    "cqStatisticsHas": "ipsi",
    "cqStatisticsRead": "ipsillpz",
    "cqStatisticsFree": "vp",
    "cqMeasurementsCreate": "psp",
    "cqMeasurementsParse": "psz",
    "cqMeasurementsAdd": "ipsplls",
    "cqMeasurementsLoss": "dpss",
    "cqMeasurementsPrint": "pp",
    "cqMeasurementsFree": "vp",
    "cqPlanSolve": "pppzp",
    "cqPlanParse": "psz",
    "cqPlanPrint": "pp",
    "cqPlanWrite": "ips",
    "cqPlanSetChoice": "ipss",
    "cqPlanFree": "vp",
    "cqArchiveOpen": "ps",
    "cqArchiveSize": "lp",
    "cqArchiveName": "spl",
    "cqArchiveType": "spl",
    "cqArchiveShape": "lplpz",
    "cqArchiveRead": "iplpz",
    "cqArchiveFree": "vp",
    "cqImportModel": "issls",
    "cqQuantizeModel": "isssi",
    "cqCompileModel": "isssss",
    "cqModelLoad": "pss",
    "cqModelVocabulary": "lp",
    "cqModelContext": "lp",
    "cqModelPosition": "lp",
    "cqModelReset": "ip",
    "cqModelPrefill": "ippzp",
    "cqModelScore": "ippzp",
    "cqModelGenerate": "ippzppp",
    "cqModelPerplexity": "dppzlp",
    "cqModelEncode": "lpszipz",
    "cqModelDecodeText": "pppzp",
    "cqModelFormatChat": "ppss",
    "cqModelIsEnd": "ipt",
    "cqModelFree": "vp",
}


class CQError(RuntimeError):
    """A sentence from the compiler: what is wrong and where."""

    __module__ = "cq"


def _load() -> ctypes.CDLL:
    here = pathlib.Path(__file__).resolve().parent
    named = os.environ.get("CQ_LIBRARY")
    candidates = [pathlib.Path(named)] if named else []
    candidates += [here / "libcq-c.so", here.parents[1] / "build" / "lib" / "libcq-c.so"]
    for path in candidates:
        if path.exists():
            break
    else:
        raise CQError(
            "libcq-c.so was not found; install the package (pip install ./python_bindings), or "
            "build the project and set CQ_LIBRARY to the library's path"
        )
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise CQError(f"{path} does not load ({error}); it needs libmlir-22 of the system") from error
    if not hasattr(library, "cqApiVersion") or library.cqApiVersion() != _API_VERSION:
        raise CQError(f"{path} is of another version than the package; build both from one checkout")
    for name, letters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = _TYPES[letters[0]]
        function.argtypes = [_TYPES[letter] for letter in letters[1:]]
    return library


library = _load()


def last_error() -> CQError:
    """The error of the last failed call of this thread."""
    return CQError(library.cqLastError().decode("utf-8", "replace"))


def check(status: int) -> None:
    """Raises where a call failed."""
    if status:
        raise last_error()


def text_of(value: Any, what: str) -> bytes:
    """`value` as NUL-terminated UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} has a zero byte")
    return value.encode("utf-8", "surrogatepass")


def optional_text(value: Any, what: str) -> Optional[bytes]:
    return None if value is None else text_of(value, what)


def path_of(value: Any) -> bytes:
    """A path for the file system."""
    path = os.fsencode(value)
    if b"\0" in path:
        raise ValueError("a path has a zero byte")
    return path


def take_bytes(pointer: Optional[int], length: Optional[int] = None) -> bytes:
    """Copies and frees what the library returned."""
    if not pointer:
        raise last_error()
    try:
        return ctypes.string_at(pointer) if length is None else ctypes.string_at(pointer, length)
    finally:
        library.cqStringFree(pointer)


def take_text(pointer: Optional[int]) -> str:
    return take_bytes(pointer).decode("utf-8", "replace")


class Handle:
    """Owns something of the library and frees it once. Calls take it as it is, so that it
    lives until they return; a closed one is NULL, which the library refuses."""

    pointer: Optional[int] = None

    def __init__(self, pointer: Optional[int], free: Callable[[int], None]):
        if not pointer:
            raise last_error()
        self.pointer = pointer
        self._free = free

    @property
    def _as_parameter_(self) -> Optional[int]:
        return self.pointer

    def close(self) -> None:
        pointer, self.pointer = self.pointer, None
        if pointer:
            self._free(pointer)

    def __del__(self) -> None:
        self.close()
