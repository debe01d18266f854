#!/usr/bin/env python3
"""Our products on an NVIDIA GPU beside humming-kernels and torch's 4-bit product, in one run.

    python3 -m venv venv && venv/bin/pip install torch humming-kernels    # humming needs nvcc too
    venv/bin/python benchmarks/speed/device_peers.py --run "./cq-device-run" -o peers.json --plot peers.svg

--run is a command that prints results as cq-device-run does (in the folder of a bundle), or
--results a file of it or of `cq bench --target=cuda --json`; run it just before, on the same
machine: ratios of two runs mean nothing. For each shape, width and number of tokens of the
results the fastest kernel stands for us. Peers: humming W<bits>A16 in f16 at 2 to 8 bits and
torch._weight_int4pack_mm in bf16 at 4, groups of 128, graph replays over copies of the weight
(--rotate-bytes in all, beyond any L2), as cq-device-run does. A peer that is not installed, or
fails, is named with its reason. cuBLAS is in the results already. Humming chooses its own kernels.
"""
import argparse
import json
import math
import subprocess
import sys

GROUP = 128


def best_results(results):
    """{(n, k, bits, m): line} of the fastest kernel without cherries of each product."""
    best = {}
    for line in results.get("benchmarks") or results.get("results") or []:
        name = line["kernel"]
        if any(form in name for form in ("_slot", "_element", "_column")):
            continue
        bits = line.get("bits") or int(name.split("_b")[1].split("_")[0])
        key = (line["n"], line["k"], bits, line["m"])
        if key not in best or line["microseconds"] < best[key]["microseconds"]:
            best[key] = line
    return best


def replay_microseconds(torch, calls, rounds=7):
    """Of one call: the fastest of some replays of a graph of all of them."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:  # compiles and allocates
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / len(calls))
    return min(times[1:])


class Humming:
    name = "humming"

    def __init__(self, torch):
        from humming.layer import HummingLayer
        self.torch, self.layer = torch, HummingLayer
        self.made = (None, [])

    def takes(self, bits):
        return bits <= 8

    def calls(self, n, k, bits, m, copies):
        torch = self.torch
        if self.made[0] != (n, k, bits):
            self.made = (None, [])
            torch.cuda.empty_cache()
            weight = torch.randn((n, k), dtype=torch.float16, device="cuda")
            layers = []
            for _ in range(copies):
                layer = self.layer(shape_n=n, shape_k=k, torch_dtype=torch.float16,
                                   weight_config={"dtype": f"int{bits}", "group_size": GROUP}).cuda()
                layer.load_from_unquantized(weight)
                layer.transform()
                layers.append(layer)
            self.made = ((n, k, bits), layers)
        x = torch.randn((m, k), dtype=torch.float16, device="cuda")
        return [lambda layer=layer: layer(x) for layer in self.made[1]]


class TorchInt4:
    name = "torch_int4pack"

    def __init__(self, torch):
        self.torch = torch
        self.product = torch._weight_int4pack_mm
        self.pack = torch._convert_weight_to_int4pack

    def takes(self, bits):
        return bits == 4

    def calls(self, n, k, bits, m, copies):
        torch = self.torch
        weights = []
        for _ in range(copies):
            codes = torch.randint(0, 256, (n, k // 2), dtype=torch.uint8, device="cuda")
            try:
                weights.append(self.pack(codes, 8))
            except RuntimeError:  # before torch 2.5: a code an element
                weights.append(self.pack(torch.randint(0, 16, (n, k), dtype=torch.int32, device="cuda"), 8))
        scales = torch.rand((k // GROUP, n, 2), dtype=torch.bfloat16, device="cuda")
        x = torch.randn((m, k), dtype=torch.bfloat16, device="cuda")
        return [lambda w=w: self.product(x, w, GROUP, scales) for w in weights]


def open_peers():
    """Peers that can run, and {name: why not} of the others."""
    peers, absent = [], {}
    try:
        import torch
        if not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device")
    except Exception as why:  # noqa: BLE001: whatever is wrong is said
        return [], {kind.name: str(why) for kind in (Humming, TorchInt4)}
    for kind in (Humming, TorchInt4):
        try:
            peers.append(kind(torch))
        except Exception as why:  # noqa: BLE001
            absent[kind.name] = str(why)
    return peers, absent


def write_plot(path, rows):
    """Microseconds over tokens, both logarithmic; one line for each shape, width and side."""
    curves = {}
    for row in rows:
        where = f"{row['n']}x{row['k']} W{row['bits']}"
        for side in ("cq", "humming", "torch_int4pack", "cublas_bf16"):
            if row.get(side):
                curves.setdefault(f"{where} {side}", []).append((row["m"], row[side]))
    points = [p for curve in curves.values() for p in curve]
    if not points:
        return
    (left, right), (low, high) = ((min(v), max(v) * 1.01) for v in zip(*points))
    scale = lambda v, a, b, x, y: x + (y - x) * math.log(v / a) / math.log(b / a)
    text = ['<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="480" font-size="11">']
    for i, (name, curve) in enumerate(sorted(curves.items())):
        at = " ".join(f"{scale(m, left, right, 50, 720):.1f},{scale(us, low, high, 450, 20):.1f}" for m, us in sorted(curve))
        colour = f"hsl({360 * i // len(curves)},70%,40%)"
        text.append(f'<polyline fill="none" stroke="{colour}" points="{at}"/>'
                    f'<text x="730" y="{20 + 14 * i}" fill="{colour}">{name}</text>')
    text.append(f'<text x="50" y="470">microseconds {low:.1f} to {high:.1f} over {left} to {max(r["m"] for r in rows)} tokens</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(text) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="command that prints our results as JSON")
    parser.add_argument("--results", help="file of them")
    parser.add_argument("--rotate-bytes", type=int, default=400 << 20)
    parser.add_argument("-o", "--output", help="JSON")
    parser.add_argument("--plot", help="SVG")
    args = parser.parse_args()
    if bool(args.run) == bool(args.results):
        parser.error("name --run or --results")
    if args.run:
        results = json.loads(subprocess.run(args.run, shell=True, check=True, stdout=subprocess.PIPE).stdout)
    else:
        with open(args.results) as f:
            results = json.load(f)
    peers, absent = open_peers()
    for name, why in absent.items():
        print(f"{name}: absent: {why}", file=sys.stderr)
    rows = []
    for (n, k, bits, m), line in sorted(best_results(results).items()):
        row = {"n": n, "k": k, "bits": bits, "m": m, "kernel": line["kernel"], "cq": line["microseconds"],
               "cublas_bf16": line.get("cublas_bf16_microseconds")}
        copies = args.rotate_bytes // (n * k * bits // 8) + 2
        for peer in peers:
            if not peer.takes(bits):
                continue
            try:
                import torch
                row[peer.name] = replay_microseconds(torch, peer.calls(n, k, bits, m, copies))
            except Exception as why:  # noqa: BLE001: one shape may not be theirs
                row[peer.name + "_failed"] = str(why)[:300]
        for side in ("humming", "torch_int4pack", "cublas_bf16"):
            if row.get(side):
                row["times_" + side] = row[side] / row["cq"]
        rows.append(row)
        print(f"{n}x{k} W{bits} M={m}: cq {row['cq']:.2f} us" + "".join(
            f", {row['times_' + s]:.2f} x {s}" for s in ("humming", "torch_int4pack", "cublas_bf16") if row.get(s)))
    if args.output:
        with open(args.output, "w") as f:
            json.dump({"device": results.get("device"), "copy_bytes_per_second": results.get("copy_bytes_per_second"),
                       "absent": absent, "rows": rows}, f, indent=1)
    if args.plot:
        write_plot(args.plot, rows)


if __name__ == "__main__":
    main()
