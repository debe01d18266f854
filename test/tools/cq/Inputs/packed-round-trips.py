# usage: packed-round-trips.py FOLDER checkpoints.py. For each form: our values of the
# checkpoint against NumPy's; the checkpoint as a folder of cq, exported again in our own
# layout, whose values must be the same.
import json
import subprocess
import sys

folder, script = sys.argv[1:]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def digests(path):
    return sorted(run("cq", "inspect", "--digests", path).splitlines(), key=lambda line: line.split()[1])


for case in ("gptq 2 symmetric", "gptq 3", "gptq 4 symmetric", "gptq 8", "awq 4", "compressed 3",
             "compressed 4 symmetric", "compressed 6", "compressed 8 symmetric"):
    form, *options = case.split()
    path = f"{folder}/{case.replace(' ', '-')}"
    run(sys.executable, script, form, path, *options)
    theirs = run(sys.executable, script, "digests", path).splitlines()
    ours = digests(path)
    equal = "equal" if theirs == ours else "differ"
    run("cq", "import", path, "-o", path + ".cq")
    with open(path + ".cq/plan.json") as file:
        weights = [w for w in json.load(file)["weights"] if not w.get("keep")]
    assert len(weights) == 14, len(weights)
    schemes = ", ".join(sorted({w["scheme"] for w in weights}))
    run("cq", "export", path + ".cq", "--to=safetensors", "-o", path + ".own")
    kept = "kept" if digests(path + ".own") == ours else "changed"
    print(f"{case}: values {equal}, schemes {schemes}, values {kept}")
