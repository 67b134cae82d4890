#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many lines of each decoder its committed corpus alone reaches; fails under 85 %."""

import argparse
import json
import os
import subprocess
import sys
from fnmatch import fnmatch

from build import ROOT, Build
from fuzz import CORPUS, targets

LEAST_PERCENT = 85
# What decodes what strangers wrote, by fuzz target.
DECODERS = {
    "admin": ["host/common/admin_request.cpp"],
    "elf": ["driver/image/elf.cpp", "driver/image/kernel_params.cpp"],
    "fatbin": ["driver/image/fatbin.cpp", "driver/image/decompress.cpp", "driver/image/image.cpp"],
    "handshake": ["host/common/control_protocol.h", "host/cubard/keeper_protocol.h",
                  "host/cubard/ledger.cpp"],
    "ivshmem": ["host/cubard/ivshmem.cpp"],
    "ptx": ["softgpu/ptx/*.cpp"],
    "records": ["generate/host_dispatch.cpp", "transport/ring_consumer.cpp"],
    "variables": ["host/worker/ptx_variables.cpp"],
}


def build_of(cuda):
    flags = ["-fsanitize=fuzzer-no-link", "-fprofile-instr-generate", "-fcoverage-mapping"]
    build = Build("fuzz-coverage", cuda, [
        "-Dfuzzers=true", "-Dtests=false", "-Db_lundef=false", "-Dbuildtype=debugoptimized",
        f"-Dcpp_args={flags}", "-Dcpp_link_args=-fprofile-instr-generate",
    ], "clang++")
    # Meson's check that the compiler works would leave its profile in the source tree.
    build.environment["LLVM_PROFILE_FILE"] = os.devnull
    return build


def files_of(build, name, program):
    """(path, lines, lines reached) of each of the decoder's files, after the corpus alone."""
    raw, merged = program.with_suffix(".profraw"), program.with_suffix(".profdata")
    subprocess.run([program, "-runs=0", CORPUS / name], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env=os.environ | {"LLVM_PROFILE_FILE": str(raw)})
    subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", merged], check=True)
    done = subprocess.run(["llvm-cov", "export", "-summary-only", program,
                           f"-instr-profile={merged}"], check=True, capture_output=True, text=True)
    for entry in json.loads(done.stdout)["data"][0]["files"]:
        path = os.path.normpath(build.directory / entry["filename"])
        for root in (build.directory, ROOT):
            path = path.removeprefix(f"{root}/")
        if any(fnmatch(path, pattern) for pattern in DECODERS[name]):
            lines = entry["summary"]["lines"]
            yield path, lines["count"], lines["covered"]


def run(cuda):
    """Reports every decoder; (passed, failed)."""
    build = build_of(cuda)
    programs = targets(build)
    if not build.compile([str(p.relative_to(build.directory)) for p in programs.values()]):
        print("fuzz coverage: the targets cannot be built")
        return 0, 1
    passed = failed = 0
    for target, program in sorted(programs.items()):
        name = target.removeprefix("fuzz-")
        files = list(files_of(build, name, program))
        lines = sum(count for _, count, _ in files)
        percent = 100 * sum(covered for *_, covered in files) / lines if lines else 0
        good = percent >= LEAST_PERCENT
        passed, failed = passed + good, failed + (not good)
        print(f"{name}: {percent:.1f} % of {lines} lines{'' if good else ': too few'}")
        for path, count, covered in files:
            print(f"    {path}: {100 * covered / max(count, 1):.1f} %")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuda", required=True)
    passed, failed = run(parser.parse_args().cuda)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
