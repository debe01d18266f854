"""Tiny Llama checkpoints for tests, and an independent reader of packed ones (NumPy).

  checkpoints.py plain DIR             F32 weights, sizes that every form can hold
  checkpoints.py gptq|awq|compressed DIR [symmetric] [order]
                                       random codes, as those programs write them
  checkpoints.py digests DIR           SHA-256 of each tensor's values, like
                                       `cq inspect --digests`, sorted by name
  checkpoints.py planes A B            planes that differ between two folders of cq
"""
import hashlib
import json
import os
import sys

import numpy

TYPES = {"F32": numpy.float32, "F16": numpy.float16, "I32": numpy.int32, "I64": numpy.int64, "U8": numpy.uint8,
         "U16": numpy.uint16, "I8": numpy.int8}
WIDTH, HIDDEN, BLOCKS, HEADS, KV, VOCABULARY = 256, 512, 2, 4, 2, 320


def write(path, tensors):
    names = {numpy.dtype(t): n for n, t in TYPES.items()}
    header, position = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(numpy.ascontiguousarray(array).tobytes())


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, info in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            tensors[name] = numpy.frombuffer(data[8 + size + begin : 8 + size + end],
                                             TYPES[info["dtype"]]).reshape(info["shape"])
    return tensors


def layers():
    kv = WIDTH // HEADS * KV
    for block in range(BLOCKS):
        for name, n, k in (("self_attn.q_proj", WIDTH, WIDTH), ("self_attn.k_proj", kv, WIDTH),
                           ("self_attn.v_proj", kv, WIDTH), ("self_attn.o_proj", WIDTH, WIDTH),
                           ("mlp.gate_proj", HIDDEN, WIDTH), ("mlp.up_proj", HIDDEN, WIDTH),
                           ("mlp.down_proj", WIDTH, HIDDEN)):
            yield f"model.layers.{block}.{name}", n, k


def others(random, kind):
    tensors = {"model.embed_tokens.weight": random.normal(0, 0.1, (VOCABULARY, WIDTH)),
               "lm_head.weight": random.normal(0, 0.1, (VOCABULARY, WIDTH)),
               "model.norm.weight": numpy.ones(WIDTH)}
    for block in range(BLOCKS):
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{block}.{name}.weight"] = random.uniform(0.5, 1.5, WIDTH)
    return {name: array.astype(kind) for name, array in tensors.items()}


def save(folder, tensors, quantization=None):
    os.makedirs(folder, exist_ok=True)
    config = {"model_type": "llama", "hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": BLOCKS,
              "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": VOCABULARY,
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
    if quantization:
        config["quantization_config"] = quantization
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    write(os.path.join(folder, "model.safetensors"), tensors)


def pack(codes, bits):
    """[rows, count] -> [rows, words]: bit i of a code at bit i of a little-endian stream."""
    spread = (codes[..., None] >> numpy.arange(bits)) & 1
    stream = spread.reshape(codes.shape[0], -1)
    stream = numpy.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    return numpy.packbits(stream.astype(numpy.uint8), axis=1, bitorder="little").view(numpy.int32)


def unpack(words, bits, count):
    stream = numpy.unpackbits(numpy.ascontiguousarray(words).view(numpy.uint8), axis=1, bitorder="little")
    stream = stream[:, : count * bits].reshape(words.shape[0], count, bits)
    return (stream.astype(numpy.int32) << numpy.arange(bits)).sum(-1)


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def make_packed(folder, form, symmetric, order, bits, group):
    random = numpy.random.default_rng(bits)
    tensors = others(random, numpy.float16)
    for name, n, k in layers():
        groups = k // group
        codes = random.integers(1, 1 << bits, (n, k))
        zeros = numpy.full((n, groups), 1 << (bits - 1)) if symmetric else random.integers(1, 1 << bits, (n, groups))
        scales = random.uniform(0.001, 0.01, (n, groups)).astype(numpy.float16)
        if form == "gptq":
            tensors[name + ".qweight"] = pack(codes, bits).T.copy()
            tensors[name + ".qzeros"] = pack((zeros - 1).T, bits)
            tensors[name + ".scales"] = scales.T.copy()
            index = numpy.arange(k) // group
            tensors[name + ".g_idx"] = (random.permutation(index) if order else index).astype(numpy.int32)
            tensors[name + ".bias"] = numpy.zeros(n, numpy.float16)
            if name.split(".")[-1] in ("q_proj", "k_proj", "v_proj"):
                del tensors[name + ".bias"]
        elif form == "awq":
            mixed = lambda a: a.reshape(a.shape[0], -1, 8)[..., AWQ_ORDER].reshape(a.shape)
            tensors[name + ".qweight"] = pack(mixed(codes.T), 4)
            tensors[name + ".qzeros"] = pack(mixed(zeros.T), 4)
            tensors[name + ".scales"] = scales.T.copy()
        else:
            tensors[name + ".weight_packed"] = pack(codes, bits)
            tensors[name + ".weight_scale"] = scales
            tensors[name + ".weight_shape"] = numpy.array([n, k], numpy.int64)
            if not symmetric:
                tensors[name + ".weight_zero_point"] = pack(zeros.T, bits).T.copy()
    quantization = {"gptq": {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order},
                    "awq": {"quant_method": "awq", "bits": bits, "group_size": group, "version": "gemm"},
                    "compressed": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}[form]
    save(folder, tensors, quantization)


def decode(folder):
    """Values of every tensor of a checkpoint in any form, by its published layout."""
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file).get("quantization_config", {})
    minus_one = config.get("checkpoint_format", "gptq") == "gptq"
    tensors, values = read(os.path.join(folder, "model.safetensors")), {}
    parts = ("qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_shape",
             "weight_zero_point", "bias")
    for name, array in tensors.items():
        module, suffix = name.rsplit(".", 1)
        part = lambda s: tensors[f"{module}.{s}"]
        if suffix == "qweight":
            scales = part("scales").T.astype(numpy.float32)
            n, groups = scales.shape
            if config["quant_method"] == "awq":
                bits, k = 4, array.shape[0]
                inverse = numpy.argsort(AWQ_ORDER)
                plain = lambda a: unpack(a, 4, n).reshape(len(a), -1, 8)[..., inverse].reshape(len(a), n).T
                codes, zeros = plain(array), plain(part("qzeros"))
            else:
                bits = part("qzeros").shape[1] * 32 // n
                k = array.shape[0] * 32 // bits
                codes = unpack(array.T, bits, k)
                zeros = unpack(part("qzeros"), bits, n).T + (1 if minus_one else 0)
            index = tensors.get(module + ".g_idx", numpy.arange(k) // (k // groups))
            values[module + ".weight"] = scales[:, index] * (codes - zeros[:, index]).astype(numpy.float32)
        elif suffix == "weight_packed":
            n, k = part("weight_shape")
            bits = next(b for b in (2, 3, 4, 5, 6, 8) if (k * b + 31) // 32 == array.shape[1])
            scales = part("weight_scale").astype(numpy.float32)
            groups = scales.shape[1]
            zeros = numpy.full((n, groups), 1 << (bits - 1))
            if module + ".weight_zero_point" in tensors:
                zeros = unpack(part("weight_zero_point").T, bits, n).T
            index = numpy.arange(k) // (k // groups)
            values[module + ".weight"] = scales[:, index] * (unpack(array, bits, k) - zeros[:, index]).astype(
                numpy.float32)
        elif suffix not in parts:
            values[name] = array.astype(numpy.float32)
    return values


def main():
    command, folder, *rest = sys.argv[1:]
    if command == "plain":
        random = numpy.random.default_rng(1)
        tensors = others(random, numpy.float32)
        for name, n, k in layers():
            tensors[name + ".weight"] = random.normal(0, 0.05, (n, k)).astype(numpy.float32)
        save(folder, tensors)
    elif command == "digests":
        for name, array in sorted(decode(folder).items()):
            print(f"{hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()}  {name}")
    elif command == "planes":
        a, b = (read(os.path.join(path, "model.safetensors")) for path in (folder, rest[0]))
        names = [name for name in a if ":" in name and name in b]
        for name in names:
            if a[name].tobytes() != b[name].tobytes():
                print(f"differs: {name}")
        print(f"{len(names)} planes compared")
    else:
        bits = int(next((r for r in rest if r.isdigit()), 4))
        make_packed(folder, command, "symmetric" in rest, "order" in rest, bits, 64)


if __name__ == "__main__":
    main()
