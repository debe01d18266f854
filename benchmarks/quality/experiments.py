# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What quality.py measures: lists of lines, one choice varied at a time.

A line is a name, the options of `cq quantize` (underscores for dashes), and
what else it wants: `stats` (a key of CALIBRATIONS), `tune` (options of
`cq tune`), `eval` (options of `cq eval`).
"""

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Line:
    name: str
    quantize: dict
    stats: str = ""
    tune: dict | None = None
    eval: dict = dataclasses.field(default_factory=dict)


# Options of `cq calibrate`. Every text is another one than that of the test.
CALIBRATIONS = {
    "moments": dict(sequences=64, fisher="none"),
    "gram": dict(sequences=64, fisher="none", gram=True),
    "sequence": dict(sequences=16, fisher="sequence"),
    "token": dict(sequences=16, fisher="token"),
    "full": dict(sequences=32, fisher="sequence", gram=True),
}


def line(bits, group, grid="symmetric", quantizer="rtn", form="none", criterion="none",
         ratio=1 / 256, name=None, **rest):
    text = f"b{bits}-g{group}" + ("" if grid == "symmetric" else f" {grid}") + f" {quantizer}"
    options = dict(bits=bits, group_size=group, grid=grid, quantizer=quantizer)
    if form == "none":
        options["cherries"] = "none"
    else:
        options.update(cherries=criterion, cherry_form=form, cherry_ratio=ratio)
        text += f" + 1/{round(1 / ratio)} {form} by {criterion}"
    return Line(name or text, options, **rest)


def data_free():
    """No data: every line of the table in docs/Results.md."""
    for bits, group in itertools.product((4, 3, 2), (128, 64)):
        yield line(bits, group)
        for criterion in ("magnitude", "quant-error"):
            yield line(bits, group, form="slot", criterion=criterion)
    for ratio in (2 / 256,):
        yield line(3, 128, form="slot", criterion="magnitude", ratio=ratio)
        yield line(3, 64, form="slot", criterion="magnitude", ratio=ratio)
    yield line(3, 32)
    yield line(3, 32, form="slot", criterion="magnitude")
    for grid in ("affine", "half-step"):
        yield line(3, 64, grid=grid)
        yield line(3, 64, grid=grid, form="slot", criterion="magnitude")
    for form in ("element", "column"):
        yield line(3, 64, form=form, criterion="magnitude")


def quantizers():
    """The quantizer, at every width, with and without cherries."""
    for bits in (4, 3, 2):
        yield line(bits, 128)
        yield line(bits, 128, quantizer="mse", stats="full")
        yield line(bits, 128, quantizer="gptq", stats="full")
        yield line(bits, 128, quantizer="gptq", form="slot", criterion="magnitude", stats="full")


def criteria():
    """What makes a cherry, around b3-g128 mse and gptq."""
    for quantizer in ("mse", "gptq"):
        yield line(3, 128, quantizer=quantizer, stats="full")
        for criterion in ("magnitude", "activation", "quant-error", "impact"):
            yield line(3, 128, quantizer=quantizer, form="slot", criterion=criterion, stats="full")
    token = line(3, 128, quantizer="mse", form="slot", criterion="impact", stats="token")
    yield dataclasses.replace(token, name=token.name + " (token Fisher)")


def forms():
    """How cherries are stored, and how many."""
    for form, ratio in (("slot", 1 / 256), ("slot", 1 / 128), ("element", 1 / 256),
                        ("element", 1 / 128), ("column", 1 / 512), ("column", 1 / 256),
                        ("column", 1 / 128)):
        yield line(3, 128, quantizer="gptq", form=form, criterion="magnitude", ratio=ratio, stats="full")
        yield line(3, 128, quantizer="gptq", form=form, criterion="impact", ratio=ratio, stats="full")


def groups():
    """Cherries against smaller groups and another grid, at the bits they cost."""
    for group in (128, 64, 32):
        yield line(3, group, quantizer="gptq", stats="full")
        yield line(3, group, quantizer="gptq", form="slot", criterion="magnitude", stats="full")
        yield line(3, group, grid="affine", quantizer="gptq", stats="full")


def activations():
    """What int8 activations cost."""
    for bits, mode in itertools.product((8, 4, 3), ("f32", "int8")):
        base = line(bits, 128, quantizer="mse" if bits == 8 else "gptq", stats="full")
        yield dataclasses.replace(base, name=f"{base.name}, {mode} activations",
                                  quantize=dict(base.quantize, activations=mode))


def tuning():
    """`cq tune` after gptq: scales, cherries and norms alone, and codes too."""
    for bits in (3, 2):
        base = line(bits, 128, quantizer="gptq", form="slot", criterion="magnitude", stats="full")
        yield base
        for name, options in (("scales tuned", dict(train="scales")), ("tuned", dict())):
            yield dataclasses.replace(base, name=f"{base.name}, {name}", tune=options)


EXPERIMENTS = {function.__name__.replace("_", "-"): function for function in
               (data_free, quantizers, criteria, forms, groups, activations, tuning)}
