"""Interrupts cq tune and compares with a whole run: resume-tune.py FOLDER TEXT cq"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

folder, text, cq = sys.argv[1:4]
out = os.path.join(folder, "r")
partial = out + ".partial"
command = [cq, "tune", os.path.join(folder, "q"), "--against=" + os.path.join(folder, "m.mlir"), "--text=" + text,
           "--sequences=28", "-o", out, "--save-every=0"]


def run(*arguments):
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300)
    return result.returncode, result.stderr


def read(*names):
    with open(os.path.join(*names), "rb") as file:
        return file.read()


whole = os.path.join(folder, "all")
goings = 0
for kind in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = os.stat(partial).st_mtime_ns if os.path.exists(partial) else 0
    while process.poll() is None:
        if os.path.exists(partial) and os.stat(partial).st_mtime_ns != before:
            process.send_signal(kind)
            break
        time.sleep(0.002)
    _, errors = process.communicate(timeout=300)
    goings += "going on after step" in errors
    if process.returncode == 0:
        shutil.rmtree(out)  # it was done first
    elif kind != signal.SIGKILL:
        assert process.returncode == 1, (process.returncode, errors)
        assert "interrupted after" in errors and "the same command goes on from " + partial in errors, errors
        assert os.path.exists(partial)
    assert not os.path.exists(out)

if os.path.exists(partial):
    saved = read(partial)
    # Not with other rates, not from a damaged file; both leave everything as it is.
    code, errors = run("--weight-rate=0.001")
    assert code == 1 and "was made with other options, another text or other models" in errors, errors
    assert "--fresh" in errors and not os.path.exists(out), errors
    with open(partial, "wb") as file:
        file.write(saved[:len(saved) // 2])
    code, errors = run()
    assert code == 1 and partial in errors and "--fresh" in errors and not os.path.exists(out), errors
    header = int.from_bytes(saved[:8], "little")
    tensors = json.loads(saved[8:8 + header])
    name = next(name for name in tensors if name.endswith(":codes"))
    place = 8 + header + tensors[name]["data_offsets"][0]
    with open(partial, "wb") as file:
        file.write(saved[:place] + b"\xff" + saved[place + 1:])
    code, errors = run()
    assert code == 1 and f"'{name}'" in errors and "--fresh" in errors and not os.path.exists(out), errors
    with open(partial, "wb") as file:
        file.write(saved)

code, errors = run()
assert code == 0, errors
goings += "going on after step" in errors
assert read(out, "model.safetensors") == read(whole, "model.safetensors")
assert read(out, "tuning.json") == read(whole, "tuning.json")
assert not os.path.exists(partial)
print("went on", goings, "times")
