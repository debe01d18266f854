# REQUIRES: ptxas
# RUN: %python %s %t
"""Every width, grid, group, type and number of tokens through ptxas for sm_80 and sm_90a:
no spills, no local memory, registers and shared memory within the budget."""
import json
import subprocess
import sys

REGISTERS = {1: 128, 8: 128, 16: 168, 64: 232, 100: 232, 512: 232}
SHARED = 100 * 1024
SHARED_WARPGROUP = 226 * 1024  # one CTA a multiprocessor
output = sys.argv[1]
schemes = [f"b{b}-g{g}-{grid}-f16" for b, g, grid in
           [(2, 64, "symmetric"), (3, 128, "symmetric"), (3, 32, "affine"), (4, 128, "affine"),
            (4, 64, "half-step"), (8, 128, "symmetric"), (8, 64, "affine")]]
bad = []
for chip, compute, cherries in [("sm_80", "f16", "none"), ("sm_90a", "bf16", "slot:1")]:
    for tokens, registers in REGISTERS.items():
        subprocess.run(["cq", "compile", "--target=nvptx", "--shape=4096x4096", f"--chip={chip}",
                        f"--scheme={','.join(schemes)}", f"--tokens={tokens}", f"--compute={compute}",
                        f"--cherries={cherries}", "--emit=cubin", "-o", output], check=True)
        with open(output + ".json") as f:
            kernels = json.load(f)["kernels"]
        products = [k for k in kernels if k["name"].startswith("cq_mm")]
        assert len(products) == len(schemes), len(products)
        warpgroups = [k for k in products if k["name"].endswith("_wg")]
        # Groups of 32 with zero points stay with mma.sync.
        assert len(warpgroups) == (len(schemes) - 1 if chip == "sm_90a" and tokens > 64 else 0), len(warpgroups)
        assert all(any(o["name"] == k["prepare"] for o in kernels) for k in warpgroups)
        for k in kernels:
            if (k["spill_bytes"] or k["stack_bytes"] or k["registers"] > registers
                    or k["shared_bytes"] + k["static_shared_bytes"] > (SHARED_WARPGROUP if "_wg" in k["name"] else SHARED)
                    or k.get("serialized_wgmma", False)):
                bad.append(f"{chip} {k['name']}: {k['registers']} registers (of {registers}), spills {k['spill_bytes']}, "
                           f"stack {k['stack_bytes']}, shared {k['shared_bytes']}")
sys.exit("\n".join(bad) or 0)
