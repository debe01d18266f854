# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`cq.quantize`: arrays, state dicts and checkpoints."""

import os
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union, overload

import numpy as np

from . import _arrays
from .checkpoint import Checkpoint
from .model import quantize_model
from .plan import Measurements, Path, Plan, PlanEntry, Statistics, open_statistics
from .weight import QuantizedWeight, compose_choice, quantize_array

DEFAULT = "b3-g64-symmetric-f16"
OUTER_CHOICE = "b8-g64-symmetric-f16"
_INTEGERS = {"I8", "U8", "I16", "U16", "I32", "I64", "Bool", "BOOL"}
OUTER = r"(^|\.)(token_embd|embed_tokens|tok_embeddings|wte|lm_head|output)\.weight$"


_INSTEAD = {"layout": "its kernels read one layout", "outer": "the compiler finds embeddings and heads itself",
            "name": "its weights have names", "threads": "it takes all processors",
            "column_weights": "give stats", "fisher": "give stats", "second_moments": "give stats"}

# An array, or a torch tensor, whose type is not to be imported.
ArrayLike = Any


class QuantizedModel(Mapping[str, Any]):
    """The weights of a state dict: packed where the plan quantizes them, as they were otherwise.

    plan: how each matrix is stored, and why. packed: name -> QuantizedWeight.
    others: name -> what was not quantized, as given.
    """

    def __init__(self, plan: Plan, packed: Dict[str, QuantizedWeight], others: Dict[str, Any]):
        self.plan, self.packed, self.others = plan, packed, others

    def dequantize(self) -> Dict[str, Any]:
        """A state dict again: packed weights as float32 [n, k], the others as given."""
        return {**{name: weight.dequantize() for name, weight in self.packed.items()}, **self.others}

    @property
    def bits_per_weight(self) -> float:
        """Over the packed weights, every byte of every plane counted; 0 without any."""
        sizes = [(w.shape[0] * w.shape[1], w.bits_per_weight) for w in self.packed.values()]
        total = sum(count for count, _ in sizes)
        return sum(count * bits for count, bits in sizes) / total if total else 0.0

    def __getitem__(self, name: str) -> Any:
        return self.packed[name] if name in self.packed else self.others[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.packed
        yield from self.others

    def __len__(self) -> int:
        return len(self.packed) + len(self.others)


@overload
def quantize(source: Mapping[str, Any], choice: Optional[str] = ..., *, bpw: Optional[float] = ...,
             stats: Union[Path, Statistics, None] = ..., plan: Union[Plan, Path, None] = ..., layout: str = ...,
             choices: Optional[Sequence[str]] = ..., outer: str = ..., outer_choice: str = ...,
             keep: Iterable[str] = ...,
             quantizer: Optional[str] = ..., cherry_form: Optional[str] = ..., cherry_ratio: float = ...,
             criterion: str = ..., threads: int = ...) -> QuantizedModel: ...
@overload
def quantize(source: Path, choice: Optional[str] = ..., *, bpw: Optional[float] = ..., output: None = ...,
             stats: Union[Path, Statistics, None] = ..., plan: Union[Plan, Path, None] = ..., layout: str = ...,
             choices: Optional[Sequence[str]] = ..., outer: str = ..., outer_choice: str = ...,
             keep: Iterable[str] = ...,
             quantizer: Optional[str] = ..., cherry_form: Optional[str] = ..., cherry_ratio: float = ...,
             criterion: str = ..., threads: int = ...) -> QuantizedModel: ...
@overload
def quantize(source: Path, choice: Optional[str] = ..., *, output: Path, bpw: Optional[float] = ...,
             stats: Union[Path, Statistics, None] = ..., plan: Union[Plan, Path, None] = ...,
             choices: Optional[Sequence[str]] = ..., outer_choice: str = ..., keep: Iterable[str] = ...,
             quantizer: Optional[str] = ..., cherry_form: Optional[str] = ..., cherry_ratio: float = ...,
             criterion: str = ..., force: bool = ...) -> Plan: ...
@overload
def quantize(source: ArrayLike, choice: Optional[str] = ..., *, bpw: Optional[float] = ...,
             stats: Union[Path, Statistics, None] = ..., plan: Union[Plan, Path, None] = ..., layout: str = ...,
             choices: Optional[Sequence[str]] = ..., outer_choice: str = ..., name: str = ...,
             column_weights: Any = ..., fisher: Any = ..., second_moments: Any = ...,
             quantizer: Optional[str] = ..., cherry_form: Optional[str] = ..., cherry_ratio: float = ...,
             criterion: str = ..., threads: int = ...) -> QuantizedWeight: ...


def quantize(source: Any, choice: Optional[str] = None, *, bpw: Optional[float] = None,
             stats: Union[Path, Statistics, None] = None, plan: Union[Plan, Path, None] = None,
             layout: str = "panel16", choices: Optional[Sequence[str]] = None, outer: str = OUTER,
             outer_choice: str = OUTER_CHOICE, keep: Iterable[str] = (), name: str = "weight",
             quantizer: Optional[str] = None, cherry_form: Optional[str] = None, cherry_ratio: float = 1 / 256,
             criterion: str = "quant-error", column_weights: Any = None, fisher: Any = None,
             second_moments: Any = None, threads: int = 0, output: Optional[Path] = None,
             force: bool = False) -> Any:
    """Quantizes an array, a state dict, or a checkpoint.

    source
        - a floating-point array or torch tensor [n, k] = [out_features, in_features] in any
          memory order: gives a QuantizedWeight;
        - a mapping of names to such arrays (a state dict): gives a QuantizedModel. Matrices
          are quantized, everything else is passed on;
        - the path of a checkpoint (GGUF, safetensors, a folder of either, llama2.c): the same,
          its tensors read one at a time;
        - with `output`, the path of a module made by `cq.import_model`, or of a checkpoint it
          takes: writes the folder `output`, which `cq.load` runs, and returns its Plan. The
          compiler finds embeddings and heads itself and picks layouts and threads: `outer`,
          `layout`, `threads` and arrays are refused.
    choice
        how weights are stored, e.g. "b3-g64", "b4-g128-affine-bf16/mse",
        "b3-g128+rows=1/8:b4/gptq/slot1-impact" (docs/Plan.md). quantizer ("rtn", "mse",
        "gptq"), cherry_form ("slot", "element", "column"), cherry_ratio (a share) and criterion
        ("quant-error", "magnitude", "impact", "activation") add to it.
    bpw
        instead of a choice: a budget in bits per weight over all matrices but those that
        `outer` (a regular expression over names: embeddings, heads) matches, which get
        `outer_choice`. What each of `choices` costs each weight is measured, and the best plan
        solved for. Weights whose names match one of `keep` stay as they are.
    plan
        instead of both: a Plan or its file.
    stats
        what `cq calibrate` measured, a file or Statistics; an array's weight is found by `name`.
    column_weights, fisher, second_moments
        the same for an array, as arrays: E[x^2] [k]; E[g^2] [n, k]; E[x x^T] [k, k] or its upper
        triangle row by row [k (k + 1) / 2].

    Raises TypeError or ValueError for arrays that are not floating-point, are empty, of another
    shape, or have NaN or infinity; CQError with one sentence for the rest.
    """
    if sum(given is not None for given in (choice, bpw, plan)) > 1:
        raise ValueError("give one of choice, bpw and plan")
    if not isinstance(layout, str) or not isinstance(outer, str):
        raise TypeError("layout and outer are text")
    loose: Dict[str, Any] = dict(quantizer=quantizer, cherry_form=cherry_form, cherry_ratio=cherry_ratio, criterion=criterion)
    separate = [key for key, given in (("quantizer", quantizer is not None), ("cherry_form", cherry_form is not None),
                                       ("cherry_ratio", cherry_ratio != 1 / 256),
                                       ("criterion", criterion != "quant-error")) if given]
    if separate and (bpw is not None or plan is not None):
        raise ValueError(f"{separate[0]} is part of a choice; with {'bpw' if plan is None else 'a plan'} every weight "
                         f"has its own" + (", name them in choices" if plan is None else ""))
    if isinstance(source, (str, os.PathLike)):
        if output is not None:
            for key, given in (("layout", layout != "panel16"), ("outer", outer != OUTER), ("name", name != "weight"),
                               ("threads", threads != 0), ("column_weights", column_weights is not None),
                               ("fisher", fisher is not None), ("second_moments", second_moments is not None)):
                if given:
                    raise ValueError(f"{key} is not for whole models (output=): {_INSTEAD[key]}")
            return quantize_model(source, output, choice=choice, bpw=bpw, stats=stats, plan=plan, choices=choices,
                                  keep=keep, outer_choice=None if outer_choice == OUTER_CHOICE else outer_choice,
                                  quantizer=quantizer, cherry_form=cherry_form,
                                  cherry_ratio=cherry_ratio if "cherry_ratio" in separate else None,
                                  criterion=criterion if "criterion" in separate else None, force=force)
        source = Checkpoint(source)
    if output is not None:
        raise ValueError("output is for paths; arrays and state dicts are returned")
    statistics = open_statistics(stats)
    if not isinstance(source, Mapping):
        known = _knowledge(statistics, name, _shape_of(source, name))
        for key, given in (("column_weights", column_weights), ("fisher", fisher), ("second_moments", second_moments)):
            if given is not None:
                known[key] = given
        if bpw is not None or plan is not None:
            plan = plan if plan is not None else _solve({name: source}, bpw, statistics, choices, [], outer_choice)
            chosen = _as_plan(plan)[name].choice
        else:
            chosen = compose_choice(choice or DEFAULT, _shape_of(source, name)[1], **loose)
        return quantize_array(source, chosen, layout, threads=threads, name=name, **known)
    if column_weights is not None or fisher is not None or second_moments is not None:
        raise ValueError("column_weights, fisher and second_moments are of one array; give stats for a state dict")
    return _quantize_mapping(source, choice, bpw, statistics, plan, layout, choices, outer, outer_choice,
                             list(keep), loose, threads)


def _quantize_mapping(source: Mapping[str, Any], choice: Optional[str], bpw: Optional[float],
                      statistics: Optional[Statistics], plan: Union[Plan, Path, None], layout: str,
                      choices: Optional[Sequence[str]], outer: str, outer_choice: str, keep: List[str],
                      loose: Dict[str, Any], threads: int) -> QuantizedModel:
    if any(not isinstance(name, str) for name in source):
        raise TypeError("the names of a state dict are text")
    matrices = {name: _shape_of(source[name], name) for name in source if _is_matrix(source, name)}
    if not matrices:
        raise ValueError("there is no floating-point matrix to quantize")
    kept = {name for name in matrices if any(re.search(pattern, name) for pattern in keep)}
    outside = [name for name in matrices if re.search(outer, name) and name not in kept]
    if plan is None and bpw is not None:
        inside = {name: source[name] for name in matrices if name not in outside and name not in kept} \
            if not isinstance(source, Checkpoint) else _Subset(source, [
                name for name in matrices if name not in outside and name not in kept])
        plan = _solve(inside, bpw, statistics, choices, [(name, matrices[name]) for name in outside], outer_choice)
    if plan is None:
        entries = []
        for name, shape in matrices.items():
            text = outer_choice if name in outside else compose_choice(choice or DEFAULT, shape[1], **loose)
            entries.append((name, "keep" if name in kept else text))
    else:
        plan = _as_plan(plan)
        for entry in plan.entries:
            if matrices.get(entry.weight) != tuple(entry.shape):
                raise ValueError(f"the plan has a weight {entry.weight!r} of shape {tuple(entry.shape)}, "
                                 f"the state dict {matrices.get(entry.weight, 'none of that name')}")
        entries = [(entry.weight, entry.choice) for entry in plan.entries]
    packed: Dict[str, QuantizedWeight] = {}
    for name, text in entries:
        if text != "keep":
            known = _knowledge(statistics, name, matrices[name])
            packed[name] = quantize_array(source[name], text, layout, threads=threads, name=name, **known)
    others = {name: source[name] for name in source if name not in packed}
    return QuantizedModel(plan or _uniform_plan(entries, matrices, layout), packed, others)


class _Subset(Mapping[str, Any]):
    """Some names of a mapping, values still read one at a time."""

    def __init__(self, source: Mapping[str, Any], names: List[str]):
        self._source, self._names = source, names

    def __getitem__(self, name: str) -> Any:
        return self._source[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _shape_of(value: Any, name: str) -> Tuple[int, int]:
    shape = tuple(getattr(value, "shape", ())) or np.shape(value)
    if len(shape) != 2:
        raise ValueError(f"{name} must have two dimensions, not {len(shape)} (shape {shape})")
    return int(shape[0]), int(shape[1])


def _is_matrix(source: Mapping[str, Any], name: str) -> bool:
    if isinstance(source, Checkpoint):
        return len(source.shape(name)) == 2 and source.type(name) not in _INTEGERS
    return _arrays.is_matrix(source[name])


def _knowledge(statistics: Optional[Statistics], name: str, shape: Tuple[int, int]) -> Dict[str, Any]:
    if statistics is None:
        return {}
    known: Dict[str, Any] = {}
    for kind, key in (("mean_squares", "column_weights"), ("fisher", "fisher"), ("second_moments", "second_moments")):
        if statistics.has(name, kind):
            known[key] = getattr(statistics, kind)(name, shape)
    return known


def _as_plan(plan: Union[Plan, Path]) -> Plan:
    return plan if isinstance(plan, Plan) else Plan.load(plan)


def _solve(weights: Mapping[str, Any], bpw: Optional[float], statistics: Optional[Statistics],
           choices: Optional[Sequence[str]], outer: List[Tuple[str, Tuple[int, int]]], outer_choice: str) -> Plan:
    if not weights:
        raise ValueError("there is no weight to decide on")
    measurements = Measurements(None, statistics)
    shapes = {}
    for name in weights:
        weight = _arrays.floats(weights[name], name)
        shapes[name] = (weight.shape[0], weight.shape[1])
        measurements.add(name, weight, choices)
    return Plan.solve(measurements, bpw=bpw, choices=choices, weights=shapes, outer=dict(outer),
                      outer_choice=outer_choice, curve=25)


def _uniform_plan(entries: List[Tuple[str, str]], shapes: Dict[str, Tuple[int, int]], layout: str) -> Plan:
    return Plan([_entry(name, shapes[name], choice, layout) for name, choice in entries])


def _entry(name: str, shape: Tuple[int, int], choice: str, layout: str) -> PlanEntry:
    """The plan's entry of a choice: the compiler takes the text apart."""
    if choice == "keep":
        return PlanEntry(name, shape, keep=True)
    base = Plan([PlanEntry(name, shape, layout=layout)])
    return base.with_choice(name, choice)[name]
