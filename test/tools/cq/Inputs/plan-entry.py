# plan-entry.py PLAN WEIGHT: how a plan stores a weight and what else it could have been.
import json
import sys

plan = json.load(open(sys.argv[1]))
entry = next(w for w in plan["weights"] if w["weight"] == sys.argv[2])
print(f"scheme {entry['scheme']}, {entry['reason']}")
for candidate in entry.get("candidates", []):
    print("candidate", candidate["choice"])
