#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs conformance programs on a libcuda.so.1 and prints TAP.

Each program must exit with 0 within the time limit. With a wrapper (cubar-run), it runs twice,
directly and wrapped, and both runs must agree in exit code and, byte by byte, in stdout and stderr.
--control proves that a wrong program, wrapper or library is caught.
"""

import argparse
import difflib
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from program import environment, run


@dataclass
class Setup:
    """Where the libraries are and what a run may take."""

    library: str
    cuda_libraries: str
    wrapper: list
    limit: float
    more: dict = field(default_factory=dict)


def tail(text, lines=12):
    return text.decode(errors="replace").splitlines()[-lines:]


def differences(direct, wrapped):
    return list(
        difflib.unified_diff(
            direct.decode(errors="replace").splitlines(),
            wrapped.decode(errors="replace").splitlines(),
            "direct",
            "wrapped",
            lineterm="",
        )
    )[:40]


def check(program, setup):
    """Runs one program; returns the seconds that it took and the reasons why it failed."""
    command = [str(program)]
    direct = run(command, environment(setup.library, setup.cuda_libraries) | setup.more, setup.limit)
    if direct.code != 0:
        return direct.seconds, [f"direct run {direct.ended()}", *tail(direct.stdout), *tail(direct.stderr)]
    if not direct.stdout:
        return direct.seconds, ["direct run printed nothing"]
    if not setup.wrapper:
        return direct.seconds, []
    wrapped = run(setup.wrapper + command, environment(setup.cuda_libraries) | setup.more, setup.limit)
    if wrapped.code != direct.code:
        return wrapped.seconds, [f"wrapped run {wrapped.ended()}", *tail(wrapped.stdout), *tail(wrapped.stderr)]
    if wrapped.stdout != direct.stdout:
        return wrapped.seconds, ["outputs differ", *differences(direct.stdout, wrapped.stdout)]
    if wrapped.stderr != direct.stderr:
        return wrapped.seconds, ["stderr differs", *differences(direct.stderr, wrapped.stderr)]
    return wrapped.seconds, []


def run_all(programs, setup):
    print(f"1..{len(programs)}")
    failed = 0
    for number, program in enumerate(programs, 1):
        seconds, reasons = check(program, setup)
        failed += bool(reasons)
        print(f"{'not ok' if reasons else 'ok'} {number} - {Path(program).name} # {seconds:.2f} s")
        for reason in reasons:
            print(f"# {reason}")
        sys.stdout.flush()
    print(f"# {len(programs) - failed} passed, {failed} failed")
    return 1 if failed else 0


ALTER_BYTE = """
import subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
sys.stdout.buffer.write(done.stdout[:-2] + bytes([done.stdout[-2] ^ 1]) + done.stdout[-1:])
sys.exit(done.returncode)
"""
SAY_MORE = "import subprocess, sys; sys.stderr.write('!'); sys.exit(subprocess.run(sys.argv[1:]).returncode)"
ALTER_CODE = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode + 1)"
HANG = "import signal; signal.pause()"


def control(broken, good, setup):
    """Passes when the good program passes and every deliberate defect is found."""
    def through(script, limit=setup.limit):
        library = f"LD_LIBRARY_PATH={setup.library}:{setup.cuda_libraries}"
        return Setup(setup.library, setup.cuda_libraries,
                     ["env", library, sys.executable, "-c", script], limit)

    with tempfile.TemporaryDirectory() as empty:
        cases = [
            ("a good program passes", good, setup, True),
            ("a wrong kernel", broken, setup, False),
            ("an altered byte of output", good, through(ALTER_BYTE), False),
            ("a line on stderr", good, through(SAY_MORE), False),
            ("an altered exit code", good, through(ALTER_CODE), False),
            ("a hang", good, through(HANG, min(setup.limit, 10)), False),
            ("no driver library", good, Setup(empty, setup.cuda_libraries, [], setup.limit), False),
        ]
        print(f"1..{len(cases)}")
        failed = 0
        for number, (name, program, case, passes) in enumerate(cases, 1):
            _, reasons = check(program, case)
            right = passes == (not reasons)
            failed += not right
            verdict = "passes" if not reasons else f"caught: {reasons[0]}"
            print(f"{'ok' if right else 'not ok'} {number} - {name} # {verdict}")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="", help="directory of libcuda.so.1; empty: the system's")
    parser.add_argument("--cuda-libraries", default="", help="directory of libcudart.so.13")
    parser.add_argument("--wrapper", default="", help="command that runs a program through cubar")
    parser.add_argument("--capability", default="", help="compute capability of the software GPU")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each run")
    parser.add_argument("--control", metavar="BROKEN", help="prove that defects are caught")
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    setup = Setup(arguments.library, arguments.cuda_libraries, shlex.split(arguments.wrapper), arguments.limit,
                  {"CUBAR_SOFTGPU_CC": arguments.capability} if arguments.capability else {})
    if arguments.control:
        return control(arguments.control, arguments.programs[0], setup)
    return run_all(arguments.programs, setup)


if __name__ == "__main__":
    sys.exit(main())
