# Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile and run modules with PyPI's IREE; run the reference through mlir-runner."""

import os
import re
import subprocess

import iree.runtime as rt
import numpy as np

COMPILE = [
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
]
LOWER = [
    "--one-shot-bufferize=bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map",
    "--convert-linalg-to-loops", "--expand-strided-metadata", "--lower-affine",
    "--convert-scf-to-cf", "--convert-cf-to-llvm", "--convert-math-to-llvm",
    "--convert-arith-to-llvm", "--finalize-memref-to-llvm", "--convert-func-to-llvm",
    "--reconcile-unrealized-casts",
]


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[:4000]}")
    return done.stdout


def compile(source, vmfb, *flags):
    tool = os.path.join(os.environ["CQ_IREE"], "bin", "iree-compile")
    sh(tool, source, *COMPILE, *flags, "-o", vmfb)


class Module:
    """A compiled module, its parameters (scope "model") in an archive or None."""

    def __init__(self, vmfb, archive=None):
        config = rt.Config("local-sync")
        modules = [rt.create_hal_module(config.vm_instance, config.device)]
        if archive:
            index = rt.ParameterIndex()
            index.load(archive)
            modules.append(rt.create_io_parameters_module(
                config.vm_instance, index.create_provider("model")))
        modules.append(rt.VmModule.mmap(config.vm_instance, vmfb))
        context = rt.SystemContext(vm_modules=modules, config=config)
        self.module = getattr(context.modules, modules[-1].name)

    def __call__(self, function, *arguments):
        result = self.module[function](*arguments)
        return result.to_host() if hasattr(result, "to_host") else result


def literal(array):
    return np.array2string(
        array, separator=", ", threshold=10**9, max_line_width=10**9,
        formatter={"float_kind": lambda v: f"{v:.9e}", "int_kind": str})


def reference(source, calls, lowered):
    """What mlir-runner prints for calls = [(function, x, rows, columns of y)] of
    `source`, whose cq ops take the reference lowering."""
    text = sh("cq-opt", source, "--convert-cq-to-linalg")
    body = ""
    for i, (function, x, m, n) in enumerate(calls):
        k = x.shape[1]
        body += f"""
    %x{i} = arith.constant dense<{literal(x)}> : tensor<{m}x{k}xf32>
    %y{i} = func.call @{function}(%x{i}) : (tensor<{m}x{k}xf32>) -> tensor<{m}x{n}xf32>
    %u{i} = tensor.cast %y{i} : tensor<{m}x{n}xf32> to tensor<*xf32>
    func.call @printMemrefF32(%u{i}) : (tensor<*xf32>) -> ()"""
    at = text.rindex("}\n", 0, text.rindex("{-#") if "{-#" in text else len(text))
    text = text[:at] + f"""
  func.func private @printMemrefF32(tensor<*xf32>) attributes {{llvm.emit_c_interface}}
  func.func @main() {{{body}
    return
  }}
""" + text[at:]
    with open(lowered, "w") as file:
        file.write(text)
    llvm = lowered + ".llvm"
    sh("mlir-opt", lowered, *LOWER, "-o", llvm)
    libs = os.environ["LLVM_LIB_DIR"]
    printed = sh("mlir-runner", llvm, "-e", "main", "-entry-point-result=void",
                 f"-shared-libs={libs}/libmlir_runner_utils.so,{libs}/libmlir_c_runner_utils.so")
    blocks = printed.split("Unranked Memref")[1:]
    results = []
    for block, (_, _, m, n) in zip(blocks, calls):
        numbers = re.sub(r"[\[\],]", " ", block.split("data =")[1])
        results.append(np.array(numbers.split(), np.float32).reshape(m, n))
    return results
