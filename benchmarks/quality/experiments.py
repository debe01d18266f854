# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What quality.py measures: lists of lines, one choice varied at a time.

A line is a name, the options of `cq quantize` (underscores for dashes), and
what else it wants: `stats` (a key of CALIBRATIONS), `losses` (a key of
MEASUREMENTS), `tune` (options of `cq tune`), `eval` (options of `cq eval`).
"""

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Line:
    name: str
    quantize: dict
    stats: str = ""
    losses: str = ""
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


# Ways to store a weight that a budget chooses from: gptq with the statistics'
# Gram matrices, cherries where they earn their bits.
CHOICES = ",".join(["b2-g128/gptq", "b2-g128/gptq/slot1-magnitude", "b2-g64/gptq/slot1-magnitude", "b3-g128/gptq",
                    "b3-g128/gptq/slot1-magnitude", "b3-g64/gptq/slot1-magnitude", "b4-g128/gptq",
                    "b4-g128/gptq/slot1-magnitude", "b5-g128/gptq", "b6-g128/gptq", "b8-g128/gptq"])

# Options of `cq measure` (with the statistics `full`), or of `cq plan` where
# the key of the loss is one of those. Measured once, solved for every budget.
MEASUREMENTS = {
    "divergence": dict(sequences=1, choices=CHOICES),
    "gram": dict(sequences=2, pairs="gram", block_loss="relative", choices=CHOICES),
    "gram-fisher": dict(sequences=2, pairs="gram", block_loss="fisher", choices=CHOICES),
    "model": dict(sequences=1, pairs="model", choices=CHOICES),
    # Six choices a layer, as the paper has ratios: exact takes 42 + 756 runs of a block.
    "pairs-gram": dict(sequences=1, pairs="gram", block_loss="relative",
                       choices="b2-g128,b3-g128,b4-g128,b5-g128,b6-g128,b8-g128"),
    "pairs-exact": dict(sequences=1, pairs="exact", block_loss="relative",
                        choices="b2-g128,b3-g128,b4-g128,b5-g128,b6-g128,b8-g128"),
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
    for form, ratios in (("slot", (256, 128)), ("element", (512, 256, 128)), ("column", (512, 256, 128))):
        for ratio in ratios:
            yield line(3, 128, quantizer="gptq", form=form, criterion="magnitude", ratio=1 / ratio, stats="full")
        for criterion in ("impact", "quant-error"):
            yield line(3, 128, quantizer="gptq", form=form, criterion=criterion, stats="full")
    yield line(3, 128, quantizer="gptq", form="column", criterion="quant-error", ratio=1 / 128, stats="full")


def groups():
    """Cherries against smaller groups and another grid, at the bits they cost."""
    for group in (128, 64, 32):
        yield line(3, group, quantizer="gptq", stats="full")
        yield line(3, group, quantizer="gptq", form="slot", criterion="magnitude", stats="full")
        yield line(3, group, grid="affine", quantizer="gptq", stats="full")


def row_widths():
    """Many rows at one bit more or few at many more, the same bits in all (b_H of HIRO)."""
    for rows in ("1/2:3", "1/4:4", "1/12:8"):
        base = line(2, 128, quantizer="gptq", form="slot", criterion="magnitude", stats="full",
                    name=f"b2-g128 gptq + 1/256 slot by magnitude, {rows.split(':')[0]} of the rows at "
                         f"{rows.split(':')[1]} bits")
        yield dataclasses.replace(base, quantize=dict(base.quantize, rows=rows))


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


LEVELS = dict(low="b2-g128/gptq/slot1-magnitude", high="b4-g128/gptq/slot1-magnitude")

# (name, options of `cq quantize`): who decides. The two-level methods move whole
# blocks between LEVELS; the others choose among the default choices.
ALLOCATORS = [
    ("uniform, the best choice that fits", dict(method="uniform")),
    ("index order, two levels", dict(method="index", **LEVELS)),
    ("random order, two levels", dict(method="random", seed=1, **LEVELS)),
    ("LIM order, two levels", dict(method="lim", **LEVELS)),
    ("ZD order, two levels", dict(method="zd", **LEVELS)),
    ("solved, one width a weight", dict(row_ratios="none")),
    ("solved, rows of two widths", dict()),
]

# Choices of the default list that have one width.
ONE_WIDTH = ",".join(f"b{bits}-g{group}/gptq{cherries}" for bits, group, cherries in [
    (2, 128, ""), (2, 128, "/slot1-magnitude"), (2, 64, "/slot1-magnitude"),
    (3, 128, ""), (3, 128, "/slot1-magnitude"), (3, 64, "/slot1-magnitude"),
    (4, 128, ""), (4, 128, "/slot1-magnitude"), (4, 64, "/slot1-magnitude"),
    (5, 128, ""), (6, 128, ""), (8, 128, "")])


def allocate(budget, allocators=ALLOCATORS, losses="plan-fisher", **rest):
    for name, options in allocators:
        text = " ".join(f"{value} {key}" for key, value in budget.items())
        options = dict(options)
        if options.pop("row_ratios", ""):
            options["choices"] = ONE_WIDTH
        yield Line(f"{text}: {name}", dict(budget, **options, **rest), stats="full", losses=losses)


def budgets():
    """Who decides, at equal bits of the linear layers (head at 8 bits)."""
    for bpw in (2.23, 2.5, 2.85, 3.25, 3.5):
        yield from allocate(dict(bpw=bpw))
        # One share of rows for all weights, as near to the budget as panels allow.
        share = {2.5: ("2", "1/4:3"), 2.85: ("2", "1/2:3"), 3.25: ("2", "7/8:3"), 3.5: ("3", "1/4:4")}.get(bpw)
        if share:
            base = line(int(share[0]), 128, quantizer="gptq", form="slot", criterion="magnitude", stats="full",
                        name=f"{bpw} bpw: {share[0]} bits, {share[1]} of the rows of every weight")
            yield dataclasses.replace(base, quantize=dict(base.quantize, rows=share[1]))
    for bpw in (3.87, 4.25, 4.5):
        yield from allocate(dict(bpw=bpw), [ALLOCATORS[0], ALLOCATORS[-1]])


def files():
    """The same by bytes of the whole file, the head being decided too.

    Sizes with which the layers have 2.5, 3.25 and 3.87 bits where the head keeps 8.
    """
    for size in ("62200000", "72558336", "80788608"):
        for name, options in (("uniform, head too", dict(method="uniform", outer="solve")),
                              ("head at 8 bits, rest solved", dict(outer="b8-g64")),
                              ("head at 6 bits, rest solved", dict(outer="b6-g64")),
                              ("all solved", dict(outer="solve"))):
            yield from allocate(dict(size=size), [(name, options)])


def pairs():
    """M by inner products against M by differences of losses: the plans and what they are worth.

    How close the matrices are: benchmarks/quality/compare_pairs.py.
    """
    allocators = [("losses alone", dict(no_interactions=True), "pairs-gram"), ("gram", dict(), "pairs-gram"),
                  ("exact", dict(), "pairs-exact")]
    for bpw, (name, options, losses) in itertools.product((3.25, 4.25), allocators):
        yield from allocate(dict(bpw=bpw), [(name, options)], losses, choices=MEASUREMENTS["pairs-gram"]["choices"])


def levels():
    """0 to 100 % of the blocks at the lower width, by LIM, ZD and random order (LayerwiseQuant).

    The plot: quality.py --plot=levels.svg.
    """
    def at(method, share, name):
        return Line(name, dict(bpw=f"level:{share}", method=method, seed=1, **LEVELS), stats="full",
                    losses="plan-fisher")
    # The ends are the same in every order.
    yield at("lim", 0, "all blocks at 4 bits")
    for method in ("lim", "zd", "random"):
        for share in (20, 40, 60, 80):
            yield at(method, share, f"{method}: {share} % of the blocks at 2 bits")
    yield at("lim", 100, "all blocks at 2 bits")


EXPERIMENTS = {function.__name__.replace("_", "-"): function for function in
               (data_free, quantizers, criteria, forms, groups, row_widths, activations, tuning, budgets, files, pairs, levels)}
