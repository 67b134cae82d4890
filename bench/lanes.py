#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how many instructions of active lanes the software GPU executes in a second of one core,
in what a prebuilt llama.cpp launches: decoding token by token, and a long prompt. Prints medians.

lanes.py BUILD [--rounds N]: BUILD holds softgpu; build/llama is made by scripts/llama.py.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import llama  # noqa: E402

LINE = re.compile(r" ([\d.]+) lanes each, .*: ([\d.]+) G/s$", re.MULTILINE)
WORK = {"24 tokens": ("24", "40"), "a prompt of 200": ("2", "200")}
QUANTISATIONS = ("Q4_0", "Q4_K_M", "Q6_K", "Q8_0")


def measure(library, cuda, home, quantisation, capability, tokens, prompt):
    """Lanes of an instruction, and G instructions of lanes in a second, of one run."""
    command = [f"{home}/bin/generate", "--libraries", f"{home}/lib",
               "--model", str(llama.model(home, "medium", quantisation)), "--device", "cuda",
               "--tokens", tokens, "--prompt-length", prompt, "--batch", "512", "--sequences", "1",
               "--requests", "1", "--flash", "on", "--kv", "f16"]
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        variables = os.environ | {"LD_LIBRARY_PATH": f"{library}:{cuda}", "CUBAR_SOFTGPU_COUNT": "1",
                                  "CUBAR_SOFTGPU_CC": capability, "CUBAR_LOG": log.name,
                                  "CUBAR_LOG_LEVEL": "info"}
        subprocess.run(command, env=variables, capture_output=True, check=True)
        lanes, rate = LINE.search(log.read()).groups()
    return float(lanes), float(rate)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--cuda", default="/usr/local/cuda")
    parser.add_argument("--capability", default="7.5")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    home = llama.prepare()
    for quantisation in QUANTISATIONS:
        for work, (tokens, prompt) in WORK.items():
            runs = [measure(options.build.resolve() / "softgpu", f"{options.cuda}/lib64", home, quantisation,
                            options.capability, tokens, prompt) for _ in range(options.rounds)]
            lanes, rate = (statistics.median(column) for column in zip(*runs))
            print(f"{quantisation}, {work}: {rate:.2f} G/s, {lanes:.1f} lanes active", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
