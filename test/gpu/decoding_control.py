#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where kernels do nothing, scripts/end_to_end.py must say that tokens and logits are wrong."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    program, cubar_run, *libraries = sys.argv[1:]
    command = [sys.executable, ROOT / "scripts" / "end_to_end.py", program, "--shape", "tiny",
               "--wrapper", f"{cubar_run} --gpu null"]
    environment = os.environ | {"CUBAR_SOFTGPU_NULL": "1", "LD_LIBRARY_PATH": ":".join(libraries)}
    done = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)
    # Indented: its "not ok" is what is wanted, and no result of this test.
    print(textwrap.indent(done.stdout, "    "), end="")
    ways = ("native", "cubar", "cubar, host-completed waits")
    unseen = [what for way in ways for what in (f"# {way}: [0, 0,", f"# {way}: logits are off by")
              if what not in done.stdout]
    if done.returncode != 1 or unseen:
        print(f"ended with {done.returncode}, and did not say: {unseen}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
