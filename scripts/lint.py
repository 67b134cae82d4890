#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formatting, licence lines, syntax, loose ends, and clang-tidy over all tracked source.

clang-tidy takes minutes: `--quick` leaves it out, and names after the build directory limit it to
the sources whose paths contain one of them.
"""

import argparse
import json
import os
import re
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


def shell_syntax(files):
    good = True
    for path in files:
        with path.open("rb") as head:
            first = head.readline()
        if path.suffix == ".sh" or first.startswith((b"#!/usr/bin/env bash", b"#!/bin/sh")):
            shell = "sh" if first.startswith(b"#!/bin/sh") else "bash"
            good &= subprocess.run([shell, "-n", path], check=False).returncode == 0
    return good


# Put together here, so that this file does not contain what it looks for.
LOOSE_ENDS = re.compile("|".join([
    r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
    r"(?<![\w.$}])/(?:wo" + r"rk|ho" + r"me/\w+|ro" + r"ot)/",
]))


def loose_ends(files):
    """What was put off, and paths of somebody's machine."""
    good = True
    for path in files:
        if "corpus" in path.parts or path.name == "LICENSE":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if LOOSE_ENDS.search(line):
                print(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
                good = False
    return good


def tidy(build, names):
    """clang-tidy needs the generated headers, so the build directory must have been built."""
    database = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    sources = {Path(os.path.normpath(Path(entry["directory"], entry["file"]))) for entry in database}
    own = [path for path in sorted(sources)
           if path.is_relative_to(ROOT) and not path.is_relative_to(build) and
           (not names or any(name in str(path.relative_to(ROOT)) for name in names))]

    def check(path):
        return subprocess.run(["clang-tidy", "--quiet", "-p", build, path], cwd=ROOT, check=False,
                              capture_output=True, text=True)

    good = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(check, own):
            if done.returncode != 0:
                print(done.stdout)
                good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="a build directory that is up to date")
    parser.add_argument("names", nargs="*", help="only sources with these in their paths")
    parser.add_argument("--quick", action="store_true", help="without clang-tidy")
    arguments = parser.parse_args()
    files = tracked()
    results = {
        "formatting": formatting(files),
        "licences": licences(files),
        "python": python_syntax(files),
        "shell": shell_syntax(files),
        "loose ends": loose_ends(files),
    }
    if not arguments.quick:
        results["clang-tidy"] = tidy(arguments.build.resolve(), arguments.names)
    for name, good in results.items():
        print(f"{name}: {'good' if good else 'bad'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
