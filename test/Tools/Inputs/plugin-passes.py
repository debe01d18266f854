# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every pass and pipeline of cq-opt in a stock mlir-opt with the plugin. usage: plugin-passes.py PLUGIN"""

import re
import subprocess
import sys

LOAD = [f"--load-dialect-plugin={sys.argv[1]}", f"--load-pass-plugin={sys.argv[1]}"]


def names(*command):
    text = subprocess.run([*command, "--list-passes"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  --([\w-]+)", text, re.M))


stock, own, plugged = names("mlir-opt"), names("cq-opt"), names("mlir-opt", *LOAD)
# Pipelines are in the help only.
text = subprocess.run(["cq-opt", "--help"], capture_output=True, text=True, check=True).stdout
pipelines = set(re.findall(r"^ {6}--(cq-[\w-]+)", text, re.M)) - own
ours = own - stock
assert "cq-quantize" in pipelines and "convert-cq-to-x86" in ours and "cq-export-iree" in ours, (pipelines, ours)
for name in sorted(ours - plugged):
    print(f"{name} is not in the plugin")
for name in sorted(ours | pipelines):
    # On an empty module most do nothing; some ask for a file. All have to be found and to end well.
    for pipeline in (f"builtin.module({name})", f"builtin.module(func.func({name}))"):
        run = subprocess.run(["mlir-opt", *LOAD, f"--pass-pipeline={pipeline}", "--allow-unregistered-dialect"],
                             input="module {}", capture_output=True, text=True)
        if "does not refer to a registered pass" in run.stderr or run.returncode not in (0, 1):
            print(f"{name}: {run.stderr[:500]}")
        if run.returncode == 0 or "can't run" not in run.stderr and "cannot" not in run.stderr:
            break
print(f"{len(ours & plugged)} of {len(ours)} passes and pipelines are in the plugin" if ours - plugged
      else "every pass and pipeline is in the plugin")
