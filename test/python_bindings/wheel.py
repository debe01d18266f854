# A wheel, installed into a fresh environment, works outside of the checkout.
#
# RUN: rm -rf %t && mkdir -p %t
# RUN: env PYTHONPATH=%wheel_tools %python %s build %cq_src_root %cq_lib_dir/libcq-c.so %t
# RUN: cd %t && env -u PYTHONPATH -u CQ_LIBRARY %t/venv/bin/python -I %s use
# REQUIRES: numpy, scikit-build-core
# UNSUPPORTED: sanitizer
import glob
import os
import subprocess
import sys
import zipfile


def build(source, library, out):
    """The package with a library that is built already: building one takes minutes."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps",
                    "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", out,
                    f"--config-settings=cmake.define.CQ_C_LIBRARY={library}",
                    os.path.join(source, "python_bindings")], check=True)
    (wheel,) = glob.glob(os.path.join(out, "*.whl"))
    assert "-py3-none-linux" in wheel, wheel
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("cq/__init__.py", "cq/py.typed", "cq/libcq-c.so"):
        assert name in names, names
    assert not [name for name in names if "__pycache__" in name], names
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages",
                    os.path.join(out, "venv")], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", os.path.join(out, "venv", "bin", "python"), "install",
                    "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", wheel], check=True)


def use():
    import cq
    import numpy as np

    assert "site-packages" in cq.__file__, cq.__file__
    w = np.random.default_rng(0).standard_normal((64, 256))
    q = cq.quantize(w, bpw=4.3)
    assert q.bits_per_weight <= 4.3
    relative = np.linalg.norm(q.dequantize() - w) / np.linalg.norm(w)
    assert relative < 0.15, relative
    again = cq.QuantizedWeight.from_planes(q.planes, q.shape, q.choice)
    assert np.array_equal(again.dequantize(), q.dequantize())


if __name__ == "__main__":
    build(*sys.argv[2:]) if sys.argv[1] == "build" else use()
