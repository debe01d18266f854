# usage: compressed-tensors-peer.py FOLDER, with PyPI's compressed-tensors and PyTorch. FOLDER has plain/ and m.mlir.
# ours: what cq exports, decompressed by the package, is what cq decodes.
# theirs: what the package compresses has for cq the values that the package decompresses, codes are
# taken over, and exported again it still has them.
import hashlib
import json
import os
import runpy
import subprocess
import sys

import torch
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.quantization.utils import calculate_qparams
from compressed_tensors.utils.match import is_match
from safetensors.torch import load_file, save_file

checkpoints = runpy.run_path(os.path.join(os.path.dirname(__file__), "checkpoints.py"))
os.chdir(sys.argv[1])


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(folder):
    return dict(reversed(line.split()) for line in run("cq", "inspect", "--digests", folder).splitlines())


def theirs(folder):
    """SHA-256 of each tensor with the values, in f32, that the package's decompressor gives it."""
    with open(os.path.join(folder, "config.json")) as file:
        config = QuantizationConfig.model_validate(json.load(file)["quantization_config"])
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    linear, values = torch.nn.Linear(1, 1), {}
    for name, tensor in tensors.items():
        module, part = name.rsplit(".", 1)
        if module + ".weight_packed" not in tensors:
            values[name] = tensor.float()
        elif part == "weight_packed":
            assert not any(is_match(module, linear, target) for target in config.ignore), module
            scheme = next(s for s in config.config_groups.values()
                          if any(is_match(module, linear, target) for target in s.targets))
            parts = {n: tensors[f"{module}.{n}"] for n in
                     ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point")
                     if f"{module}.{n}" in tensors}
            parts["weight_scale"] = parts["weight_scale"].float()
            values[module + ".weight"] = PackedQuantizationCompressor.decompress(parts, scheme)["weight"]
            assert values[module + ".weight"].dtype == torch.float32
    return {name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for name, value in values.items()}


def compress(folder, bits, group, symmetric):
    """A checkpoint whose linear layers the package has quantized and packed; group 0 is the row."""
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel"}
    if group:
        weights["group_size"] = group
    config = QuantizationConfig.model_validate({
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "format": "pack-quantized"}},
        "format": "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"]})
    scheme = config.config_groups["group_0"]
    random = torch.Generator().manual_seed(bits)
    others = checkpoints["others"](checkpoints["numpy"].random.default_rng(1), "float16")
    tensors = {name: torch.from_numpy(array) for name, array in others.items()}
    for name, n, k in checkpoints["layers"]():
        weight = torch.randn(n, k, generator=random) + 0.3
        groups = weight.reshape(n, -1, group or k)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), scheme.weights)
        state = {"weight": weight.half(), "weight_scale": scale.half(), "weight_zero_point": zero}
        for part, tensor in PackedQuantizationCompressor.compress(state, scheme).items():
            tensors[f"{name}.{part}"] = tensor.contiguous()
    checkpoints["save"](folder, {}, config.to_dict())
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def compare(what, folder):
    a, b = ours(folder), theirs(folder)
    print(f"{what}: {sum(a[name] == b.get(name) for name in a)} of {len(a.keys() | b.keys())} tensors equal")


for number, options in enumerate(("--bits=2 --group-size=128", "--bits=3 --group-size=64", "--bits=3 --grid=affine",
                                  "--bits=4 --group-size=32", "--bits=5 --grid=affine", "--bits=6 --group-size=row",
                                  "--bits=8 --group-size=row --grid=affine")):
    run("cq", "quantize", "m.mlir", *options.split(), "--cherry-form=none", "-o", f"q{number}")
    run("cq", "export", f"q{number}", "--to=compressed-tensors", "-o", f"ours{number}")
    compare("ours " + options, f"ours{number}")

for bits, group, symmetric in ((2, 64, False), (3, 128, True), (3, 32, False), (4, 128, True), (4, 0, False),
                               (5, 64, True), (6, 0, True), (8, 0, True), (4, 16, True), (7, 128, True)):
    name = f"b{bits}-g{group}-{'symmetric' if symmetric else 'affine'}"
    compress(name, bits, group, symmetric)
    compare("theirs " + name, name)
    imported = subprocess.run(["cq", "import", name, "-o", name + ".cq"], capture_output=True, text=True)
    if imported.returncode:
        print("  " + imported.stderr.strip().removeprefix("cq: error: "))
        continue
    with open(name + ".cq/plan.json") as file:
        print("  codes taken over as", *sorted({w["scheme"] for w in json.load(file)["weights"] if not w.get("keep")}))
    run("cq", "export", name + ".cq", "--to=compressed-tensors", "-o", name + ".again")
    again, before = theirs(name + ".again"), theirs(name)
    assert again.keys() == before.keys() and all(again[n] == before[n] for n in again), name
