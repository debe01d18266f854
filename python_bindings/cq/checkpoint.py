# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checkpoint files as mappings of names to arrays."""

import ctypes
import os
from typing import Dict, Iterator, Mapping, Tuple, Union

import numpy as np

from ._library import Handle, check, last_error, library, path_of


class Checkpoint(Mapping[str, np.ndarray]):
    """The tensors of a GGUF or safetensors file (or a folder of shards), or a llama2.c
    checkpoint, by name in the file's order.

    Nothing is read before it is asked for; what is asked for is decoded to float32 and
    not kept. Raises CQError where the file is malformed.
    """

    def __init__(self, path: "Union[str, os.PathLike[str]]"):
        self.path = os.fspath(path)
        self._handle = Handle(library.cqArchiveOpen(path_of(path)), library.cqArchiveFree)
        count = library.cqArchiveSize(self._handle)
        names = (library.cqArchiveName(self._handle, index) for index in range(count))
        self._index: Dict[str, int] = {name.decode("utf-8", "replace"): index for index, name in enumerate(names)}

    def shape(self, name: str) -> Tuple[int, ...]:
        """Dimensions of a tensor, outermost first."""
        index = self._index[name]
        rank = library.cqArchiveShape(self._handle, index, None, 0)
        shape = (ctypes.c_int64 * max(rank, 1))()
        if rank < 0 or library.cqArchiveShape(self._handle, index, shape, rank) < 0:
            raise last_error()
        return tuple(shape[:rank])

    def type(self, name: str) -> str:
        """Type of its elements or blocks as stored, "F32", "Q4_K" …"""
        return str(library.cqArchiveType(self._handle, self._index[name]).decode())

    def __getitem__(self, name: str) -> np.ndarray:
        array = np.empty(self.shape(name), np.float32)
        check(library.cqArchiveRead(self._handle, self._index[name], array.ctypes.data, array.size))
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)
