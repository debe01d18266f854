"""Interrupts cq calibrate in several ways and compares with a whole run: resume.py FOLDER TEXT cq"""
import os
import signal
import subprocess
import sys
import time

folder, text, cq = sys.argv[1:4]
out = os.path.join(folder, "r.stats")
partial = out + ".partial"
base = [cq, "calibrate", os.path.join(folder, "m.mlir"), "--text=" + text, "--fisher=sequence", "-o", out]
command = base + ["--sequences=12", "--save-every=0"]


def run(arguments):
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    return result.returncode, result.stderr


def read(path):
    with open(path, "rb") as file:
        return file.read()


code, errors = run(command)
assert code == 0, errors
whole = read(out)
os.remove(out)

# Killed as soon as something is saved, again and again. A run whose saves are
# overtaken by the kill is fine: it starts anew.
for kind in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = os.stat(partial).st_mtime_ns if os.path.exists(partial) else 0
    while process.poll() is None:
        if os.path.exists(partial) and os.stat(partial).st_mtime_ns != before:
            process.send_signal(kind)
            break
        time.sleep(0.002)
    _, errors = process.communicate(timeout=300)
    if process.returncode == 0:
        os.remove(out)  # it was done first
    elif kind != signal.SIGKILL:
        assert process.returncode == 1, (process.returncode, errors)
        assert "interrupted after" in errors and "the same command goes on from" in errors, errors
        assert os.path.exists(partial)
    assert not os.path.exists(out)

# A partial file must be there for what follows.
if not os.path.exists(partial):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not os.path.exists(partial):
        time.sleep(0.001)
    process.kill()
    process.communicate()
if os.path.exists(partial):
    saved = read(partial)
    for changed, why in ((["--sequences=11"], "another text or other sequences"),
                         (["--sequences=12", "--gram"], "other options"),
                         (["--sequences=12", "--seed=5"], "another text or other sequences")):
        code, errors = run(base + changed)
        assert code == 1 and why in errors and "--fresh" in errors, errors
        assert read(partial) == saved
    with open(partial, "wb") as file:
        file.write(saved[:len(saved) // 2])
    code, errors = run(command)
    assert code == 1 and "--fresh starts anew" in errors, errors
    with open(partial, "wb") as file:
        file.write(saved)

code, errors = run(command)
assert code == 0, errors
assert read(out) == whole, "resumed and whole runs differ"
assert not os.path.exists(partial)
with open(partial, "wb") as file:
    file.write(b"damaged")
code, errors = run(command + ["--fresh"])
assert code == 0, errors
assert read(out) == whole
print("the same bytes")
