"""Compares what a document's first ```text block shows with an output: compare-output.py DOCUMENT OUTPUT

Sizes and times are masked, other numbers compared to one decimal: the last digits differ between CPUs.
"""
import re
import sys


def lines(text):
    masked = [re.sub(r"[0-9.]+ (GB|MB|kB|s)\b", "N", line) for line in text.strip().splitlines()]
    return [re.sub(r"([0-9]+\.[0-9])[0-9]*", r"\1", line) for line in masked
            if not line.startswith("stories.mlir")]


document = open(sys.argv[1], encoding="utf-8").read()
shown = re.search(r"```text\n(.*?)```", document, re.S).group(1)
output = open(sys.argv[2], encoding="utf-8").read()
assert lines(shown) == lines(output), output
