#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside of CUDA's own rules: each case gets CUDA's fitting error in time and a log
that says what to do, and leaves nothing behind. Prints TAP. docs/testing.md lists all cases, those
of test/vm too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import cases  # noqa: E402
from bench import Bench, Failure  # noqa: E402
from host import HostError  # noqa: E402


def absolute(name):
    return Path(name).resolve()


def run_case(arguments, number, case):
    begin = time.monotonic()
    reason = None
    with tempfile.TemporaryDirectory(prefix="cubar-bad-") as directory:
        Path(directory).chmod(0o755)
        bench = Bench(arguments, Path(directory))
        try:
            case(bench)
        except (Failure, HostError, OSError) as failure:
            reason = f"{failure}\ncubard's log:\n{bench.cubard.log() if bench.cubard else '(none)'}"
        finally:
            bench.close()
    print(f"{'not ok' if reason else 'ok'} {number} - {case.__name__} # {time.monotonic() - begin:.1f} s")
    for line in (reason or "").splitlines():
        print(f"# {line}")
    sys.stdout.flush()
    return reason is None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cubard", type=absolute, required=True)
    parser.add_argument("--libcuda", type=absolute, required=True, help="the guest's libcuda.so.1")
    parser.add_argument("--softgpu", type=absolute, required=True, help="the host's libcuda.so.1")
    parser.add_argument("--fatbin", type=absolute, required=True)
    parser.add_argument("--cubin", type=absolute, required=True)
    parser.add_argument("--ptx", type=absolute, required=True)
    parser.add_argument("--only", help="the name of one case")
    arguments = parser.parse_args()
    wanted = [case for case in cases.ALL if arguments.only in (None, case.__name__)]
    print(f"1..{len(wanted)}")
    results = [run_case(arguments, number, case) for number, case in enumerate(wanted, 1)]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
