#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every libFuzzer target for a while, from its committed corpus."""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build import ROOT, Build

CORPUS = ROOT / "test" / "fuzz" / "corpus"


def build_of(cuda):
    options = ["-Dfuzzers=true", "-Dtests=false", "-Db_lundef=false", "-Dbuildtype=debugoptimized",
               "-Db_sanitize=address,undefined", "-Dcpp_args=-fsanitize=fuzzer-no-link"]
    return Build("fuzz", cuda, options, "clang++")


def targets(build):
    """The executables that test/fuzz/ builds: name to path."""
    return {target["name"]: Path(target["filename"][0])
            for target in build.introspect("targets")
            if target["type"] == "executable" and "/test/fuzz/" in target["defined_in"]}


def fuzz(name, program, seconds):
    """Fuzzes one target; what it found, or an empty text."""
    corpus = CORPUS / name.removeprefix("fuzz-")
    with tempfile.TemporaryDirectory() as found:
        command = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                   f"-artifact_prefix={build_artifacts(program)}/", found]
        if corpus.is_dir():
            command.append(corpus)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return "" if done.returncode == 0 else done.stdout[-4000:]


def build_artifacts(program):
    directory = program.parent / "found"
    directory.mkdir(exist_ok=True)
    return directory


def run(cuda, seconds):
    """Fuzzes all targets; (passed, failed)."""
    build = build_of(cuda)
    programs = targets(build)
    if not programs or not build.compile([str(p.relative_to(build.directory)) for p in programs.values()]):
        print("fuzz: the targets cannot be built")
        return 0, 1
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda item: fuzz(*item, seconds), programs.items())
        for name, report in zip(programs, results):
            print(f"{name}: {'found a defect' if report else f'{seconds} s, nothing found'}")
            if report:
                failed += 1
                print(report)
    return len(programs) - failed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuda", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    passed, failed = run(arguments.cuda, arguments.seconds)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
