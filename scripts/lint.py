#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formatting, licence lines, Python syntax, and clang-tidy over all tracked source."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build import ROOT

CPP = (".cpp", ".h", ".cu", ".inc")
LICENSED = CPP + (".py", ".sh", ".api", ".toml", ".build", ".pml")


def tracked():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def formatting(files):
    names = [f for f in files if f.suffix in CPP]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], check=False)
    return done.returncode == 0


def licences(files):
    missing = []
    for path in files:
        if path.suffix in LICENSED or path.name == "dev":
            head = path.read_text(encoding="utf-8", errors="replace").splitlines()[:2]
            if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
                missing.append(path)
    for path in missing:
        print(f"{path.relative_to(ROOT)}: no SPDX line")
    return not missing


def python_syntax(files):
    good = True
    for path in (f for f in files if f.suffix == ".py"):
        try:
            compile(path.read_bytes(), str(path), "exec")
        except SyntaxError as error:
            print(error)
            good = False
    return good


def tidy(files, build):
    """clang-tidy needs the generated headers, so the build directory must have been built."""
    sources = [f for f in files if f.suffix == ".cpp"]

    def check(path):
        return subprocess.run(["clang-tidy", "--quiet", "-p", build, path], cwd=ROOT, check=False,
                              capture_output=True, text=True)

    good = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(check, sources):
            if done.returncode != 0:
                print(done.stdout)
                good = False
    return good


def main():
    files = tracked()
    build = Path(sys.argv[1])
    results = {
        "formatting": formatting(files),
        "licences": licences(files),
        "python": python_syntax(files),
        "clang-tidy": tidy(files, build),
    }
    for name, good in results.items():
        print(f"{name}: {'good' if good else 'bad'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
