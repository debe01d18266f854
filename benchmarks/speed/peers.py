#!/usr/bin/env python3
"""Products of cq beside ggml's and onnxruntime's, in turn, in one run.

    python3 -m venv venv && venv/bin/pip install numpy onnx onnxruntime llama-cpp-python
    venv/bin/python benchmarks/speed/peers.py --cq build/bin/cq --shape 4096x14336 --tokens 1,8 --threads 1,2

ggml is called through its C API: the libraries of llama-cpp-python, or those in --ggml
(a folder with libggml-base.so and libggml-cpu.so). A peer that is absent is named as such.
All weights rotate over 256 MB, or with --resident are one that stays in cache. A product
includes what the peer does with its activations.
ggml's weights lie as in GGUF files: its repacked Q4_0 (a buffer type of llama.cpp's) is
not measured here. Times are medians of --rounds.
"""
import argparse
import ctypes
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROTATING = 256 << 20
RESIDENT = False
GGML_TYPES = {"Q2_K": 10, "Q3_K": 11, "Q4_0": 2, "Q4_K": 12}


def find_ggml(folder):
    """The folder of ggml's libraries, or None."""
    if folder:
        return folder
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.origin:
        return None
    lib = os.path.join(os.path.dirname(spec.origin), "lib")
    return lib if os.path.exists(os.path.join(lib, "libggml-cpu.so")) else None


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Ggml:
    def __init__(self, folder):
        flags = ctypes.RTLD_GLOBAL
        self.base = ctypes.CDLL(os.path.join(folder, "libggml-base.so"), flags)
        self.cpu = ctypes.CDLL(os.path.join(folder, "libggml-cpu.so"), flags)
        p, i64, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
        for lib, name, result, arguments in (
            (self.base, "ggml_init", p, [InitParams]),
            (self.base, "ggml_free", None, [p]),
            (self.base, "ggml_new_tensor_2d", p, [p, ctypes.c_int, i64, i64]),
            (self.base, "ggml_mul_mat", p, [p, p, p]),
            (self.base, "ggml_new_graph", p, [p]),
            (self.base, "ggml_build_forward_expand", None, [p, p]),
            (self.base, "ggml_get_data", p, [p]),
            (self.base, "ggml_row_size", size, [ctypes.c_int, i64]),
            (self.base, "ggml_quantize_chunk", size, [ctypes.c_int, p, p, i64, i64, i64, p]),
            (self.cpu, "ggml_graph_compute_with_ctx", ctypes.c_int, [p, p, ctypes.c_int]),
            (self.cpu, "ggml_cpu_init", None, []),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self.cpu.ggml_cpu_init()


class Rotation:
    """How many products a peer's graph has, and how many weights they take turns with."""

    def __init__(self, weight_bytes):
        self.products = 1 + ROTATING // weight_bytes
        self.weights = 1 if RESIDENT else self.products


class GgmlProduct:
    """All products with one x in one graph: threads start once a graph."""

    def __init__(self, ggml, kind, n, k, m, np):
        self.ggml, kind_id = ggml, GGML_TYPES[kind]
        row = ggml.base.ggml_row_size(kind_id, k)
        self.bytes = row * n
        rotation = Rotation(self.bytes)
        self.products = rotation.products
        memory = rotation.weights * self.bytes + self.products * 4 * m * n + 4 * m * k * 4 + (64 << 20)
        self.context = ggml.base.ggml_init(InitParams(memory, None, False))
        rng = np.random.default_rng(1)
        w = rng.standard_normal((n, k), dtype=np.float32)
        packed = np.empty(self.bytes, dtype=np.uint8)
        ggml.base.ggml_quantize_chunk(kind_id, w.ctypes.data, packed.ctypes.data, 0, n, k, None)
        x = ggml.base.ggml_new_tensor_2d(self.context, 0, k, m)
        values = rng.standard_normal((m, k), dtype=np.float32)
        ctypes.memmove(ggml.base.ggml_get_data(x), values.ctypes.data, values.nbytes)
        self.graph = ggml.base.ggml_new_graph(self.context)
        for i in range(self.products):
            if i < rotation.weights:
                t = ggml.base.ggml_new_tensor_2d(self.context, kind_id, k, n)
                ctypes.memmove(ggml.base.ggml_get_data(t), packed.ctypes.data, self.bytes)
            ggml.base.ggml_build_forward_expand(self.graph, ggml.base.ggml_mul_mat(self.context, t, x))

    def run(self, threads):
        start = time.perf_counter()
        status = self.ggml.cpu.ggml_graph_compute_with_ctx(self.context, self.graph, threads)
        if status != 0:
            sys.exit(f"peers: ggml_graph_compute_with_ctx failed with {status}")
        return (time.perf_counter() - start) / self.products

    def close(self):
        self.ggml.base.ggml_free(self.context)


class OrtProduct:
    """MatMulNBits, 4 bits, blocks of 128, int8 activations (accuracy level 4)."""

    def __init__(self, n, k, m, threads, np):
        import onnx
        import onnxruntime as ort
        from onnx import TensorProto, helper, numpy_helper

        block = 128
        groups = (k + block - 1) // block
        self.bytes = n * groups * (block // 2 + 4)
        rotation = Rotation(self.bytes)
        self.products = rotation.products
        rng = np.random.default_rng(1)
        codes = rng.integers(0, 256, (n, groups, block // 2), dtype=np.uint8)
        scales = np.full(n * groups, 0.01, dtype=np.float32)
        nodes, initializers, inputs, outputs = [], [], [], []
        for w in range(rotation.weights):
            initializers += [numpy_helper.from_array(codes, f"b{w}"), numpy_helper.from_array(scales, f"s{w}")]
        for i in range(self.products):
            w = i % rotation.weights
            # Each has an x of its own: equal nodes would be run once.
            nodes.append(helper.make_node("MatMulNBits", [f"x{i}", f"b{w}", f"s{w}"], [f"y{i}"], domain="com.microsoft",
                                          K=k, N=n, bits=4, block_size=block, accuracy_level=4))
            inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [m, k]))
            outputs.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [m, n]))
        graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 9
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        x = rng.standard_normal((m, k), dtype=np.float32)
        self.feeds = {f"x{i}": x for i in range(self.products)}

    def run(self, _threads):
        start = time.perf_counter()
        self.session.run(None, self.feeds)
        return (time.perf_counter() - start) / self.products

    def close(self):
        pass


class CqProduct:
    def __init__(self, cq, scheme, n, k, m):
        self.command = [cq, "bench", f"--shapes={n}x{k}", f"--schemes={scheme}", f"--tokens={m}",
                        f"--memory={'resident' if RESIDENT else 'rotating'}", "--rounds=1", "--seconds=0.1"]

    def run(self, threads):
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run(self.command + [f"--threads={threads}", f"--json={out.name}"], check=True,
                           stdout=subprocess.DEVNULL)
            result = json.load(open(out.name))["results"][0]
        self.bytes, self.reads = result["weight_bytes"], result["read_bandwidth"]
        return result["median_s"]

    def close(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cq", default="cq")
    parser.add_argument("--ggml", help="folder of libggml-base.so and libggml-cpu.so")
    parser.add_argument("--shape", default="4096x14336")
    parser.add_argument("--tokens", default="1,8")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--schemes", default="b2-g128,b3-g128,b4-g128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rotate-mb", type=int, default=256,
                        help="weights of peers in turn; for many tokens, where memory does not matter, a few are enough")
    parser.add_argument("--resident", action="store_true",
                        help="one weight that stays in cache (choose a --shape that fits), as many products as otherwise")
    parser.add_argument("--json")
    args = parser.parse_args()
    global ROTATING, RESIDENT
    ROTATING, RESIDENT = args.rotate_mb << 20, args.resident
    try:
        import numpy as np
    except ImportError:
        sys.exit("peers: numpy is missing; pip install numpy")
    n, k = map(int, args.shape.split("x"))
    folder = find_ggml(args.ggml)
    ggml = Ggml(folder) if folder else None
    if not ggml:
        print("ggml: absent (pip install llama-cpp-python, or --ggml FOLDER)")
    has_ort = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    if not has_ort:
        print("onnxruntime: absent (pip install onnx onnxruntime)")
    results = []
    for m in map(int, args.tokens.split(",")):
        for threads in map(int, args.threads.split(",")):
            products = {f"cq {s}": CqProduct(args.cq, s, n, k, m) for s in args.schemes.split(",")}
            if ggml and k % 256 == 0:
                products.update({f"ggml {t}": GgmlProduct(ggml, t, n, k, m, np) for t in GGML_TYPES})
            if has_ort:
                products["ort MatMulNBits b4-g128"] = OrtProduct(n, k, m, threads, np)
            samples = {name: [] for name in products}
            for product in products.values():
                product.run(threads)  # compiles, touches memory
            for _ in range(args.rounds):
                for name, product in products.items():
                    samples[name].append(product.run(threads))
            reads = next(iter(products.values())).reads
            print(f"\n{n}x{k}, M = {m}, {threads} thread(s), {'resident, ' if RESIDENT else ''}plain reads {reads * 1e-9:.1f} GB/s, "
                  f"{args.rounds} rounds in turn\n{'':26}{'bpw':>6}{'median us':>11}{'best us':>10}{'Gw/s':>8}{'GB/s':>7}{'GMAC/s':>9}")
            for name, product in products.items():
                median, best = statistics.median(samples[name]), min(samples[name])
                print(f"{name:26}{8 * product.bytes / n / k:6.3f}{median * 1e6:11.0f}{best * 1e6:10.0f}"
                      f"{n * k / median * 1e-9:8.1f}{product.bytes / median * 1e-9:7.1f}{n * k * m / median * 1e-9:9.1f}")
                results.append(dict(name=name, n=n, k=k, m=m, threads=threads, median_s=median, best_s=best,
                                    samples=samples[name], bytes=product.bytes))
                product.close()
            sys.stdout.flush()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
