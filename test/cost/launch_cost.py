#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the system calls and the instructions of a launch, through cubar-run on the null GPU.

Neither depends on the machine. Prints TAP.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

BATCHES = 50
LAUNCHES = 50
MOST_INSTRUCTIONS = 350


class Case:
    """A title, and what is to be said against it (nothing, if it holds)."""

    def __init__(self, title, objections, notes=()):
        self.title, self.objections, self.notes = title, list(objections), list(notes)


def run(wrapper, *command):
    done = subprocess.run([*wrapper, *command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")


def system_calls(wrapper, program, *arguments):
    """Of each batch: the system calls that the launching thread made between its marks."""
    with tempfile.TemporaryDirectory() as directory:
        trace = Path(directory) / "trace"
        run(wrapper, "strace", "-o", trace, program, *arguments)
        batches, inside = [], False
        for line in trace.read_text(encoding="utf-8").splitlines():
            if line.startswith("getppid("):
                inside = not inside
                if inside:
                    batches.append([])
            elif inside and not line.startswith(("---", "+++")):
                batches[-1].append(line)
    return batches


def instructions(wrapper, program, parameters):
    """Instructions of one launch: everything between entering cuLaunchKernel and leaving it."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind"
        run(wrapper, "valgrind", "--tool=callgrind", "--toggle-collect=cuLaunchKernel", f"--callgrind-out-file={out}", "-q", program, str(parameters),
            str(BATCHES), str(LAUNCHES))
        total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(encoding="utf-8"), re.M)
    # One launch more, perhaps with a doorbell, came before the batches.
    return int(total[1]) / (BATCHES * LAUNCHES + 1)


def syscall_cases(wrapper, program):
    size = (str(BATCHES), str(LAUNCHES))
    control = system_calls(wrapper, program, "4", *size, "busy")
    seen = [sum(line.startswith("getuid(") for line in batch) for batch in control]
    yield Case("control: a system call beside each launch is seen",
               [] if seen == [LAUNCHES] * BATCHES else [f"saw {seen}"])
    batches = system_calls(wrapper, program, "4", *size)
    found = [line for batch in batches for line in batch]
    yield Case("a launch makes no system call while the worker is awake",
               found[:10] if len(batches) == BATCHES else [f"{len(batches)} batches"],
               [f"{len(found)} in {BATCHES * LAUNCHES} launches"])


def instruction_cases(wrapper, program):
    few, many = (instructions(wrapper, program, count) for count in (4, 16))
    # The least that a launch can be: 12 more parameters are 12 more loads and stores.
    yield Case("control: more parameters are more instructions",
               [] if many >= few + 24 and few > 40 else [f"{few:.0f} and {many:.0f}"])
    yield Case(f"a launch with 4 parameters takes at most {MOST_INSTRUCTIONS} instructions",
               [] if few <= MOST_INSTRUCTIONS else [f"it takes {few:.0f}"],
               [f"{few:.0f} with 4 parameters, {many:.0f} with 16"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("syscalls", "instructions"))
    parser.add_argument("program", help="cost-launches")
    parser.add_argument("wrapper", nargs="+", help="cubar-run and its options")
    arguments = parser.parse_args()
    cases = {"syscalls": syscall_cases, "instructions": instruction_cases}[arguments.what]
    number, failed = 0, False
    for case in cases(arguments.wrapper, arguments.program):
        number += 1
        print(f"{'not ok' if case.objections else 'ok'} {number} {case.title}")
        for line in [*case.notes, *case.objections]:
            print(f"# {line}")
        failed |= bool(case.objections)
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
