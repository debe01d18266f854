"""Runs cq against a small file-size limit and kills it on the way: interrupt.py FOLDER cq"""
import os
import resource
import signal
import subprocess
import sys
import time

folder, cq = sys.argv[1:3]
source = os.path.join(folder, "m.mlir")


def run(arguments, limit=None, kill_after=None):
    def prepare():
        if limit is not None:
            # Writing past the limit then fails like a full disk.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    process = subprocess.Popen([cq] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=prepare)
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


out = os.path.join(folder, "small")
quantize = ["quantize", source, "--bits=3", "-o", out]
for limit in (0, 1000, 20000):
    code, errors = run(quantize, limit=limit)
    assert code == 1, (limit, code, errors)
    assert "error" in errors, errors
    assert not os.path.exists(out), f"a folder after a limit of {limit} bytes"
    assert not [n for n in os.listdir(folder) if "tmp" in n], os.listdir(folder)
for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
    code, _ = run(quantize, kill_after=delay)
    # Either it was killed and nothing is there, or it had finished and all is.
    if os.path.exists(out):
        assert sorted(os.listdir(out)) == ["model.mlir", "model.safetensors", "plan.json", "tokenizer.gguf"], os.listdir(out)
        break

code, errors = run(quantize + ["--force"])
assert code == 0, errors
assert os.path.exists(os.path.join(out, "model.safetensors"))
