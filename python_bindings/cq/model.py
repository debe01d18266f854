# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Language models: import, quantize, compile, run."""

import ctypes
import math
import os
import tempfile
from typing import Any, Callable, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import _arrays
from ._library import (Handle, check, last_error, library, optional_text, path_of, take_bytes, take_text,
                       text_of)
from .plan import Path, Plan, Statistics

_TokenHandler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int32, ctypes.c_void_p)


class _GenerateOptions(ctypes.Structure):
    """CqGenerateOptions"""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("max_tokens", ctypes.c_int64),
        ("temperature", ctypes.c_double),
        ("top_k", ctypes.c_int64),
        ("top_p", ctypes.c_double),
        ("seed", ctypes.c_uint64),
    ]


def import_model(checkpoint: Path, output: Path, *, tokenizer: Optional[Path] = None, context: int = 0) -> None:
    """Writes MLIR that refers to the weights of a checkpoint (GGUF, safetensors with
    config.json, llama2.c) to `output`. `context`: positions that caches hold (0: as
    trained, 2048 at most). CQError where the architecture is not known."""
    check(library.cqImportModel(path_of(checkpoint), None if tokenizer is None else path_of(tokenizer), int(context),
                                path_of(output)))


def compile_model(model: Path, output: Path, *, name: Optional[str] = None, target_cpu: Optional[str] = None,
                  activation: Optional[str] = None) -> None:
    """Compiles a model ahead of time to a library (.so) or an object (.o) with a C header
    beside it (docs/Compile.md)."""
    check(library.cqCompileModel(path_of(model), path_of(output), optional_text(name, "name"),
                                 optional_text(target_cpu, "target_cpu"), optional_text(activation, "activation")))


def quantize_model(source: Path, output: Path, *, choice: Optional[str] = None, bpw: Optional[float] = None,
                   stats: Union[Path, Statistics, None] = None, plan: Union[Plan, Path, None] = None,
                   choices: Optional[Sequence[str]] = None, keep: Iterable[str] = (), losses: Optional[Path] = None,
                   outer_choice: Optional[str] = None, quantizer: Optional[str] = None,
                   cherry_form: Optional[str] = None, cherry_ratio: Optional[float] = None,
                   criterion: Optional[str] = None, force: bool = False) -> Plan:
    """Quantizes a whole model into the new folder `output`; `cq.quantize` says what the
    arguments are. `losses`: a measurement file to use and to go on with."""
    with tempfile.TemporaryDirectory(prefix="cq-") as folder:
        options = []
        if bpw is not None:
            if not (math.isfinite(bpw) and bpw > 0):
                raise ValueError("bpw must be a positive number")
            options += [("bpw", repr(float(bpw))), ("losses", losses or os.path.join(folder, "losses"))]
        if isinstance(plan, Plan):
            plan.save(os.path.join(folder, "plan.json"))
            plan = os.path.join(folder, "plan.json")
        if plan is not None:
            options.append(("plan", plan))
        if choice is not None:
            options += _uniform_options(choice, quantizer is None)
        if outer_choice is not None:
            if plan is not None:
                raise ValueError("outer_choice is for a choice or bpw; a plan says how each weight is stored")
            if "/" in outer_choice or "+" in outer_choice:
                raise ValueError("for a whole model outer_choice is a scheme alone, such as b6-g64-symmetric-f16")
            options.append(("outer", outer_choice))
        for key, value in (("quantizer", quantizer), ("cherry-form", cherry_form), ("cherry-ratio", cherry_ratio),
                           ("cherries", criterion)):
            if value is not None:
                options.append((key, repr(float(value)) if isinstance(value, (int, float)) else str(value)))
        if stats is not None:
            options.append(("stats", stats.path if isinstance(stats, Statistics) else stats))
        options += [("choices", ",".join(choices))] if choices else []
        options += [("keep", ",".join(keep))] if keep else []
        module = os.fspath(source)
        if not module.endswith(".mlir"):
            module = os.path.join(folder, "model.mlir")
            import_model(os.path.abspath(source), module)
        text = " ".join(f"{key}={_option(os.fspath(value))}" for key, value in options)
        check(library.cqQuantizeModel(path_of(module), text_of(text, "options"), path_of(output), int(force)))
    return Plan.load(os.path.join(output, "plan.json"))


def _uniform_options(choice: str, quantizer: bool = True) -> List[Tuple[str, str]]:
    """A choice as options of the pipeline; `quantizer`: one that is not named is rtn."""
    if "+rows=" in choice:
        raise ValueError("for a whole model give rows of more bits in a plan, or bpw")
    scheme, *parts = choice.split("/")
    fields = scheme.split("-", 2)
    bits, group = fields[0], fields[1] if len(fields) > 1 else ""
    if not (bits.startswith("b") and group):
        raise ValueError(f"the choice {choice!r} does not begin with a scheme like b3-g64")
    options = [("bits", bits[1:]), ("group-size", group if group == "row" else group[1:])]
    rest = fields[2] if len(fields) > 2 else ""
    for scale in ("f16", "bf16", "f32"):
        if rest == scale or rest.endswith("-" + scale):
            options.append(("scale", scale))
            rest = rest[: -len(scale) - 1]
            break
    if rest:
        options.append(("grid", rest))
    quantizers = [part for part in parts if part in ("rtn", "mse", "gptq")]
    if len(quantizers) != len(parts):
        raise ValueError("for a whole model give cherries as cherry_form, cherry_ratio and criterion, in a plan, or bpw")
    if quantizers and not quantizer:
        raise ValueError(f"the choice {choice!r} names a quantizer already")
    return options + ([("quantizer", quantizers[-1] if quantizers else "rtn")] if quantizer else [])


def _option(value: str) -> str:
    if any(c in value for c in "{}'\""):
        raise ValueError(f"{value!r} has braces or quotation marks, which pipelines cannot take")
    return f"'{value}'" if " " in value else value


class LanguageModel:
    """A model compiled for this CPU; made by `cq.load`. It holds one text: its tokens so far."""

    def __init__(self, path: Path, activation: Optional[str] = None):
        self.path = os.fspath(path)
        self._handle = Handle(library.cqModelLoad(path_of(path), optional_text(activation, "activation")),
                              library.cqModelFree)

    @property
    def vocabulary(self) -> int:
        """Size V of a row of logits."""
        return int(library.cqModelVocabulary(self._handle))

    @property
    def context(self) -> int:
        """Positions that fit in all."""
        return int(library.cqModelContext(self._handle))

    @property
    def position(self) -> int:
        """Tokens taken so far."""
        return int(library.cqModelPosition(self._handle))

    def reset(self) -> None:
        """Forgets all tokens."""
        check(library.cqModelReset(self._handle))

    def encode(self, text: str, special: bool = True) -> List[int]:
        """Token ids; `special`: special tokens in the text count as such, and the one that
        begins texts is put first."""
        data = text.encode()
        count = library.cqModelEncode(self._handle, data, len(data), int(special), None, 0)
        ids = (ctypes.c_int32 * max(count, 1))()
        if count < 0 or library.cqModelEncode(self._handle, data, len(data), int(special), ids, count) < 0:
            raise last_error()
        return list(ids[:count])

    def decode(self, tokens: Any) -> str:
        """Text of token ids."""
        ids = _arrays.tokens_of(tokens)
        size = _arrays.size_t()
        pointer = library.cqModelDecodeText(self._handle, ids.ctypes.data, ids.size, ctypes.byref(size))
        return take_bytes(pointer, size.value).decode("utf-8", "replace")

    def logits(self, tokens: Any) -> np.ndarray:
        """Takes tokens [count]; float32 [count, V], row i says what follows token i."""
        ids = _arrays.tokens_of(tokens)
        if not 0 < ids.size <= self.context - self.position:
            raise ValueError(f"{ids.size} tokens; there is room for 1 to {self.context - self.position}")
        out = np.empty((ids.size, self.vocabulary), np.float32)
        check(library.cqModelScore(self._handle, ids.ctypes.data, ids.size, out.ctypes.data))
        return out

    def generate(self, prompt: str, *, max_tokens: int = 256, temperature: float = 0.0, top_k: int = 0,
                 top_p: float = 1.0, seed: int = 0, chat: bool = False, system: Optional[str] = None,
                 on_token: Optional[Callable[[int], Any]] = None) -> str:
        """Continues a prompt (or answers it, with `chat`), from an empty context; the tokens
        are those of `cq run`. temperature 0 takes the most likely token. `on_token` sees each
        id as it is drawn; what it raises ends the call."""
        if chat:
            prompt = take_text(library.cqModelFormatChat(self._handle, text_of(prompt, "prompt"),
                                                         optional_text(system, "system")))
        ids = np.array(self.encode(prompt), np.int32)
        drawn: List[int] = []
        raised: List[BaseException] = []

        def see(token: int, _user: Any) -> int:
            drawn.append(token)
            try:
                if on_token:
                    on_token(token)
            except BaseException as error:  # C cannot pass it on
                raised.append(error)
                return 1
            return 0

        options = _GenerateOptions(ctypes.sizeof(_GenerateOptions), int(max_tokens), float(temperature), int(top_k),
                                   float(top_p), int(seed))
        self.reset()
        status = library.cqModelGenerate(self._handle, ids.ctypes.data, ids.size, ctypes.byref(options),
                                         ctypes.cast(_TokenHandler(see), ctypes.c_void_p), None)
        if raised:
            raise raised[0]
        check(status)
        if drawn and library.cqModelIsEnd(self._handle, drawn[-1]) == 1:
            drawn.pop()
        # The last token of the prompt says how the first of the answer begins.
        before = self.decode(ids[-1:])
        return self.decode(np.concatenate([ids[-1:], np.array(drawn, np.int32)]))[len(before):]

    def perplexity(self, text: Union[str, Any], window: int = 0) -> float:
        """Perplexity of a text (or of token ids) in windows of `window` tokens (0: the
        context, at most 512), every predicted token counting. Forgets all tokens."""
        ids = _arrays.tokens_of(self.encode(text) if isinstance(text, str) else text)
        value: float = library.cqModelPerplexity(self._handle, ids.ctypes.data, ids.size, int(window), None)
        if math.isnan(value):
            raise last_error()
        return value


def load(path: Path, activation: Optional[str] = None) -> LanguageModel:
    """Loads a folder made by `cq quantize` (or `cq.quantize` with `output`), or a module made
    by import, and compiles it for this CPU. `activation`: "int8" or "f32"; None: as its plan
    says."""
    return LanguageModel(path, activation)

