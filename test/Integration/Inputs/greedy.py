"""Greedy continuations of stories260K against expected.json: greedy.py EXPECTED cq MODEL"""
import json
import subprocess
import sys

expected, cq, model = sys.argv[1:4]
cases = json.load(open(expected))["stories260K_greedy"]
for case in cases:
    output = subprocess.run(
        [cq, "run", model, "--print-tokens", f"--prompt={case['prompt']}",
         f"--max-tokens={len(case['greedy'])}"] + sys.argv[4:],
        check=True, capture_output=True, text=True).stdout
    tokens = [int(t) for t in output.split()]
    assert tokens == case["greedy"], f"{case['prompt']}: got {tokens}, expected {case['greedy']}"
print(f"{len(cases)} continuations equal")
