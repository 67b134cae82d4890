# SPDX-License-Identifier: Apache-2.0
"""One run of one CUDA program: its environment, its end, what it wrote."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

# The software GPU at its unkindest; whatever would change an answer is left out.
STRICT = {"CUBAR_SOFTGPU_STRICT": "1"}
DROPPED = ("LD_LIBRARY_PATH", "CUDA_", "CUBAR_SOFTGPU_", "CUBAR_DEVICE")


@dataclass
class Outcome:
    """One run of one program: what it wrote, and its exit code or None for a time-out."""

    stdout: bytes
    stderr: bytes
    code: int | None
    seconds: float

    def ended(self):
        if self.code is None:
            return f"exceeded the time limit after {self.seconds:.0f} s"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"exited with {self.code}"


def environment(*library_directories):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
    path = ":".join(d for d in library_directories if d)
    return kept | STRICT | ({"LD_LIBRARY_PATH": path} if path else {})


def run(command, variables, limit):
    begin = time.monotonic()
    process = subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=limit)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        code = None
    return Outcome(stdout, stderr, code, time.monotonic() - begin)
