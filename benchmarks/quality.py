#!/usr/bin/env python3
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quality per bit: quantizes one model in many ways, measures each, prints a table.

    benchmarks/quality.py MODEL.mlir --text=wiki.test.raw --windows=8 [--only=REGEX] [--json=FILE]

Each line: bits per weight of the linear layers (every byte counted), of the whole
file, KL divergence against the unquantized model, the same times 4^bpw (one more bit
halves the error and quarters the divergence, so equal numbers are equally good per
bit), perplexity, top token kept. The configurations are data, below. Results are kept in --json and reused, so an
interrupted run goes on where it stopped.
"""

import argparse
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def configurations():
    """(name, options of cq quantize); every line of the table in docs/Results.md."""
    def line(bits, group, grid="symmetric", quantizer="rtn", form="none", criterion="none", slots=1):
        name = f"b{bits}-g{group} {grid} {quantizer}"
        flags = dict(bits=bits, group_size=group, grid=grid, quantizer=quantizer)
        if form == "none":
            return name, dict(flags, cherries="none")
        name += f" + {slots}/256 {form} by {criterion}"
        return name, dict(flags, cherries=criterion, cherry_form=form, cherry_ratio=slots / 256)

    for bits, group in itertools.product((4, 3, 2), (128, 64)):
        yield line(bits, group)
        for criterion in ("magnitude", "quant-error"):
            yield line(bits, group, form="slot", criterion=criterion)
    # At three bits, one choice varied at a time.
    yield line(3, 128, form="slot", criterion="magnitude", slots=2)
    yield line(3, 64, form="slot", criterion="magnitude", slots=2)
    yield line(3, 32)
    yield line(3, 32, form="slot", criterion="magnitude")
    yield line(3, 64, quantizer="mse")
    yield line(3, 64, quantizer="mse", form="slot", criterion="magnitude")
    yield line(3, 128, quantizer="mse", form="slot", criterion="magnitude")
    yield line(3, 64, grid="affine")
    yield line(3, 64, grid="affine", form="slot", criterion="magnitude")
    yield line(3, 64, grid="half-step")
    yield line(3, 64, grid="half-step", form="slot", criterion="magnitude")
    yield line(3, 64, form="element", criterion="magnitude")
    yield line(3, 64, form="column", criterion="magnitude")


def measure(cq, model, options, arguments, folder):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    subprocess.run([cq, "quantize", model, "-o", folder, "--force", *flags],
                   check=True, capture_output=True, text=True)
    result = pathlib.Path(folder) / "eval.json"
    subprocess.run([cq, "eval", folder, f"--against={model}", f"--json={result}", *arguments],
                   check=True, capture_output=True, text=True)
    numbers = json.loads(result.read_text())
    plan = json.loads((pathlib.Path(folder) / "plan.json").read_text())
    # The embedding (and tied head) keeps its own scheme: not a linear layer.
    outer = [w for w in plan["weights"] if "embedding" in w["reason"] or "head" in w["reason"]]
    linear = [w for w in plan["weights"] if w not in outer]
    count = lambda weights: sum(w["shape"][0] * w["shape"][1] for w in weights)
    size = lambda weights: sum(w.get("bytes", 0) for w in weights)
    numbers["linear_bpw"] = 8 * size(linear) / count(linear)
    numbers["payload_bpw"] = 8 * size(linear + outer) / count(linear + outer)
    numbers["file_bytes"] = (pathlib.Path(folder) / "model.safetensors").stat().st_size
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--text")
    parser.add_argument("--windows", default="8")
    parser.add_argument("--only", default="", help="regular expression over names")
    parser.add_argument("--json", help="results, kept and reused")
    parser.add_argument("--cq", default=str(HERE.parent / "build" / "bin" / "cq"))
    options = parser.parse_args()
    arguments = [f"--windows={options.windows}"]
    if options.text:
        arguments.append(f"--text={options.text}")

    known = {}
    if options.json and pathlib.Path(options.json).exists():
        known = json.loads(pathlib.Path(options.json).read_text())
    folder = tempfile.mkdtemp(prefix="cq-quality.")
    print("| linear layers | bpw | all bpw | KL divergence | KLD x 4^bpw | perplexity | top kept |")
    print("|---|---|---|---|---|---|---|")
    try:
        for name, flags in configurations():
            if not re.search(options.only, name):
                continue
            key = f"{name} @ {options.text or 'self'} x {options.windows}"
            if key not in known:
                try:
                    known[key] = measure(options.cq, options.model, flags, arguments, folder)
                except subprocess.CalledProcessError as error:
                    print(f"{name}: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                if options.json:
                    pathlib.Path(options.json).write_text(json.dumps(known, indent=1))
            r = known[key]
            print(f"| {name} | {r['linear_bpw']:.3f} | {r['payload_bpw']:.3f} | "
                  f"{r['kl_divergence']:.4f} ± {r['kl_divergence_error']:.4f} | "
                  f"{r['kl_divergence'] * 4 ** r['linear_bpw']:.0f} | "
                  f"{r['perplexity']:.2f} | {100 * r['same_top']:.1f} % |", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
