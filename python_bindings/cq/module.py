# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR modules: parse, run passes, print."""

import ctypes

from ._library import last_error, library


class Module:
    """An MLIR module; every upstream dialect and `cq` are known.

    Raises CQError where the text does not parse or verify.
    """

    def __init__(self, text: "str | bytes"):
        data = text.encode() if isinstance(text, str) else bytes(text)
        self._handle = library.cqModuleParse(data, len(data))
        if not self._handle:
            raise last_error()

    def run(self, pipeline: str) -> None:
        """Runs a pass pipeline, e.g. ``builtin.module(cq-quantize{bits=3})``.

        Raises CQError; the module may then be half rewritten and must be dropped.
        """
        if library.cqModuleRunPipeline(self._handle, pipeline.encode()):
            raise last_error()

    def text(self, generic: bool = False) -> str:
        """The module's text, in the generic form if asked."""
        pointer = library.cqModulePrint(self._handle, int(generic))
        try:
            return ctypes.string_at(pointer).decode()
        finally:
            library.cqStringFree(pointer)

    def __str__(self) -> str:
        return self.text()

    def __del__(self):
        if getattr(self, "_handle", None):
            library.cqModuleFree(self._handle)
            self._handle = None
