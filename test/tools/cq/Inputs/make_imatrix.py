"""Writes a legacy importance matrix for two weights of stories260K.
usage: make_imatrix.py FILE TEXT FACTOR"""
import struct
import sys

path, text, factor = sys.argv[1], sys.argv[2].encode(), float(sys.argv[3])
weights = {"blk.0.attn_q.weight": 64, "blk.4.ffn_down.weight": 172}
with open(path, "wb") as f:
    f.write(struct.pack("<i", len(weights)))
    for name, columns in weights.items():
        f.write(struct.pack("<i", len(name)) + name.encode())
        # Two chunks; E[x²] of column j is factor · (j + 1).
        values = [2 * factor * (j + 1) for j in range(columns)]
        f.write(struct.pack("<ii", 2, columns))
        f.write(struct.pack(f"<{columns}f", *values))
    f.write(struct.pack("<ii", 2, len(text)) + text)
