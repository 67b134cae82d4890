#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bundle, unpacked elsewhere, tests what it carries, and uses nothing of the tree it came from."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    build = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, "bundle.tar.zst")
        subprocess.run([sys.executable, ROOT / "scripts" / "bundle.py", build, archive], check=True)
        subprocess.run(["tar", "--zstd", "-C", scratch, "-xf", archive], check=True)
        tree = Path(scratch, "cubar-gpu")
        carried = tree / "build" / "release" / "lib"
        environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        loaded = subprocess.run([tree / "build/release/host/cubard/cubard", "--help"],
                                env=environment | {"LD_DEBUG": "files"}, check=True, text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
        started = [line.split("calling init: ")[1] for line in loaded.splitlines() if "calling init: " in line]
        foreign = [path for path in started
                   if not Path(os.path.normpath(path)).is_relative_to(carried) and
                   Path(path).name not in ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2")]
        if foreign or not started:
            print(f"cubard in the bundle loads {foreign or 'nothing'}")
            return 1
        return max(subprocess.run([tree / "dev", "gpu", "--gpu", "soft", "--section", section, "--only", only],
                                  env=environment, check=False).returncode
                   for section, only in (("conformance", "vector_add"), ("decoding", "tiny")))


if __name__ == "__main__":
    sys.exit(main())
