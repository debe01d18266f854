#!/usr/bin/env python3
"""Seeds of the fuzzers: make-seeds.py FOLDER cq cq-opt. Small files that the tools
themselves write, a subfolder for each fuzzer."""
import json
import os
import pathlib
import runpy
import struct
import subprocess
import sys

out, cq, cq_opt = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
here = pathlib.Path(__file__).resolve().parent
tools = here.parent / "tools" / "cq" / "Inputs"


def folder(name):
    path = out / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(kind, size, elements):
    pairs = [string("general.architecture") + struct.pack("<I", 8) + string("llama"),
             string("general.alignment") + struct.pack("<II", 4, 32),
             string("a.list") + struct.pack("<IIQ", 9, 8, 1) + string("x")]
    tensor = string("a") + struct.pack("<IQIQ", 1, elements, kind, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
    return head + bytes(-len(head) % 32) + bytes(range(256)) * 2 + bytes(size)


for kind, size, elements in ((0, 16, 4), (2, 18, 32), (6, 22, 32), (10, 84, 256), (11, 110, 256), (12, 144, 256),
                             (13, 176, 256), (14, 210, 256), (15, 292, 256), (16, 66, 256), (17, 74, 256),
                             (18, 98, 256), (19, 50, 256), (20, 18, 32), (21, 110, 256), (22, 82, 256),
                             (23, 136, 256), (29, 56, 256), (34, 54, 256), (35, 66, 256), (39, 17, 32), (40, 36, 64)):
    (folder("model") / f"gguf-{kind}").write_bytes(gguf(kind, size, elements))
header = json.dumps({"a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
                     "__metadata__": {"format": "pt"}}).encode()
(folder("model") / "safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
(folder("model") / "llama2c").write_bytes(struct.pack("<7i", 4, 4, 1, 1, 1, 3, 2) + bytes(4 * 200))
(folder("index") / "one").write_text('{"metadata": {}, "weight_map": {"a": "shard.safetensors"}}')

checkpoints = runpy.run_path(str(tools / "checkpoints.py"))
layers = checkpoints["layers"].__globals__
layers.update(WIDTH=32, HIDDEN=32, BLOCKS=1, HEADS=2, KV=1, VOCABULARY=8)
for form, bits in (("gptq", 4), ("gptq", 3), ("awq", 4), ("compressed", 3)):
    path = out / "work" / f"{form}{bits}"
    checkpoints["make_packed"](str(path), form, form == "gptq", False, bits, 32)
    data = (path / "config.json").read_bytes() + b"\0" + (path / "model.safetensors").read_bytes()
    (folder("packed") / path.name).write_bytes(data)

layers.update(WIDTH=64, HIDDEN=64)
random = __import__("numpy").random.default_rng(1)
tensors = checkpoints["others"](random, "float32")
for name, n, k in checkpoints["layers"]():
    tensors[name + ".weight"] = random.normal(0, 1, (n, k)).astype("float32")
checkpoints["save"](str(out / "work" / "plain"), tensors)
work = out / "work"
run(cq, "import", work / "plain", "-o", work / "m.mlir", "--chunks=1", "--loss-tokens=0")
for number, options in enumerate((["--bits=3"], ["--bits=4", "--grid=affine", "--cherry-form=element"],
                                  ["--bits=2", "--rows=1/2:4"])):
    run(cq, "quantize", work / "m.mlir", *options, "-o", work / f"q{number}")
    (folder("plan") / f"plan{number}").write_bytes((work / f"q{number}" / "plan.json").read_bytes())
    run(cq, "export", work / f"q{number}", "--to=safetensors", "-o", work / f"own{number}")
    own = work / f"own{number}"
    (folder("packed") / f"own{number}").write_bytes(
        (own / "config.json").read_bytes() + b"\0" + (own / "model.safetensors").read_bytes())
module = here.parent / "Dialect" / "CQ"
for number, path in enumerate(sorted(module.rglob("*.mlir"))):
    for part, text in enumerate(path.read_text().split("// -----")):
        (folder("module") / f"{path.stem}-{part}").write_text(text)
        made = subprocess.run([cq_opt, "--emit-bytecode", "--allow-unregistered-dialect", "-o",
                               str(folder("module") / f"{path.stem}-{part}.bc")], input=text, text=True,
                              capture_output=True)
(folder("tokenizer") / "gguf").write_bytes(
    b"GGUF" + struct.pack("<IQQ", 3, 0, 3) + string("tokenizer.ggml.model") + struct.pack("<I", 8) + string("llama")
    + string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + string("<s>") + string("a") + string("b")
    + string("tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 0, -1, -2))
(folder("tokenizer") / "json").write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2},
                                                                "merges": ["a b"]}, "added_tokens": [],
                                                      "pre_tokenizer": {"type": "ByteLevel"}}))
(folder("tokenizer") / "llama2c").write_bytes(struct.pack("<I", 3) + struct.pack("<fi", 0.5, 1) + b"a")
header = {"cq_measurements": 1, "model": "0" * 32, "loss": "kl"}
(folder("measurements") / "one").write_text(json.dumps(header) + "\n" + json.dumps({"weight": "w"}) + "\n")
(folder("measurements") / "two").write_text(json.dumps(header) + "\n" + json.dumps(
    {"weight": "w", "n": 16, "k": 64, "choice": "b3-g64-symmetric-f16/rtn", "loss": 0.5, "bytes": 400}) + "\n")


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensors_of(list_of, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, dtype, shape, values in list_of:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    return safetensors(header, data)


# Checksums are not looked at in fuzzers.
facts = {"version": 1, "model": "0" * 32, "tokenizer": "", "options": "", "fisher": "sequence",
         "data": [{"name": "a.txt", "hash": "0" * 32, "first": 0, "sequences": 2}],
         "inputs": [{"weights": ["w"], "k": 2, "tokens": 8, "magnitudes": True, "gram": True}],
         "fishers": [{"weight": "w", "n": 2, "k": 2, "sequences": 2}],
         "blocks": [{"block": 0, "tokens": 8}], "loss": 3.0, "loss_tokens": 7,
         "weights": [{"weight": "w", "hash": "0" * 32, "n": 2, "k": 2}]}
doubles = lambda *values: struct.pack(f"<{len(values)}d", *values)
(folder("statistics") / "dense").write_bytes(tensors_of([
    ("w:sum_squares", "F64", [2], doubles(4, 8)), ("w:sum_magnitudes", "F64", [2], doubles(4, 4)),
    ("w:max_magnitude", "F32", [2], struct.pack("<2f", 1, 2)), ("w:gram", "F64", [3], doubles(4, 1, 8)),
    ("w:fisher", "F64", [2, 2], doubles(1, 2, 3, 4)), ("blocks", "F64", [1, 4], doubles(4, 2, 3, 3)),
    ("checksums", "I64", [7], bytes(56))], {"cq.statistics": json.dumps(facts)}))
facts.update(share=0.25, fishers=[{"weight": "w", "n": 2, "k": 2, "sequences": 2, "kept": 1}])
(folder("statistics") / "compact").write_bytes(tensors_of([
    ("w:sum_squares", "F64", [2], doubles(4, 8)), ("w:sum_magnitudes", "F64", [2], doubles(4, 4)),
    ("w:max_magnitude", "F32", [2], struct.pack("<2f", 1, 2)), ("w:gram", "F64", [3], doubles(4, 1, 8)),
    ("w:fisher_rows", "F64", [2], doubles(1, 2)), ("w:fisher_columns", "F64", [2], doubles(1, 2)),
    ("w:fisher_positions", "I64", [1], struct.pack("<q", 3)), ("w:fisher_values", "F32", [1], struct.pack("<f", 4)),
    ("blocks", "F64", [1, 4], doubles(4, 2, 3, 3)), ("checksums", "I64", [10], bytes(80))],
    {"cq.statistics": json.dumps(facts)}))
name = b"blk.0.attn_q.weight"
(folder("imatrix") / "legacy").write_bytes(struct.pack("<ii", 1, len(name)) + name + struct.pack(
    "<ii4fii", 2, 4, 1, 2, 3, 4, 2, 5) + b"a.txt")
pairs = [string("general.type") + struct.pack("<I", 8) + string("imatrix"),
         string("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + string("a.txt"),
         string("imatrix.chunk_count") + struct.pack("<II", 4, 2), string("imatrix.chunk_size") + struct.pack("<II", 4, 512)]
two = string(name.decode() + ".in_sum2") + struct.pack("<IQQIQ", 2, 4, 1, 0, 0) + string(
    name.decode() + ".counts") + struct.pack("<IQQIQ", 2, 1, 1, 0, 32)
head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(pairs)) + b"".join(pairs) + two
(folder("imatrix") / "gguf").write_bytes(head + bytes(-len(head) % 32) + struct.pack("<4f", 1, 2, 3, 4) + bytes(16)
                                         + struct.pack("<f", 2) + bytes(28))


def irpa(entries, names, storage):
    end = 96 + len(entries)
    return struct.pack("<IQQQQQQQQQQ", 0, 88, 0, 0, len(entries) // 80, 96, len(entries), end, len(names),
                       end + len(names), len(storage)) + bytes(8) + entries + names + storage


note = b'{"dtype":"F16","shape":[2,3]}'
typed = struct.pack("<QIQQQQQQQQ", 76, 2, 0, 0, 1, 1, len(note), 64, 0, 12) + bytes(4)
plain = struct.pack("<QIQQQQQQQQ", 76, 2, 0, 1 + len(note), 1, 0, 0, 64, 4, 8) + bytes(4)
splat = struct.pack("<QIQQQQQQQ16sB", 85, 1, 0, 0, 1, 0, 0, 0, 8, bytes(16), 2)
(folder("irpa") / "typed").write_bytes(irpa(typed, b"a" + note, bytes(12)))
(folder("irpa") / "both").write_bytes(irpa(typed + plain, b"a" + note + b"b", bytes(12)))
(folder("irpa") / "splat").write_bytes(irpa(splat + bytes(75), b"a", bytes(12)))
