"""compare-tuned.py BEFORE SCALES ALL: which planes `cq tune` may change, and that it helps."""

import json
import pathlib
import struct
import sys


def tensors(folder):
    data = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: data[8 + length + info["data_offsets"][0]:8 + length + info["data_offsets"][1]]
            for name, info in header.items()}


before, scales, everything = map(tensors, sys.argv[1:])
assert before.keys() == scales.keys() == everything.keys()


def changed(after):
    return {name for name in before if before[name] != after[name]}


some, more = changed(scales), changed(everything)
# The embedding feeds a gather and is not trained; indices of cherries never change.
assert not any(name.startswith("token_embd") or name.endswith(":cherry_columns") for name in some | more), some | more
assert not any(name.endswith(":codes") for name in some), some
for suffix in (":scales", "norm.weight"):
    assert any(name.endswith(suffix) for name in some), suffix
assert any(name.endswith(":codes") for name in more), more

divergence = [json.loads((pathlib.Path(folder) / "tuning.json").read_text()) for folder in sys.argv[2:]]
start, end_scales, end_all = (divergence[0]["kl_divergence_before"], divergence[0]["kl_divergence_after"],
                              divergence[1]["kl_divergence_after"])
assert end_scales < start and end_all < 0.95 * end_scales, (start, end_scales, end_all)
