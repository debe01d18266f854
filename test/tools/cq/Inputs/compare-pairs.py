"""Compares the interactions of two measurement files, gram and exact, at their 8-bit
choices, where changes are small: M by inner products is M by differences of losses up
to the product of two changes, and has a Cholesky factor."""

import json
import math
import sys


def read(path):
    lines = [json.loads(line) for line in open(path)]
    return [line for line in lines if "block" in line]


def cholesky(matrix):
    size = len(matrix)
    least = -1e-9 * sum(matrix[i][i] for i in range(size))
    rest = [row[:] for row in matrix]
    for k in range(size):
        assert rest[k][k] > least, "not positive semidefinite"
        if rest[k][k] < -least:
            continue
        for i in range(k + 1, size):
            factor = rest[i][k] / rest[k][k]
            for j in range(k + 1, size):
                rest[i][j] -= factor * rest[k][j]


gram, exact = read(sys.argv[1]), read(sys.argv[2])
assert len(gram) == len(exact)
for a, b in zip(gram, exact):
    assert a["block"] == b["block"] and a["variables"] == b["variables"]
    m, n = a["matrix"], b["matrix"]
    cholesky(m)
    small = [i for i, (_, choice) in enumerate(a["variables"]) if choice.startswith("b8")]
    for i in small:
        for j in small:
            if a["variables"][i][0] == a["variables"][j][0]:
                continue
            size = math.sqrt(m[i][i] * m[j][j])
            assert abs(m[i][j] - n[i][j]) < 0.02 * size, (a["block"], i, j, m[i][j], n[i][j], size)
print(len(gram), "blocks agree")
