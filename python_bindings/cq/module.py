# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR modules: parse, run passes, print."""

import ctypes
import os
from typing import Union

from . import _arrays
from ._library import Handle, check, last_error, library, path_of, take_bytes, take_text, text_of


class Module:
    """An MLIR module, from text (str) or bytecode (bytes); all upstream dialects and `cq` are known.

    `allow_unregistered`: operations of other dialects parse, too. Raises CQError where the
    module does not parse or verify.
    """

    def __init__(self, text: Union[str, bytes], *, allow_unregistered: bool = False):
        if not isinstance(text, (str, bytes, bytearray)):
            raise TypeError(f"a module is text or bytes, not {type(text).__name__}")
        data = text.encode() if isinstance(text, str) else bytes(text)
        context = _context(allow_unregistered)
        self._handle = Handle(library.cqModuleParse(context, data, len(data)), library.cqModuleFree)

    @classmethod
    def read(cls, path: "Union[str, os.PathLike[str]]", *, allow_unregistered: bool = False) -> "Module":
        """The module in a file."""
        module = cls.__new__(cls)
        context = _context(allow_unregistered)
        module._handle = Handle(library.cqModuleRead(context, path_of(path)), library.cqModuleFree)
        return module

    def run(self, pipeline: str) -> "Module":
        """Runs a pass pipeline, e.g. ``cq-quantize{bits=3}``, on this module; returns it.

        Raises CQError; the module may then be half rewritten and must be dropped.
        """
        check(library.cqModuleRunPipeline(self._handle, text_of(pipeline, "pipeline")))
        return self

    def text(self, generic: bool = False) -> str:
        """The module's text, in the generic form if asked."""
        return take_text(library.cqModulePrint(self._handle, int(generic)))

    def bytecode(self) -> bytes:
        """The module as MLIR bytecode."""
        size = _arrays.size_t()
        pointer = library.cqModuleWriteBytecode(self._handle, ctypes.byref(size))
        return take_bytes(pointer, size.value)

    def __str__(self) -> str:
        return self.text()


def _context(allow_unregistered: bool) -> Handle:
    context = Handle(library.cqContextCreate(), library.cqContextFree)
    if library.cqContextAllowUnregisteredDialects(context, int(allow_unregistered)):
        raise last_error()
    return context


def run_pipeline(text: Union[str, bytes], pipeline: str, *, generic: bool = False,
                 allow_unregistered: bool = False) -> str:
    """Parses `text`, runs `pipeline`, returns the result's text: cq-opt as a function.

    Raises CQError with the diagnostics, one a line.
    """
    return Module(text, allow_unregistered=allow_unregistered).run(pipeline).text(generic)
