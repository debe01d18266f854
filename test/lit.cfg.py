# lit configuration of the whole suite: `.mlir` and `.test` files run through the
# shell, GoogleTest programs through lit's own GoogleTest format (unittests/).
import os
import shutil
import subprocess

import lit.formats
import lit.util

config.name = "CQ"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test", ".c", ".py"]
config.excludes = ["emulated-cpu", "lit.cfg.py", "lit.site.cfg.py", "Inputs", "unittests", "fuzz", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.cq_obj_root, "test")

config.environment["PATH"] = os.pathsep.join(
    [config.cq_tools_dir, config.llvm_tools_dir, config.environment["PATH"]]
)
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "HOME", "XDG_CACHE_HOME", "CQ_CACHE_DIR"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%cq_plugin", os.path.join(config.cq_lib_dir, "CQPlugin.so")))
config.substitutions.append(("%cq_lib_dir", config.cq_lib_dir))
config.substitutions.append(("%cq_src_root", config.cq_src_root))
config.substitutions.append(("%python", config.python_executable))
config.substitutions.append(("%shared", config.cq_shared_dir))
config.substitutions.append(("%smollm2", config.cq_smollm2))

# Programs in C against libcq-c.so.
path = config.environment["PATH"]
cc = shutil.which("clang-22", path=path) or shutil.which("cc", path=path) or "cc"
cxx = shutil.which("clang++-22", path=path) or shutil.which("c++", path=path) or "c++"
config.substitutions.append(("%cc", cc))
config.substitutions.append(("%cxx", cxx))
sanitize = "-fsanitize=address,undefined" if config.cq_sanitize else ""
config.substitutions.append(("%sanitize", sanitize))
config.substitutions.append(("%compile_c", " ".join(
    [cc, "-std=c11 -Wall -Wextra -Wpedantic -Werror -g", sanitize]
    + [f"-I{config.cq_src_root}/include -L{config.cq_lib_dir} -Wl,-rpath,{config.cq_lib_dir} -lcq-c -lm"])))

# Things a machine may lack; a test that REQUIRES one of them is skipped and counted so.
if os.path.isdir(os.path.join(config.cq_shared_dir, "data")):
    config.available_features.add("shared-data")
if config.cq_smollm2 and os.path.exists(config.cq_smollm2):
    config.available_features.add("smollm2")
if config.cq_sanitize:
    config.available_features.add("sanitizer")
try:
    with open("/proc/cpuinfo") as f:
        flags = set(next(l for l in f if l.startswith("flags")).split())
except (OSError, StopIteration):
    flags = set()
for flag, feature in (("avx2", "avx2"), ("avx512bw", "avx512"), ("avx512_vnni", "avx512-vnni")):
    if flag in flags:
        config.available_features.add(feature)
config.substitutions.append(("%llvm_lib_dir", os.path.join(config.llvm_tools_dir, "..", "lib")))
if shutil.which("mlir-runner", path=config.environment["PATH"]):
    config.available_features.add("mlir-runner")
if shutil.which("mlir-translate", path=config.environment["PATH"]):
    config.available_features.add("mlir-translate")
if shutil.which("mlir-opt", path=config.environment["PATH"]):
    config.available_features.add("mlir-opt")
if subprocess.run([config.python_executable, "-c", "import numpy"], capture_output=True).returncode == 0:
    config.available_features.add("numpy")
# Packages of other people's formats: scripts/test puts them into CQ_PEERS.
peers = os.environ.get("CQ_PEERS", "")
for package in ("gguf", "safetensors", "tokenizers"):
    if subprocess.run([config.python_executable, "-c", f"import {package}"], capture_output=True,
                      env=dict(os.environ, PYTHONPATH=peers)).returncode == 0:
        config.available_features.add(package.replace("_", "-") + "-package")
# ptxas of a CUDA toolkit; scripts/test puts PyPI's wheel into CQ_CUDA_BIN.
if "CQ_CUDA_BIN" in os.environ:
    config.environment["CQ_CUDA_BIN"] = os.environ["CQ_CUDA_BIN"]
cuda_path = os.pathsep.join([os.environ.get("CQ_CUDA_BIN", ""), config.environment["PATH"], "/usr/local/cuda/bin"])
if shutil.which("ptxas", path=cuda_path):
    config.available_features.add("ptxas")
# HiGHS, an independent solver: scripts/test puts PyPI's highspy into CQ_HIGHSPY.
highspy = os.environ.get("CQ_HIGHSPY", "")
config.environment["PYTHONPATH"] = os.pathsep.join(p for p in (highspy, peers) if p)
if subprocess.run([config.python_executable, "-c", "import highspy"], capture_output=True,
                  env=dict(os.environ, PYTHONPATH=highspy)).returncode == 0:
    config.available_features.add("highspy")
# Debian's PyTorch belongs to Debian's Python. Found, not imported: that takes seconds.
finds_torch = "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and u.find_spec('numpy')))"
for python in (config.python_executable, "/usr/bin/python3"):
    if os.path.exists(python) and subprocess.run([python, "-c", finds_torch]).returncode == 0:
        config.available_features.add("torch")
        config.substitutions.append(("%torch_python", python))
        break
# IREE from PyPI, in a virtual environment: scripts/test --iree makes one in its usual place.
iree = os.environ.get("CQ_IREE", os.path.expanduser("~/.cache/cq/peers/iree"))
if os.path.exists(os.path.join(iree, "bin", "iree-compile")):
    config.available_features.add("iree")
    finds_importers = "import importlib.util as u, sys; sys.exit(not (u.find_spec('onnx') and u.find_spec('jax')))"
    if subprocess.run([os.path.join(iree, "bin", "python"), "-c", finds_importers]).returncode == 0:
        config.available_features.add("iree-import")
config.environment["CQ_IREE"] = iree
# torch-mlir with PyTorch, in another; stubs/ may stand in for CUDA's libraries.
torch_mlir = os.environ.get("CQ_TORCH_MLIR", os.path.expanduser("~/.cache/cq/peers/torch-mlir"))
finds_torch_mlir = "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and u.find_spec('torch_mlir')))"
if os.path.exists(os.path.join(torch_mlir, "bin", "python")) and subprocess.run(
        [os.path.join(torch_mlir, "bin", "python"), "-c", finds_torch_mlir]).returncode == 0:
    config.available_features.add("torch-mlir")
torch_mlir_python = f"env LD_LIBRARY_PATH={torch_mlir}/stubs {torch_mlir}/bin/python"
config.substitutions.append(("%torch_mlir_python", torch_mlir_python))
# compressed-tensors wants a newer PyTorch than Debian's: that environment's, and a folder of its own.
compressed_tensors = os.environ.get("CQ_COMPRESSED_TENSORS", os.path.expanduser("~/.cache/cq/peers/compressed-tensors"))
if "torch-mlir" in config.available_features and os.path.isdir(os.path.join(compressed_tensors, "compressed_tensors")):
    config.available_features.add("compressed-tensors-package")
config.substitutions.append(("%compressed_tensors_python",
                             torch_mlir_python.replace("env ", f"env PYTHONPATH={compressed_tensors} ", 1)))
config.environment["LLVM_LIB_DIR"] = os.path.join(config.llvm_tools_dir, "..", "lib")
config.substitutions.append(("%iree_python", os.path.join(iree, "bin", "python")))
config.substitutions.append(("%iree_compile", os.path.join(iree, "bin", "iree-compile")
    + " --iree-hal-target-device=local --iree-hal-local-target-device-backends=llvm-cpu --iree-llvmcpu-target-cpu=host"))
config.substitutions.append(("%cq_obj_root", config.cq_obj_root))
# `cmake --install` wants every target of a component to be built.
if shutil.which("cmake") and shutil.which("ninja") and shutil.which("clang++-22") and not config.cq_sanitize:
    if os.path.exists(os.path.join(config.cq_lib_dir, "libCQPipelines.a")):
        config.available_features.add("install")
    if all(os.path.exists(os.path.join(config.cq_tools_dir, tool)) for tool in ("cq", "cq-lsp-server")) \
            and os.path.exists(os.path.join(config.cq_lib_dir, "libcq-c.so")):
        config.available_features.add("install-tools")
# scikit-build-core and mypy from PyPI: scripts/test puts them into CQ_WHEEL_TOOLS.
wheel_tools = os.environ.get("CQ_WHEEL_TOOLS", os.path.expanduser("~/.cache/cq/wheel-tools-1"))
config.substitutions.append(("%wheel_tools", wheel_tools))
for module, feature in (("scikit_build_core", "scikit-build-core"), ("mypy", "mypy")):
    if os.path.isdir(os.path.join(wheel_tools, module)):
        config.available_features.add(feature)
# The Python package of the source tree over the library of this build.
with_cq = f"env CQ_LIBRARY={config.cq_lib_dir}/libcq-c.so PYTHONPATH={config.cq_src_root}/python_bindings"
if config.cq_sanitize:
    asan = subprocess.run([cc, "-print-file-name=libclang_rt.asan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.exists(asan):
        asan = subprocess.run([cc, "-print-file-name=libclang_rt.asan-x86_64.so"], capture_output=True,
                              text=True).stdout.strip()
    # Python itself keeps much memory to its end.
    with_cq += f" LD_PRELOAD={asan} ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"
config.substitutions.append(("%with_cq", with_cq))
