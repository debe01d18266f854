"""Writes a small llama2.c checkpoint (version 0) with weights from a fixed seed:
width 8, hidden 12, 2 blocks, 4 heads over 2, vocabulary 16, 128 positions."""
import random
import struct
import sys

D, F, L, H, G, V, C = 8, 12, 2, 4, 2, 16, 128
d = D // H
random.seed(0)


def floats(n, mean=0.0):
    return struct.pack(f"<{n}f", *(random.gauss(mean, 0.3) for _ in range(n)))


with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<7i", D, F, L, H, G, V, C))
    f.write(floats(V * D))
    f.write(floats(L * D, 1))  # attention norms
    f.write(floats(L * D * D) + floats(2 * L * G * d * D) + floats(L * D * D))
    f.write(floats(L * D, 1))  # feed-forward norms
    f.write(floats(3 * L * D * F))
    f.write(floats(D, 1))  # final norm
    f.write(floats(C * d))  # rotation tables, unused
