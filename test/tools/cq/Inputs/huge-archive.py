# usage: huge-archive.py FILE. A sparse safetensors file with one tensor of 8 TB.
import json
import sys

size = 2 * (1 << 22) * (1 << 20)
text = json.dumps({"w": {"dtype": "F16", "shape": [1 << 22, 1 << 20], "data_offsets": [0, size]}}).encode()
with open(sys.argv[1], "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    file.truncate(8 + len(text) + size)
