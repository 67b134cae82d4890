# SPDX-License-Identifier: Apache-2.0
"""A cubard of our own, with a configuration made for the test."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIGURATION = """\
[host]
gpu = "soft"
driver = "{driver}"
runtime_directory = "{runtime}"
descriptor_store = "keeper"

[[vm]]
name = "test"
socket = "{socket}"
bar = "256 MiB"
"""


class DaemonError(Exception):
    """cubard did not start."""


class Cubard:
    """cubard as a child process; `start` returns when it says that it is ready."""

    def __init__(self, directory, executable, driver):
        self.directory = Path(directory)
        self.executable = executable
        self.socket = self.directory / "vm.socket"
        self.configuration = self.directory / "cubard.toml"
        self.log = self.directory / "cubard.log"
        self.process = None
        runtime = self.directory / "runtime"
        runtime.mkdir(exist_ok=True)
        self.configuration.write_text(
            CONFIGURATION.format(driver=driver, runtime=runtime, socket=self.socket), encoding="utf-8")

    def start(self, limit=30):
        """Starts cubard and waits for READY=1 by the protocol of sd_notify."""
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(0.2)
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [self.executable, "--config", self.configuration],
                    env=os.environ | {"NOTIFY_SOCKET": str(path), "CUBAR_SOFTGPU_STRICT": "1"},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            deadline = time.monotonic() + limit
            while True:
                try:
                    if b"READY=1" in notify.recv(4096):
                        return
                except TimeoutError:
                    if self.process.poll() is not None:
                        raise DaemonError(f"cubard ended with {self.process.returncode}") from None
                    if time.monotonic() > deadline:
                        raise DaemonError(f"cubard was not ready in {limit} s") from None

    def kill(self):
        """SIGKILL, as a crash would end it; nothing where it has ended."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, limit=10):
        """Ends cubard politely; the exit code, or None if it had to be killed."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def tail(self, lines=15):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
