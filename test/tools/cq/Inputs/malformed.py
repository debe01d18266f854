# usage: malformed.py FOLDER cq. Writes malformed files, one defect each, shows each to
# `cq inspect` and prints the table of docs/Safety.md.
import json
import os
import runpy
import struct
import subprocess
import sys

folder, cq = sys.argv[1:]
os.makedirs(os.path.join(folder, "empty"), exist_ok=True)
checkpoints = runpy.run_path(os.path.join(os.path.dirname(__file__), "checkpoints.py"))


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(tensors=b"", count=0, pairs=b"", pair_count=0, data=b"", version=3):
    head = b"GGUF" + struct.pack("<IQQ", version, count, pair_count) + pairs + tensors
    return head + bytes(-len(head) % 32) + data


def tensor(name, shape, kind, offset):
    return string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack(
        "<IQ", kind, offset)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def irpa(entries=b"", count=1, names=b"a", storage=bytes(4), version=0, next_header=0):
    end = 96 + len(entries)
    return b"IRPA" + struct.pack("<IQQQQQQQQQQ", version, 88, next_header, 0, count, 96, len(entries), end, len(names),
                                 end + len(names), len(storage)) + bytes(8) + entries + names + storage


def irpa_entry(kind=2, size=76, name=(0, 1), facts=(0, 0), data=(0, 4)):
    return struct.pack("<QIQQQQQQQQ", size, kind, 0, *name, *facts, 0, *data)


FACTS = b'{"dtype":"F32","shape":[4611686018427387904]}'
CASES = [
    ("x.gguf", "GGUF: 2^60 metadata pairs", gguf(pair_count=1 << 60)),
    ("x.gguf", "GGUF: 2^60 tensors", gguf(count=1 << 60)),
    ("x.gguf", "GGUF: a key of 2^63 bytes", gguf(pairs=struct.pack("<Q", 1 << 63) + bytes(16), pair_count=1)),
    ("x.gguf", "GGUF: an array of 2^61 numbers",
     gguf(pairs=string("k") + struct.pack("<IIQ", 9, 10, 1 << 61) + bytes(16), pair_count=1)),
    ("x.gguf", "GGUF: arrays of arrays",
     gguf(pairs=string("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(16), pair_count=1)),
    ("x.gguf", "GGUF: 5 dimensions", gguf(tensor("a", [1] * 5, 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: a product that overflows", gguf(tensor("a", [1 << 32, 1 << 32, 1 << 32], 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: an offset beyond the file", gguf(tensor("a", [4], 0, 1 << 40), 1, data=bytes(64))),
    ("x.gguf", "GGUF: tensors over each other",
     gguf(tensor("a", [16], 0, 0) + tensor("b", [16], 0, 32), 2, data=bytes(128))),
    ("x.gguf", "GGUF: half a block", gguf(tensor("a", [100], 12, 0), 1, data=bytes(640))),
    ("x.gguf", "GGUF: an alignment of 3",
     gguf(tensor("a", [4], 0, 0), 1, string("general.alignment") + struct.pack("<II", 4, 3), 1, bytes(64))),
    ("x.gguf", "GGUF: an alignment of 0",
     gguf(tensor("a", [4], 0, 0), 1, string("general.alignment") + struct.pack("<II", 4, 0), 1, bytes(64))),
    ("x.gguf", "GGUF: an alignment of 2^31",
     gguf(tensor("a", [4], 0, 0), 1, string("general.alignment") + struct.pack("<II", 4, 1 << 31), 1, bytes(64))),
    ("x.gguf", "GGUF: a string of 2^64 - 1 bytes",
     gguf(pairs=string("k") + struct.pack("<IQ", 8, (1 << 64) - 1) + bytes(16), pair_count=1)),
    ("x.gguf", "GGUF: 2^64 - 1 strings",
     gguf(pairs=string("k") + struct.pack("<IIQ", 9, 8, (1 << 64) - 1) + bytes(16), pair_count=1)),
    ("x.gguf", "GGUF: a key twice",
     gguf(pairs=2 * (string("k") + struct.pack("<II", 4, 1)), pair_count=2)),
    ("x.gguf", "GGUF: an unknown type of value", gguf(pairs=string("k") + struct.pack("<II", 99, 1), pair_count=1)),
    ("x.gguf", "GGUF: a tensor's name of 2^64 - 1 bytes", gguf(struct.pack("<Q", (1 << 64) - 1) + bytes(40), 1)),
    ("x.gguf", "GGUF: 2^32 - 1 dimensions", gguf(string("a") + struct.pack("<I", (1 << 32) - 1) + bytes(40), 1)),
    ("x.gguf", "GGUF: no dimensions", gguf(tensor("a", [], 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: an extent of 0", gguf(tensor("a", [0], 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: an extent of 2^64 - 1", gguf(tensor("a", [(1 << 64) - 1], 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: 2^62 numbers of 4 bytes", gguf(tensor("a", [1 << 62], 0, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: an offset that wraps around", gguf(tensor("a", [16], 0, (1 << 64) - 32), 1, data=bytes(64))),
    ("x.gguf", "GGUF: an offset off the alignment", gguf(tensor("a", [4], 0, 4), 1, data=bytes(64))),
    ("x.gguf", "GGUF: a tensor twice", gguf(tensor("a", [8], 0, 0) + tensor("a", [8], 0, 32), 2, data=bytes(64))),
    ("x.gguf", "GGUF: nothing behind the magic", b"GGUF"),
    ("x.gguf", "GGUF: a type nobody gave out", gguf(tensor("a", [32], 77, 0), 1, data=bytes(64))),
    ("x.gguf", "GGUF: big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)),
    ("x.safetensors", "safetensors: a header of 2^60 bytes", struct.pack("<Q", 1 << 60) + b"{}"),
    ("x.safetensors", "safetensors: a header longer than the file", struct.pack("<Q", 1 << 20) + b"{}"),
    ("x.safetensors", "safetensors: a header of 2^64 - 1 bytes", b"\xff" * 8 + b"{}"),
    ("x.safetensors", "safetensors: shorter than its length", b"\x02\0\0"),
    ("x.safetensors", "safetensors: no JSON", safetensors(b"[}")),
    ("x.safetensors", "safetensors: an array for a header", safetensors(b"[]")),
    ("x.safetensors", "safetensors: bytes that are no UTF-8", safetensors(b'{"\xff\xfe":{}}')),
    ("x.safetensors", "safetensors: 100,000 nested brackets", safetensors(b'{"a":' + b"[" * 100000)),
    ("x.safetensors", "safetensors: a key twice",
     safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],'
                 b'"data_offsets":[0,4]}}', bytes(4))),
    ("x.safetensors", "safetensors: a negative extent", safetensors({"a": entry([-1], 0, 4)}, bytes(4))),
    ("x.safetensors", "safetensors: a shape that overflows",
     safetensors({"a": entry([1 << 32, 1 << 32, 1 << 32], 0, 4)}, bytes(4))),
    ("x.safetensors", "safetensors: a shape of 2^62 numbers", safetensors({"a": entry([1 << 62], 0, 0)})),
    ("x.safetensors", "safetensors: an extent of 1e300",
     safetensors(b'{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}', bytes(4))),
    ("x.safetensors", "safetensors: 9 dimensions", safetensors({"a": entry([1] * 9, 0, 4)}, bytes(4))),
    ("x.safetensors", "safetensors: a negative offset", safetensors({"a": entry([1], -4, 0)}, bytes(4))),
    ("x.safetensors", "safetensors: an end before the begin", safetensors({"a": entry([1], 4, 0)}, bytes(4))),
    ("x.safetensors", "safetensors: offsets beyond the file", safetensors({"a": entry([1 << 40], 0, 1 << 42)}, bytes(4))),
    ("x.safetensors", "safetensors: tensors over each other",
     safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12))),
    ("x.safetensors", "safetensors: metadata of numbers", safetensors({"__metadata__": {"a": 1}})),
    ("x.safetensors", "safetensors: more data than shape", safetensors({"a": entry([1], 0, 8)}, bytes(8))),
    ("x.safetensors", "safetensors: a gap", safetensors({"a": entry([1], 4, 8)}, bytes(8))),
    ("x.safetensors", "safetensors: a rest", safetensors({"a": entry([1], 0, 4)}, bytes(8))),
    ("x.safetensors", "safetensors: an unknown dtype", safetensors({"a": entry([1], 0, 4, "F3")}, bytes(4))),
    ("x.safetensors.index.json", "index: a shard outside the folder",
     b'{"weight_map": {"a": "../../etc/passwd"}}'),
    ("x.safetensors.index.json", "index: an absolute shard", b'{"weight_map": {"a": "/etc/passwd"}}'),
    ("x.safetensors.index.json", "index: a shard named ..", b'{"weight_map": {"a": ".."}}'),
    ("x.safetensors.index.json", "index: a shard behind a backslash and a NUL",
     b'{"weight_map": {"a": "b\\u0000/../c"}}'),
    ("x.safetensors.index.json", "index: a shard that is a number", b'{"weight_map": {"a": 1}}'),
    ("x.safetensors.index.json", "index: a shard that is missing", b'{"weight_map": {"a": "missing.safetensors"}}'),
    ("x.safetensors.index.json", "index: a shard that is a folder", b'{"weight_map": {"a": "empty"}}'),
    ("x.safetensors.index.json", "index: a tensor twice", b'{"weight_map": {"a": "b", "a": "c"}}'),
    ("x.safetensors.index.json", "index: 100,000 nested brackets", b'{"weight_map":' + b"[" * 100000),
    ("x.safetensors.index.json", "index: no map", b"{}"),
    ("x.irpa", "IRPA: 2^60 entries", irpa(irpa_entry(), 1 << 60)),
    ("x.irpa", "IRPA: a segment beyond the file", irpa(irpa_entry())[:-1]),
    ("x.irpa", "IRPA: another version", irpa(irpa_entry(), version=1)),
    ("x.irpa", "IRPA: a chain of headers", irpa(irpa_entry(), next_header=128)),
    ("x.irpa", "IRPA: an entry of no bytes", irpa(irpa_entry(size=0))),
    ("x.irpa", "IRPA: a name of 2^63 bytes", irpa(irpa_entry(name=(0, 1 << 63)))),
    ("x.irpa", "IRPA: data beyond the storage", irpa(irpa_entry(data=(1, 4)))),
    ("x.irpa", "IRPA: a shape that overflows", irpa(irpa_entry(facts=(1, len(FACTS))), names=b"a" + FACTS)),
    ("x.irpa", "IRPA: a name twice", irpa(irpa_entry() + bytes(4) + irpa_entry(), 2)),
    ("x.irpa", "IRPA: names over each other", irpa(
        b"".join(irpa_entry(name=(0, 500 - i)) + bytes(4) for i in range(400)), 400, b"a" * 500)),
    ("x.irpa", "IRPA: a splat", irpa(irpa_entry(kind=1))),
    ("x.irpa", "IRPA: another file", irpa(irpa_entry(kind=3))),
]


def packed(change):
    """A GPTQ checkpoint of one layer with a defect."""
    numpy = checkpoints["numpy"]
    tensors = {"m.qweight": numpy.zeros((4, 32), numpy.int32), "m.qzeros": numpy.zeros((1, 4), numpy.int32),
               "m.scales": numpy.zeros((1, 32), numpy.float16), "m.g_idx": numpy.zeros(32, numpy.int32)}
    change(tensors, numpy)
    path = os.path.join(folder, "packed")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "config.json"), "w") as file:
        file.write('{"quantization_config": {"quant_method": "gptq", "bits": 4}}')
    checkpoints["write"](os.path.join(path, "model.safetensors"), tensors)
    return path


PACKED = [
    ("GPTQ: scales are missing", lambda t, n: t.pop("m.scales")),
    ("GPTQ: g_idx beyond the groups", lambda t, n: t.update({"m.g_idx": n.full(32, 9, n.int32)})),
    ("GPTQ: g_idx of another length", lambda t, n: t.update({"m.g_idx": n.zeros(31, n.int32)})),
    ("GPTQ: codes of another width", lambda t, n: t.update({"m.qweight": n.zeros((4, 31), n.int32)})),
    ("GPTQ: codes as floats", lambda t, n: t.update({"m.qweight": n.zeros((4, 32), n.float32)})),
]

DESCRIPTION = json.dumps({"version": 1})
STATISTICS = [
    ("statistics: no description", safetensors({"a": entry([1], 0, 4)}, bytes(4))),
    ("statistics: no checksums", safetensors({"__metadata__": {"cq.statistics": DESCRIPTION}, "a": entry([1], 0, 4)}, bytes(4))),
    ("statistics: another checksum", safetensors(
        {"__metadata__": {"cq.statistics": DESCRIPTION}, "checksums": entry([1], 0, 8, "I64")}, bytes(8))),
]


def vocabulary(**model):
    return json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], **model},
                       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}).encode()


TOKENIZERS = [
    ("tokenizer: an id of 2^62", vocabulary(vocab={"a": 1 << 62})),
    ("tokenizer: a merge of no tokens", vocabulary(merges=["a c"])),
    ("tokenizer: another kind", vocabulary(type="WordPiece")),
    ("tokenizer: 100,000 nested brackets", b'{"model":' + b"[" * 100000),
    ("tokenizer: 2^30 tokens in GGUF", gguf(pairs=string("tokenizer.ggml.model") + struct.pack("<I", 8) + string("llama")
                                           + string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1 << 30), pair_count=2)),
    ("tokenizer: a token of 2^31 bytes in llama2.c", struct.pack("<Ifi", 5, 0, (1 << 31) - 1) + b"abc"),
]


checkpoints["layers"].__globals__.update(WIDTH=64, HIDDEN=64, BLOCKS=1, HEADS=2, KV=1, VOCABULARY=8)
OTHERS = [{"weight": name, "shape": [n, k], "keep": True} for name, n, k in
          [(layer + ".weight", n, k) for layer, n, k in checkpoints["layers"]()]
          + [("model.embed_tokens.weight", 8, 64), ("lm_head.weight", 8, 64)] if "down_proj" not in name]
PLANNED = {"weight": "model.layers.0.mlp.down_proj.weight", "shape": [64, 64], "scheme": "b3-g64-symmetric-f16",
           "quantizer": "rtn", "layout": "panel16"}


def plan(entries=1, version=3, **fields):
    entry = {name: value for name, value in {**PLANNED, **fields}.items() if value is not None}
    return json.dumps({"cq_plan": version, "weights": [entry] * entries + OTHERS}).encode()


SLOT = {"form": "slot", "count": 1, "criterion": "magnitude"}
PLANS = [
    ("plan: no plan", b"{}"),
    ("plan: no JSON", b'{"cq_plan": 3,'),
    ("plan: 100,000 nested brackets", b'{"cq_plan":' + b"[" * 100000),
    ("plan: a field twice", b'{"cq_plan": 3, "cq_plan": 3, "weights": []}'),
    ("plan: another version", plan(version=1 << 40)),
    ("plan: weights that are no list", b'{"cq_plan": 3, "weights": 1}'),
    ("plan: an unknown field", plan(bitz=3)),
    ("plan: a weight twice", plan(entries=2)),
    ("plan: a weight the model lacks", plan(weight="another")),
    ("plan: another shape", plan(shape=[64, 128])),
    ("plan: a shape of 2^62", plan(shape=[1 << 62, 1 << 62])),
    ("plan: a negative extent", plan(shape=[-64, 64])),
    ("plan: no scheme", plan(scheme=None)),
    ("plan: 2^40 bits", plan(scheme="b1099511627776-g64")),
    ("plan: groups of 0", plan(scheme="b3-g0")),
    ("plan: an unknown quantizer", plan(quantizer="magic")),
    ("plan: an unknown layout", plan(layout="panel17")),
    ("plan: -1 cherries", plan(cherries={**SLOT, "count": -1})),
    ("plan: 2^31 cherries", plan(cherries={**SLOT, "form": "element", "count": 1 << 31})),
    ("plan: 1e300 cherries", plan(cherries={**SLOT, "count": 1e300})),
    ("plan: 2^30 wide rows", plan(wide_rows={"count": 1 << 30, "bits": 4})),
    ("plan: wide rows of fewer bits", plan(wide_rows={"count": 16, "bits": 3})),
    ("plan: a bad curve", json.dumps({"cq_plan": 3, "weights": [PLANNED], "decision": {
        "method": "exact", "loss": "x", "budget": 1, "bytes": 1, "other_bytes": 0, "predicted_loss": 0, "price": 0,
        "curve": [[1]]}}).encode()),
    ("plan: a budget of -1", json.dumps({"cq_plan": 3, "weights": [PLANNED], "decision": {
        "method": "exact", "loss": "x", "budget": -1, "bytes": 1, "other_bytes": 0, "predicted_loss": 0,
        "price": 0}}).encode()),
]


def show(what, path, *command):
    name = os.path.relpath(path, folder)
    command = [part.replace("FILE", name) for part in command] or ["inspect", name]
    result = subprocess.run([cq, *command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1, (what, result)
    sentence = result.stderr.replace("cq: error: ", "").strip()
    if sentence.startswith("loc("):  # a pass speaks: at which op, and what that ended
        sentence = sentence.split(" error: ", 1)[1].splitlines()[0]
    assert "\n" not in sentence, (what, sentence)
    print(f"| {what} | {sentence} |")


for name, what, data in CASES:
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    show(what, path)
# Lengths of headers that begin like JSON are sound all the same.
for length in (123, 379, 31520):
    with open(os.path.join(folder, "sound.safetensors"), "wb") as file:
        file.write(safetensors(json.dumps({"a": entry([1], 0, 4)}).encode().ljust(length), bytes(4)))
    subprocess.run([cq, "inspect", os.path.join(folder, "sound.safetensors")], check=True, capture_output=True)
for what, change in PACKED:
    show(what, packed(change))
for what, data in STATISTICS:
    path = os.path.join(folder, "x.stats")
    with open(path, "wb") as file:
        file.write(data)
    show(what, path, "stats", "show", "FILE")
random = checkpoints["numpy"].random.default_rng(1)
tensors = checkpoints["others"](random, "float32")
for name, n, k in checkpoints["layers"]():
    tensors[name + ".weight"] = random.normal(0, 1, (n, k)).astype("float32")
checkpoints["save"](os.path.join(folder, "plain"), tensors)
subprocess.run([cq, "import", "plain", "-o", "plain.mlir"], cwd=folder, check=True, capture_output=True)
for what, data in PLANS:
    path = os.path.join(folder, "x.plan.json")
    with open(path, "wb") as file:
        file.write(data)
    show(what, path, "quantize", "plain.mlir", "--plan=FILE", "-o", "quantized")
assert not os.path.exists(os.path.join(folder, "quantized"))
for what, data in TOKENIZERS:
    path = os.path.join(folder, "x.bin" if "llama2.c" in what else "x.gguf" if "GGUF" in what else "x.json")
    with open(path, "wb") as file:
        file.write(data)
    show(what, path, "import", "plain", "--tokenizer=FILE", "-o", "plain.mlir")
