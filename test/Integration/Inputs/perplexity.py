"""Compares cq eval's JSON with expected.json: perplexity.py EXPECTED RESULT TOLERANCE"""
import json
import sys

expected = json.load(open(sys.argv[1]))["smollm2_running_perplexity_512"]
result = json.load(open(sys.argv[2]))
reference = expected[str(result["windows"])]
error = abs(result["perplexity"] / reference - 1)
print(f"perplexity {result['perplexity']:.4f}, llama.cpp {reference:.4f}, relative error {error:.2e}")
assert error < float(sys.argv[3]), "perplexity is off"
