#!/usr/bin/env python3
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quality per bit: quantizes one model in many ways, measures each, prints a table.

    benchmarks/quality.py MODEL.mlir --text=wiki.test.raw --windows=8 [--only=REGEX] [--json=FILE]

Each line: bits per weight of the linear layers (every byte counted), of the whole
file, KL divergence against the unquantized model, perplexity, top token kept. The
configurations are data, below. Results are kept in --json and reused, so an
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
    """(name, options of cq quantize)"""
    for bits, group in itertools.product((4, 3, 2), (128, 64, 32)):
        for grid in ("symmetric", "affine", "half-step"):
            for quantizer in ("rtn", "mse"):
                base = dict(bits=bits, group_size=group, grid=grid, quantizer=quantizer)
                yield f"b{bits}-g{group}-{grid} {quantizer}", dict(base, cherries="none")
                for form in ("slot", "column", "element"):
                    for criterion in ("quant-error", "magnitude"):
                        yield (
                            f"b{bits}-g{group}-{grid} {quantizer} + {form} {criterion}",
                            dict(base, cherries=criterion, cherry_form=form, cherry_ratio=1 / 256),
                        )


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
    print("| linear layers | bpw | all bpw | KL divergence | perplexity | top kept |")
    print("|---|---|---|---|---|---|")
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
                  f"{r['perplexity']:.2f} | {100 * r['same_top']:.1f} % |", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
