"""check-mixed-rows.py FOLDER BITS WIDE: planes and row orders of a model with rows of two widths.

Counts every byte again, from shapes alone, and checks that each order is one."""

import json
import pathlib
import struct
import sys

folder, bits, wide_bits = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
data = (folder / "model.safetensors").read_bytes()
(length,) = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
header.pop("__metadata__", None)


def plane(name):
    begin, end = header[name]["data_offsets"]
    return data[8 + length + begin:8 + length + end]


def up(value, multiple):
    return -(-value // multiple) * multiple


unit = {2: 16, 3: 32, 4: 8, 5: 32, 6: 16, 8: 4}  # columns of a packed unit
mixed = 0
for entry in json.loads((folder / "plan.json").read_text())["weights"]:
    name, (n, k) = entry["weight"], entry["shape"]
    assert entry["bytes"] == sum(len(plane(p)) for p in header if p.startswith(name + ":")), name
    wide = entry.get("wide_rows")
    assert (wide is not None) == (name + ":row_order" in header), name
    if not wide:
        continue
    mixed += 1
    count = wide["count"]
    assert wide["bits"] == wide_bits and count % 16 == 0 and 0 < count < n, entry
    codes = count * up(k, unit[wide_bits]) * wide_bits // 8 + (up(n, 16) - count) * up(k, unit[bits]) * bits // 8
    assert codes == len(plane(name + ":codes")), (name, codes)
    order = struct.unpack(f"<{n}H", plane(name + ":row_order"))
    assert sorted(order) == list(range(n)), name
    assert list(order[:count]) == sorted(order[:count]) and list(order[count:]) == sorted(order[count:]), name
assert mixed, "no weight has rows of two widths"
