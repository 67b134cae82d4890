#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs what `./dev gpu` needs into one archive, for a machine on which nothing can be built.

There: unpack it and run ./dev gpu in its directory. It brings every library but the C library's own,
which must be as new as the one here, and NVIDIA's cuBLAS, which is larger than all the rest; the machine
brings that, NVIDIA's driver and Python 3.10.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build import ROOT
from gpu import option, remoted_programs

SCRIPTS = ["dev", "scripts/build.py", "scripts/counting.py", "scripts/end_to_end.py", "scripts/gpu.py",
           "scripts/setup.sh", "test/conformance/run.py", "test/conformance/program.py",
           "test/compile_cache/run.py", "bench/run.py", "LICENSE"]
PROGRAMS = ["host/cubar-run/cubar-run", "host/cubard/cubard", "host/cubard/cubar-keeper",
            "host/worker/cubar-worker", "softgpu/libcuda.so.1", "test/gpu/gpu-probe",
            "test/instruction/instruction-test", "bench/cubar-bench", "bench/decode/cubar-decode",
            "test/cublas/libcublas.so.13"]  # for the software GPU alone
# As it is: it needs nothing but the C library.
GUEST_LIBRARY = "libcuda/libcuda.so.1"
FACTS = ["meson-info/intro-buildoptions.json", "meson-info/intro-tests.json"]
# The C library's parts, cuBLAS, and above all no libcuda.so.1: which one is used is the test.
NOT_CARRIED = re.compile(
    r"(ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libresolv|libcublas|libcublasLt|libcuda)\.so\.")


def libraries(binary):
    """Path of each shared library that a binary needs and a bundle brings."""
    listing = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^\s*(\S+) => (/\S+)", listing, re.M)
    return {name: Path(path) for name, path in found if not NOT_CARRIED.match(name)}


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.resolve(), target)


def find_libraries_in(binary, directory):
    """Makes a copied binary look for its libraries there, and for theirs too."""
    way = Path("$ORIGIN", os.path.relpath(directory, binary.parent))
    subprocess.run(["patchelf", "--force-rpath", "--set-rpath", way, binary], check=True)


def fill(tree, build):
    for name in SCRIPTS:
        copy(ROOT / name, tree / name)
    packed = tree / "build" / "release"
    for name in [GUEST_LIBRARY, *FACTS]:
        copy(build / name, packed / name)
    programs = remoted_programs(build)
    cudart = Path(option(build, "cuda"), "lib64", "libcudart.so.13")
    needed = {cudart.name: cudart}
    for name in PROGRAMS:
        needed |= libraries(build / name)
        copy(build / name, packed / name)
        find_libraries_in(packed / name, packed / "lib")
    for program in programs:
        copy(program, packed / "test" / "conformance" / program.name)
    for name, path in needed.items():
        copy(path, packed / "lib" / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="a build directory that is up to date")
    parser.add_argument("archive", type=Path, nargs="?", default=ROOT / "build" / "cubar-gpu.tar.zst")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "cubar-gpu")
        fill(tree, arguments.build.resolve())
        subprocess.run(["tar", "--zstd", "-C", scratch, "-cf", arguments.archive, tree.name], check=True)
    print(f"{arguments.archive}: {arguments.archive.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
