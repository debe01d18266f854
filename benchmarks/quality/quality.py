#!/usr/bin/env python3
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quality per bit: quantizes one model in many ways, measures each, prints tables.

    benchmarks/quality/quality.py MODEL.mlir --text=wiki.test.raw --calibration=calibration.wiki.txt \\
        --work=quality --windows=16 --experiment=criteria --results=docs/Results.md

Each line: bits per weight of the linear layers (every byte counted), of all packed
weights, KL divergence against the unquantized model, the same times 4^bpw (one more bit
halves the error and quarters the divergence, so equal numbers are equally good per
bit), perplexity, top token kept. The lines are data (experiments.py). Results and
statistics are kept in --work and reused: an interrupted run goes on where it stopped.
With --results, the table goes between the marks <!-- quality:NAME --> and
<!-- /quality --> of that file.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import plot
from experiments import CALIBRATIONS, EXPERIMENTS, MEASUREMENTS, Line

HEAD = ("| linear layers | bpw | all bpw | KL divergence | KLD x 4^bpw | perplexity | top kept |\n"
        "|---|---|---|---|---|---|---|")

OUTER = r"embd|embed|^output\.|lm_head"


def flags(options):
    for key, value in options.items():
        name = "--" + key.replace("_", "-")
        yield name if value is True else f"{name}={value}"


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = pathlib.Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.record = self.work / "results.json"
        self.known = json.loads(self.record.read_text()) if self.record.exists() else {}
        self.measured = set()

    def cq(self, *arguments):
        subprocess.run([self.options.cq, *map(str, arguments)], check=True,
                       capture_output=True, text=True)

    def statistics(self, key):
        path = self.work / f"{key}.stats"
        if not path.exists():
            text = [f"--text={self.options.calibration}"] if self.options.calibration else []
            self.cq("calibrate", self.options.model, *text, *flags(CALIBRATIONS[key]), "-o", path)
        return path

    def losses(self, key):
        """The measurement file of that name; `cq measure` goes on where it stopped."""
        path = self.work / f"losses-{key}.jsonl"
        if key in MEASUREMENTS and key not in self.measured:
            text = [f"--text={self.options.calibration}"] if self.options.calibration else []
            stats = [] if key.startswith("pairs") else [f"--stats={self.statistics('full')}"]
            self.cq("measure", self.options.model, *text, *stats, *flags(MEASUREMENTS[key]), "-o", path)
            self.measured.add(key)
        return path

    def level(self, share, line: Line, extra):
        """The bits per weight at which `share` percent of the blocks have the low choice."""
        bits = []
        for choice in (line.quantize["high"], line.quantize["low"]):
            path = self.work / "level.json"
            self.cq("plan", self.options.model, "--bpw=32", *extra, "--method=uniform", f"--override=blk:{choice}",
                    "--outer=b8-g64", "-o", path)
            weights = [w for w in json.loads(path.read_text())["weights"] if w.get("candidates")
                       and not re.search(OUTER, w["weight"])]
            bits.append(8 * sum(w["bytes"] for w in weights) / sum(w["shape"][0] * w["shape"][1] for w in weights))
        return bits[0] + (bits[1] - bits[0]) * float(share) / 100 + 1e-6

    def key(self, line: Line):
        identity = [self.options.model, self.options.text, self.options.windows, line.quantize, line.stats,
                    line.tune, line.eval]
        if line.losses:
            identity += [line.losses, MEASUREMENTS.get(line.losses)]
        return json.dumps(identity, sort_keys=True)

    def measure(self, line: Line):
        folder = self.work / "model"
        stats = [f"--stats={self.statistics(line.stats)}"] if line.stats else []
        quantize = dict(line.quantize)
        if line.losses:
            stats.append(f"--losses={self.losses(line.losses)}")
        if str(quantize.get("bpw", "")).startswith("level:"):
            quantize["bpw"] = self.level(quantize["bpw"][6:], line, stats)
        start = time.time()
        self.cq("quantize", self.options.model, "-o", folder, "--force", "--reuse", *stats, *flags(quantize))
        seconds = time.time() - start
        if line.tune is not None:
            tuned = self.work / "tuned"
            text = [f"--text={self.options.calibration}"] if self.options.calibration else []
            self.cq("tune", folder, f"--against={self.options.model}", "-o", tuned, "--force", *text,
                    *flags(line.tune))
            folder = tuned
        result = self.work / "eval.json"
        text = [f"--text={self.options.text}"] if self.options.text else []
        self.cq("eval", folder, f"--against={self.options.model}", f"--json={result}", *text,
                f"--windows={self.options.windows}", *flags(line.eval))
        numbers = json.loads(result.read_text())
        numbers["quantize_seconds"] = round(seconds, 1)
        plan = json.loads((folder / "plan.json").read_text())
        # The embedding (and tied head) keeps its own scheme: not a linear layer.
        outer = [w for w in plan["weights"] if re.search(OUTER, w["weight"])]
        linear = [w for w in plan["weights"] if w not in outer]
        count = lambda weights: sum(w["shape"][0] * w["shape"][1] for w in weights)
        size = lambda weights: sum(w.get("bytes", 0) for w in weights)
        numbers["linear_bpw"] = 8 * size(linear) / count(linear)
        numbers["payload_bpw"] = 8 * size(linear + outer) / count(linear + outer)
        if "decision" in plan:
            numbers["predicted_loss"] = plan["decision"]["predicted_loss"]
        numbers["file_bytes"] = (folder / "model.safetensors").stat().st_size
        return numbers

    def line(self, line: Line):
        key = self.key(line)
        if key not in self.known and self.options.kept:
            return None
        if key not in self.known:
            try:
                self.known[key] = self.measure(line)
            except subprocess.CalledProcessError as error:
                why = error.stderr.strip().splitlines() or ["failed"]
                print(f"{line.name}: {why[-1]}", file=sys.stderr)
                return None
            self.record.write_text(json.dumps(self.known, indent=1))
        r = self.known[key]
        return (f"| {line.name} | {r['linear_bpw']:.3f} | {r['payload_bpw']:.3f} | "
                f"{r['kl_divergence']:.4f} ± {r['kl_divergence_error']:.4f} | "
                f"{r['kl_divergence'] * 4 ** r['linear_bpw']:.1f} | "
                f"{r['perplexity']:.2f} | {100 * r['same_top']:.1f} % |")

    def table(self, lines):
        print(HEAD)
        rows = []
        for line in lines:
            row = self.line(line)
            if row:
                rows.append(row)
                print(row, flush=True)
        return "\n".join([HEAD, *rows])


    def plot(self, name, lines):
        """Divergence over the blocks at the lower width (levels), or over bits per weight, a curve for each
        allocator."""
        series = {}
        for line in lines:
            result = self.known.get(self.key(line))
            if not result:
                continue
            if name == "levels":
                share = float(line.quantize["bpw"][6:])
                # The ends are what all orders have in common.
                for method in ["lim", "zd", "random"] if share in (0, 100) else [line.quantize["method"]]:
                    series.setdefault(method, set()).add((share, result["kl_divergence"]))
            else:
                who = line.name.split(": ")[-1]
                who = "one share of rows" if who.endswith("of every weight") else re.sub(
                    ", (two levels|the best choice that fits)$|( a weight)", "", who)
                series.setdefault(who, set()).add((result["linear_bpw"], result["kl_divergence"]))
        across = "blocks at the lower width, %" if name == "levels" else "bits per weight of the linear layers"
        return plot.svg({key: sorted(points) for key, points in series.items()},
                        f"{name}: {self.options.model}, {self.options.windows} windows", across,
                        "KL divergence (log)")


def insert(path, name, table):
    text = pathlib.Path(path).read_text()
    mark = re.compile(rf"(<!-- quality:{re.escape(name)} -->\n).*?(<!-- /quality -->)", re.S)
    if not mark.search(text):
        sys.exit(f"{path} has no mark <!-- quality:{name} --> … <!-- /quality -->; add it where the table belongs")
    pathlib.Path(path).write_text(mark.sub(lambda m: m[1] + table + "\n" + m[2], text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="unquantized module made by cq import")
    parser.add_argument("--experiment", action="append", choices=sorted(EXPERIMENTS), help="default: all")
    parser.add_argument("--only", default="", help="regular expression over the lines' names")
    parser.add_argument("--text", help="text to measure on (default: written by the model)")
    parser.add_argument("--calibration", help="text to calibrate on (default: written by the model)")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--work", default="quality-results", help="statistics, results; kept and reused")
    parser.add_argument("--results", help="put the tables into this Markdown file")
    parser.add_argument("--plot", help="the divergences of one experiment (levels, budgets) as curves, an SVG file")
    parser.add_argument("--kept", action="store_true", help="run nothing: tables and curves of what --work holds")
    parser.add_argument("--list", action="store_true", help="print the lines' names and stop")
    parser.add_argument("--cq", default=str(pathlib.Path(__file__).resolve().parents[2] / "build/bin/cq"))
    options = parser.parse_args()
    bench = Bench(options)
    for name in options.experiment or EXPERIMENTS:
        lines = [line for line in EXPERIMENTS[name]() if re.search(options.only, line.name)]
        print(f"\n{name}: {EXPERIMENTS[name].__doc__.splitlines()[0]}")
        if options.list:
            print("\n".join(line.name for line in lines))
            continue
        table = bench.table(lines)
        if options.plot:
            pathlib.Path(options.plot).write_text(bench.plot(name, lines))
        if options.results:
            insert(options.results, name, table)
    for folder in ("model", "tuned"):
        shutil.rmtree(bench.work / folder, ignore_errors=True)


if __name__ == "__main__":
    main()
