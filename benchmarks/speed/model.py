#!/usr/bin/env python3
"""Whole models of cq beside llama.cpp's, in turn, in one run: prefill and decode.

    python3 -m venv venv && venv/bin/pip install llama-cpp-python
    venv/bin/python benchmarks/speed/model.py --cq build/bin/cq --model small/ --gguf SmolLM2-135M-Instruct.Q4_1.gguf \\
        --types Q2_K,Q3_K_S,Q4_1 --threads 1,2

llama.cpp quantizes the GGUF file to each type (one that is the file's own is taken as it is).
Both read eight tokens first (which maps their files), then the same number of tokens, and then decode one at a time; times are medians of --rounds
over both in turn, tokens per second. LLAMA_CPP_LIB_PATH names another folder of libllama.so.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time


def llama_types(names):
    import llama_cpp
    return {name: getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}") for name in names}


def quantize(source, target, kind):
    import llama_cpp
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.allow_requantize, parameters.nthread = kind, True, 2
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), parameters):
        raise SystemExit(f"llama.cpp cannot quantize {source}")


def run_llama(path, threads, prompt, decode):
    """Tokens per second of prefill and decode."""
    import llama_cpp
    model = llama_cpp.Llama(path, n_ctx=prompt + decode + 8, n_batch=512, n_threads=threads, n_threads_batch=threads,
                            verbose=False)
    tokens = [1 + 7 * i % 4000 for i in range(prompt)]
    model.eval(tokens[:8])  # maps the file, warms up
    model.reset()
    begin = time.perf_counter()
    model.eval(tokens)
    middle = time.perf_counter()
    for i in range(decode):
        model.eval([tokens[i % prompt]])
    end = time.perf_counter()
    return prompt / (middle - begin), decode / (end - middle)


def run_cq(options, threads):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "r.json")
        subprocess.run([options.cq, "bench", f"--model={options.model}", f"--threads={threads}", "--rounds=1",
                        f"--prompt-tokens={options.prompt}", f"--decode-tokens={options.decode}", f"--json={path}"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cq", default="build/bin/cq")
    parser.add_argument("--model", required=True, help="folder made by cq quantize")
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--types", default="Q3_K_S")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write all numbers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, kind in llama_types(options.types.split(",")).items():
            files[name] = options.gguf if f".{name}." in options.gguf else os.path.join(folder, name + ".gguf")
            if files[name] != options.gguf:
                quantize(options.gguf, files[name], kind)
        results = {}
        for _ in range(options.rounds):
            for threads in map(int, options.threads.split(",")):
                ours = run_cq(options, threads)["results"][0]
                results.setdefault((threads, "cq"), []).append(
                    (ours["prefill_tokens_per_s"], ours["decode_tokens_per_s"]))
                for name, path in files.items():
                    results.setdefault((threads, name), []).append(
                        run_llama(path, threads, options.prompt, options.decode))
        sizes = {name: os.path.getsize(path) for name, path in files.items()}
    sizes["cq"] = os.path.getsize(os.path.join(options.model, "model.safetensors"))
    rows = []
    print(f"{'threads':>7} {'':10} {'MB':>7} {'prefill':>9} {'decode':>9}   tokens/s, medians of {options.rounds}")
    for (threads, name), runs in sorted(results.items()):
        prefill, decode = (statistics.median(run[i] for run in runs) for i in (0, 1))
        rows.append(dict(threads=threads, name=name, bytes=sizes[name], prefill=prefill, decode=decode, runs=runs))
        print(f"{threads:>7} {name:10} {sizes[name] / 1e6:>7.1f} {prefill:>9.1f} {decode:>9.1f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
