#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints where a driver API function lives on each side: ./dev where cuMemcpyHtoDAsync"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In the order in which a call passes them.
STATIONS = (
    ("described in", "include/cubar/api", "*.api"),
    ("guest", "libcuda", "*.cpp"),
    ("host", "host/worker", "*.cpp"),
    ("software GPU", "softgpu/api", "*.cpp"),
)
VARIANT = r"(?:_v\d+)?(?:_ptsz|_ptds)?"


def definitions(folder, pattern, symbol):
    """Lines that define the symbol or a variant of it: a name at the start of a declaration."""
    wanted = re.compile(rf"^\S.*?\b({re.escape(symbol)}{VARIANT})\(")
    for path in sorted((ROOT / folder).rglob(pattern)):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if (match := wanted.match(line)) and not line.startswith(("//", "#", "*")):
                yield match[1], path, number


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    symbol = re.sub(rf"{VARIANT}$", "", sys.argv[1])
    subjects = set()
    for station, folder, pattern in STATIONS:
        for name, path, number in definitions(folder, pattern, symbol):
            subjects.add(path.stem)
            print(f"{station:14} {path.relative_to(ROOT)}:{number}  {name}")
    if not subjects:
        print(f"no function of the driver API is called {symbol}", file=sys.stderr)
        return 1
    transport = [p for p in sorted((ROOT / "transport").glob("*.cpp")) if p.stem in subjects]
    for path in transport:
        print(f"{'transport':14} {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
