#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a prebuilt llama.cpp on its CPU backend and on its CUDA backend, and compares. Prints TAP.

CUDA comes from --library, a directory with a libcuda.so.1, or from a --wrapper such as cubar-run.
Every case generates on the CPU first; the run on CUDA chooses for itself, follows the CPU's tokens,
and must have chosen the same, as compare.py says. Each case also must have offloaded every layer.
--control shows that a wrong handler of the software GPU is seen.
"""

import argparse
import os
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "test" / "conformance"), str(ROOT / "scripts")]

import control  # noqa: E402
import llama  # noqa: E402
from cases import CASES  # noqa: E402
from check import Setup, check  # noqa: E402


def run_all(cases, setup):
    print(f"1..{len(cases)}")
    failed = 0
    for number, case in enumerate(cases, 1):
        line, reasons = check(case, setup)
        failed += bool(reasons)
        print(f"{'not ok' if reasons else 'ok'} {number} - {case.name}")
        for text in [line] * bool(line) + reasons:
            print(f"# {text}")
        sys.stdout.flush()
    return failed


# Mangled names of the handlers that a batched Q4_0 case takes: mma on int8 for the weights, on F16 for
# attention.
HANDLERS = {"mma on int8": "17multiply_integersILj8E", "mma on F16": "15multiply_floatsI.*3F16E"}


def run_control(case, setup):
    """With either handler silenced, the case must fail by its logits, not by a crash."""
    print(f"1..{len(HANDLERS)}")
    failed = 0
    for number, (name, pattern) in enumerate(HANDLERS.items(), 1):
        library = control.silence(Path(setup.library) / "libcuda.so.1", pattern, setup.scratch)
        _, reasons = check(case, replace(setup, library=str(library.parent)))
        seen = bool(reasons) and all(reason.startswith("NMSE") or "differ by more" in reason
                                     for reason in reasons)
        failed += not seen
        print(f"{'ok' if seen else 'not ok'} {number} - it is seen that {name} does nothing")
        for reason in reasons[:3]:
            print(f"# {reason}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="", help="directory of the libcuda.so.1 to run on")
    parser.add_argument("--wrapper", default="", help="command that runs a program on a device")
    parser.add_argument("--cuda-libraries", default="/usr/local/cuda/lib64",
                        help="directory of cudart and cuBLAS")
    parser.add_argument("--cublas", default="", help="directory of a libcublas.so.13 that comes first")
    parser.add_argument("--capability", default="", help="compute capability of the software GPU")
    parser.add_argument("--control", action="store_true", help="break the software GPU and see it caught")
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs in any case")
    parser.add_argument("--limit", type=float, default=300, help="seconds for each run")
    parser.add_argument("--suite", default="full", help="cases of this suite: quick, full, cublas")
    parser.add_argument("cases", nargs="*", help="only cases whose names contain one of these")
    options = parser.parse_args()
    if options.control and not options.library:
        parser.error("--control breaks the library of --library")
    if not options.library and not options.wrapper:
        parser.error("say on which device to run: --library or --wrapper")
    try:
        home = llama.prepare()
    except llama.Failed as error:
        print(f"Bail out! {error}")
        return 1
    cases = [c for c in CASES if options.suite in c.suites and
             (not options.cases or any(part in c.name for part in options.cases))]
    if not cases:
        parser.error("no case has such a name")
    with tempfile.TemporaryDirectory(prefix="cubar-llama-") as name:
        setup = Setup(home, Path(name), options.limit, options.library and os.path.abspath(options.library),
                      options.cuda_libraries, options.cublas and os.path.abspath(options.cublas),
                      tuple(shlex.split(options.wrapper)), options.capability, options.eager)
        return 1 if (run_control(cases[0], setup) if options.control else run_all(cases, setup)) else 0


if __name__ == "__main__":
    sys.exit(main())
