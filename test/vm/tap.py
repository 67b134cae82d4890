# SPDX-License-Identifier: Apache-2.0
"""One case of a guest's suite, as lines of TAP."""

import sys
import time

from cases import Failure
from daemon import DaemonError
from guest import GuestError


def run_case(bench, number, case):
    begin = time.monotonic()
    try:
        case(bench)
        reason = None
    except (Failure, GuestError, DaemonError, OSError) as failure:
        reason = str(failure)
    seconds = time.monotonic() - begin
    print(f"{'not ok' if reason else 'ok'} {number} - {case.__name__} # {seconds:.1f} s")
    for line in (reason or "").splitlines():
        print(f"# {line}")
    sys.stdout.flush()
    return reason is None
