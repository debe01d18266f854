#!/usr/bin/env python3
# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How close interactions by inner products (gram) are to differences of losses (exact).

    benchmarks/quality/compare_pairs.py losses-pairs-gram.jsonl losses-pairs-exact.jsonl

For every pair of bit widths: the correlation of the entries of M, their mean
difference and their mean size, the last two as shares of sqrt(M[a,a] M[c,c]).
"""

import collections
import json
import math
import sys


def blocks(path):
    records = map(json.loads, open(path))
    return {r["block"]: r for r in records if "block" in r}


def main():
    gram, exact = blocks(sys.argv[1]), blocks(sys.argv[2])
    groups = collections.defaultdict(list)
    for name, a in gram.items():
        b = exact[name]
        if a["variables"] != b["variables"]:
            sys.exit(f"block {name} has other choices in the two files")
        for i, (weight, choice) in enumerate(a["variables"]):
            for j, (other, second) in enumerate(a["variables"][:i]):
                size = math.sqrt(a["matrix"][i][i] * a["matrix"][j][j])
                if weight == other or size == 0:
                    continue
                bits = tuple(sorted((choice.split("-")[0], second.split("-")[0])))
                pair = (a["matrix"][i][j] / size, b["matrix"][i][j] / size)
                groups[bits].append(pair)
                groups["all", ""].append(pair)
    print("| widths | pairs | correlation | mean difference | mean size |\n|---|---|---|---|---|")
    for bits, entries in sorted(groups.items()):
        n = len(entries)
        mx, my = sum(x for x, _ in entries) / n, sum(y for _, y in entries) / n
        sxy = sum((x - mx) * (y - my) for x, y in entries)
        sxx, syy = sum((x - mx) ** 2 for x, _ in entries), sum((y - my) ** 2 for _, y in entries)
        correlation = sxy / math.sqrt(sxx * syy) if sxx * syy else float("nan")
        print(f"| {' and '.join(filter(None, bits))} | {n} | {correlation:.3f} | "
              f"{sum(abs(x - y) for x, y in entries) / n:.4f} | {sum(abs(y) for _, y in entries) / n:.4f} |")


if __name__ == "__main__":
    main()
