# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who gets which bits: statistics, measured losses, plans (docs/Plan.md)."""

import ctypes
import dataclasses
import json
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _arrays
from ._library import Handle, check, last_error, library, optional_text, path_of, take_text, text_of

Path = Union[str, "os.PathLike[str]"]


class Statistics:
    """What `cq calibrate` measured of a model, mapped from a file."""

    _KINDS = {"mean_squares": 0, "fisher": 1, "second_moments": 2}

    def __init__(self, path: Path):
        self.path = os.fspath(path)
        self._handle = Handle(library.cqStatisticsOpen(path_of(path)), library.cqStatisticsFree)

    def has(self, weight: str, kind: str) -> bool:
        """Whether the file has "mean_squares", "fisher" or "second_moments" of a weight."""
        if kind not in self._KINDS:
            raise ValueError(f"{kind!r} is no kind of statistics: {', '.join(self._KINDS)}")
        found = library.cqStatisticsHas(self._handle, text_of(weight, "weight"), self._KINDS[kind])
        if found < 0:
            raise last_error()
        return bool(found)

    def _read(self, weight: str, kind: str, shape: Tuple[int, int], out: np.ndarray) -> np.ndarray:
        check(library.cqStatisticsRead(self._handle, text_of(weight, "weight"), self._KINDS[kind],
                                       shape[0], shape[1], out.ctypes.data, out.size))
        return out

    def mean_squares(self, weight: str, shape: Tuple[int, int]) -> np.ndarray:
        """E[x^2] of the inputs of a weight (n, k), float32 [k]. CQError where it is absent."""
        return self._read(weight, "mean_squares", shape, np.empty(shape[1], np.float32))

    def fisher(self, weight: str, shape: Tuple[int, int]) -> np.ndarray:
        """Mean squared gradients, float32 [n, k]. CQError where they are absent."""
        return self._read(weight, "fisher", shape, np.empty(shape, np.float32))

    def second_moments(self, weight: str, shape: Tuple[int, int]) -> np.ndarray:
        """E[x x^T], float64 [k (k + 1) / 2]: the upper triangle, row by row. CQError where
        it is absent."""
        return self._read(weight, "second_moments", shape, np.empty(shape[1] * (shape[1] + 1) // 2, np.float64))


class Measurements:
    """What storing each weight in some way costs; solved for a budget by `Plan.solve`.

    `loss`: "weight" (needs no data), "output" or "fisher" (need statistics); None: the
    best that `stats` (a path or Statistics) allows.
    """

    def __init__(self, loss: Optional[str] = None, stats: "Union[Path, Statistics, None]" = None):
        self.stats = open_statistics(stats)
        self._handle = Handle(
            library.cqMeasurementsCreate(optional_text(loss, "loss"),
                                         self.stats._handle if self.stats else None),
            library.cqMeasurementsFree)

    @classmethod
    def parse(cls, text: str) -> "Measurements":
        """From JSON Lines (docs/Measurements.md); nothing can be added to them."""
        data = text.encode()
        result = cls.__new__(cls)
        result.stats = None
        result._handle = Handle(library.cqMeasurementsParse(data, len(data)), library.cqMeasurementsFree)
        return result

    @classmethod
    def load(cls, path: Path) -> "Measurements":
        """From a file that `save` or `cq measure` wrote."""
        with open(path, encoding="utf-8") as file:
            return cls.parse(file.read())

    def add(self, name: str, weight: Any, choices: Optional[Sequence[str]] = None) -> None:
        """Measures each choice for a weight [n, k] of floats; None: 2 to 8 bits, with and
        without cherries. What is known of the name already stays."""
        w = _arrays.floats(weight, name)
        text = None if choices is None else text_of(",".join(choices), "choices")
        check(library.cqMeasurementsAdd(self._handle, text_of(name, "name"), w.ctypes.data, *w.shape, text))

    def loss(self, name: str, choice: str) -> float:
        """The loss of a weight stored so. CQError where it was not measured."""
        value: float = library.cqMeasurementsLoss(self._handle, text_of(name, "name"), text_of(choice, "choice"))
        if value != value:
            raise last_error()
        return value

    def text(self) -> str:
        """As JSON Lines."""
        return take_text(library.cqMeasurementsPrint(self._handle))

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        temporary = f"{os.fspath(path)}.tmp-{os.getpid()}"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(self.text())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise


def open_statistics(stats: "Union[Path, Statistics, None]") -> Optional[Statistics]:
    return stats if stats is None or isinstance(stats, Statistics) else Statistics(stats)


@dataclasses.dataclass
class Cherries:
    """Weights kept precise: `count` per (row, 256 columns) (slot), per row (element) or in all (column)."""

    form: str
    count: int
    criterion: str = "quant-error"


@dataclasses.dataclass
class WideRows:
    """`count` rows (whole panels of 16) of the largest impact are stored with `bits`."""

    count: int
    bits: int


@dataclasses.dataclass
class Candidate:
    """What a weight could have become: the record of a solved plan."""

    choice: str
    bytes: int
    loss: float


@dataclasses.dataclass
class PlanEntry:
    """How one weight is stored; fields as in docs/Plan.md. `shape` is (n, k)."""

    weight: str
    shape: Tuple[int, int]
    keep: bool = False
    scheme: str = "b4-g128-symmetric-f16"
    quantizer: str = "rtn"
    layout: str = "panel16"
    cherries: Optional[Cherries] = None
    wide_rows: Optional[WideRows] = None
    reason: str = "by hand"
    candidates: List[Candidate] = dataclasses.field(default_factory=list)

    @property
    def choice(self) -> str:
        """The same as one text, which `cq.quantize` takes; "keep" for a kept weight."""
        if self.keep:
            return "keep"
        text = self.scheme
        if self.wide_rows:
            text += f"+rows={self.wide_rows.count}/{self.shape[0]}:b{self.wide_rows.bits}"
        text += "/" + self.quantizer
        if self.cherries:
            text += f"/{self.cherries.form}{self.cherries.count}-{self.cherries.criterion}"
        return text

    def to_json(self) -> Dict[str, Any]:
        result: Dict[str, Any] = {"weight": self.weight, "shape": list(self.shape), "reason": self.reason}
        if self.keep:
            result["keep"] = True
            return result
        result.update(scheme=self.scheme, quantizer=self.quantizer, layout=self.layout)
        if self.cherries:
            result["cherries"] = dataclasses.asdict(self.cherries)
        if self.wide_rows:
            result["wide_rows"] = dataclasses.asdict(self.wide_rows)
        if self.candidates:
            result["candidates"] = [dataclasses.asdict(candidate) for candidate in self.candidates]
        return result

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PlanEntry":
        fields = {key: value for key, value in data.items() if key != "bytes"}
        fields["shape"] = tuple(fields["shape"])
        for key, kind in (("cherries", Cherries), ("wide_rows", WideRows)):
            if fields.get(key):
                fields[key] = kind(**fields[key])
        fields["candidates"] = [Candidate(**candidate) for candidate in fields.get("candidates", [])]
        return cls(**fields)


@dataclasses.dataclass
class Plan:
    """How every weight of a model is stored. `decision` is the record of a solved plan.

    Change entries, then `save`; a plan that cannot be is refused by name (CQError).
    Remove `decision` (set it to None) when a change takes more than its budget.
    """

    entries: List[PlanEntry]
    decision: Optional[Dict[str, Any]] = None

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """From JSON text; the reader of the compiler checks it first."""
        data = text.encode()
        return cls._take(Handle(library.cqPlanParse(data, len(data)), library.cqPlanFree))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """From a file that `save`, `cq plan` or `cq quantize` wrote."""
        with open(path, encoding="utf-8") as file:
            return cls.parse(file.read())

    @classmethod
    def solve(cls, measurements: Measurements, *, bpw: Optional[float] = None, size: Optional[int] = None,
              choices: Optional[Sequence[str]] = None, outer: Optional[Mapping[str, Tuple[int, int]]] = None,
              outer_choice: str = "b8-g64-symmetric-f16", weights: Optional[Mapping[str, Tuple[int, int]]] = None,
              method: str = "exact", keep: Iterable[str] = (), override: Optional[Mapping[str, str]] = None,
              floor: Optional[Mapping[str, float]] = None, ceiling: Optional[Mapping[str, float]] = None,
              seed: int = 0, curve: int = 0) -> "Plan":
        """The plan of the least sum of losses within a budget: `bpw` bits per weight of what
        is decided, or `size` bytes of everything.

        weights: names and shapes (n, k) of what is decided; None: all that was measured.
        outer: names and shapes of embeddings and heads, stored as `outer_choice` outside
        of a budget in bits. keep, and the keys of override, floor and ceiling, are regular
        expressions over names. Raises CQError, with the reachable range where the budget
        cannot be met.
        """
        if (bpw is None) == (size is None):
            raise ValueError("give a budget: bpw (bits per weight) or size (bytes)")
        facts = None
        count = 0
        names: List[bytes] = []
        if weights is not None or outer:
            if weights is None:
                weights = {entry["weight"]: tuple(entry["shape"]) for entry in _measured(measurements)}
            listed = [(name, shape, 0) for name, shape in weights.items()]
            listed += [(name, shape, 1) for name, shape in (outer or {}).items()]
            names = [text_of(name, "name of a weight") for name, _, _ in listed]
            count = len(listed)
            facts = (_Facts * count)(*(_Facts(name, int(shape[0]), int(shape[1]), is_outer)
                                       for name, (_, shape, is_outer) in zip(names, listed)))
        options = _SolveOptions()
        options.struct_size = ctypes.sizeof(_SolveOptions)
        options.bits_per_weight = 0.0 if bpw is None else float(bpw)
        options.bytes = 0 if size is None else int(size)
        options.choices = None if choices is None else text_of(",".join(choices), "choices")
        options.outer = text_of(outer_choice, "outer_choice")
        options.method = text_of(method, "method")
        options.keep = text_of(",".join(keep), "keep")
        options.override = _pairs(override, "override")
        options.floors = _pairs(floor, "floor")
        options.ceilings = _pairs(ceiling, "ceiling")
        options.seed = seed
        options.curve = curve
        return cls._take(Handle(
            library.cqPlanSolve(measurements._handle, facts, count, ctypes.byref(options)),
            library.cqPlanFree))

    @classmethod
    def _take(cls, handle: Handle) -> "Plan":
        data = json.loads(take_text(library.cqPlanPrint(handle)))
        return cls([PlanEntry.from_json(entry) for entry in data["weights"]], data.get("decision"))

    def to_json(self) -> str:
        """As JSON text; bytes and totals are counted. CQError where the plan cannot be."""
        return take_text(library.cqPlanPrint(self._handle()))

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        check(library.cqPlanWrite(self._handle(), path_of(path)))

    def _handle(self) -> Handle:
        data: Dict[str, Any] = {"cq_plan": 3, "weights": [entry.to_json() for entry in self.entries]}
        if self.decision:
            data["decision"] = self.decision
        text = json.dumps(data).encode()
        return Handle(library.cqPlanParse(text, len(text)), library.cqPlanFree)

    def with_choice(self, weight: str, choice: str) -> "Plan":
        """A plan that stores a weight another way, e.g. "b4-g64/mse" or "keep". The record of
        a solved plan does not hold any more and goes."""
        handle = self._handle()
        check(library.cqPlanSetChoice(handle, text_of(weight, "weight"), text_of(choice, "choice")))
        return self._take(handle)

    @property
    def totals(self) -> Dict[str, float]:
        """weights and bytes that are quantized, kept_weights, bits_per_weight"""
        totals: Dict[str, float] = json.loads(self.to_json())["totals"]
        return totals

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight of what is quantized."""
        return self.totals["bits_per_weight"]

    def __getitem__(self, weight: str) -> PlanEntry:
        for entry in self.entries:
            if entry.weight == weight:
                return entry
        raise KeyError(weight)


class _Facts(ctypes.Structure):
    """CqWeightFacts"""

    _fields_ = [("name", ctypes.c_char_p), ("n", ctypes.c_int64), ("k", ctypes.c_int64), ("is_outer", ctypes.c_int)]


class _SolveOptions(ctypes.Structure):
    """CqSolveOptions"""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("bits_per_weight", ctypes.c_double),
        ("bytes", ctypes.c_int64),
        ("choices", ctypes.c_char_p),
        ("outer", ctypes.c_char_p),
        ("method", ctypes.c_char_p),
        ("keep", ctypes.c_char_p),
        ("override", ctypes.c_char_p),
        ("floors", ctypes.c_char_p),
        ("ceilings", ctypes.c_char_p),
        ("seed", ctypes.c_uint64),
        ("curve", ctypes.c_uint),
    ]


def _pairs(values: Optional[Mapping[str, Any]], what: str) -> Optional[bytes]:
    return text_of(",".join(f"{key}:{value}" for key, value in values.items()), what) if values else None


def _measured(measurements: Measurements) -> List[Dict[str, Any]]:
    records = [json.loads(line) for line in measurements.text().splitlines()]
    seen = {record["weight"]: record for record in records if "weight" in record and "shape" in record}
    return list(seen.values())
