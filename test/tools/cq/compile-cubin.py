# REQUIRES: ptxas
# RUN: %python %s %t
"""What the heuristics choose, through ptxas for sm_80 and sm_90a: no spills, no local memory, no
serialized wgmma, registers and shared memory within the budget. Every width, group and grid with
every number of tokens is compiled on at least one chip in one type with one form of cherries, each
pair of those at least once; CQ_CUBIN_ALL=1 compiles all of them (twelve times as many)."""
import itertools
import json
import os
import subprocess
import sys

# Tokens: one for each choice of chooseOptions; 2 differs from 4 in the rows of x only.
REGISTERS = {1: 128, 4: 128, 8: 128, 16: 168, 32: 232, 64: 255, 100: 255, 2048: 255}
SMALL_GROUPS = 72  # more, for zero points of groups of 32
SHARED = 100 * 1024
SHARED_WARPGROUP = 226 * 1024  # one CTA a multiprocessor
output = sys.argv[1]
schemes = [f"b{b}-g{g}-{grid}-f16" for b in (2, 3, 4, 5, 6, 8) for g in (32, 64, 128)
           for grid in ("symmetric", "affine", "half-step") if b <= 4 or grid != "half-step"]
runs = list(itertools.product(("sm_80", "sm_90a"), ("f16", "bf16"),
                              ("none", "slot:1", "element:16", "column:32")))
everything = bool(os.environ.get("CQ_CUBIN_ALL"))
bad, compiled = [], set()
for number, (chip, compute, cherries) in enumerate(runs):
    # Schemes and tokens are dealt out: scheme s and token count t go to run (s + 5 t) mod 16.
    for t, (tokens, registers) in enumerate(REGISTERS.items()):
        mine = schemes if everything else [
            s for i, s in enumerate(schemes) if (i + 5 * t - number) % len(runs) == 0]
        if not mine:
            continue
        subprocess.run(["cq", "compile", "--target=nvptx", "--shape=4096x4096", f"--chip={chip}",
                        f"--scheme={','.join(mine)}", f"--tokens={tokens}", f"--compute={compute}",
                        f"--cherries={cherries}", "--emit=cubin", "-o", output],
                       check=True, stdout=subprocess.DEVNULL)
        with open(output + ".json") as f:
            kernels = json.load(f)["kernels"]
        products = [k for k in kernels if k["name"].startswith("cq_mm")]
        assert len(products) == len(mine), (len(products), mine)
        compiled |= {(s, tokens) for s in mine}
        warpgroups = [k for k in products if k["name"].endswith("_wg")]
        assert len(warpgroups) == (len(mine) if chip == "sm_90a" and tokens > 64 else 0), len(warpgroups)
        assert all(any(o["name"] == k["prepare"] for o in kernels) for k in warpgroups)
        for k in kernels:
            budget = min(255, registers + ("_g32_affine" in k["name"]) * SMALL_GROUPS)
            if (k["spill_bytes"] or k["stack_bytes"] or k["registers"] > budget
                    or k["shared_bytes"] + k["static_shared_bytes"] > (SHARED_WARPGROUP if "_wg" in k["name"] else SHARED)
                    or k.get("serialized_wgmma", False)):
                bad.append(f"{chip} {k['name']}: {k['registers']} registers (of {budget}), spills {k['spill_bytes']}, "
                           f"stack {k['stack_bytes']}, shared {k['shared_bytes']}")
# What the bundle times beside the chosen options may cost registers, but spills nothing either.
for chip, bits, tokens in (("sm_80", 2, 64), ("sm_90a", 3, 512), ("sm_90a", 4, 1)):
    subprocess.run(["cq", "compile", "--target=nvptx", "--shape=4096x4096", f"--chip={chip}", f"--scheme=b{bits}-g128",
                    f"--tokens={tokens}", "--candidates", "--emit=cubin", "-o", output],
                   check=True, stdout=subprocess.DEVNULL)
    with open(output + ".json") as f:
        bad += [f"candidate {chip} {k['name']}: spills {k['spill_bytes']}" for k in json.load(f)["kernels"]
                if k["spill_bytes"] or k["stack_bytes"] or k.get("serialized_wgmma", False)]
assert compiled == set(itertools.product(schemes, REGISTERS)), "something was left out"
sys.exit("\n".join(bad) or 0)
