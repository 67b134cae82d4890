# SPDX-License-Identifier: Apache-2.0
"""What stands on the host: a cubard for local programs, and a device that only claims to be one."""

import array
import mmap
import os
import signal
import socket
import struct
import subprocess
import time

LIMIT = 20.0
MIB = 1 << 20


class HostError(Exception):
    """cubard did not do what it had to."""


class Cubard:
    """cubard --local on the software GPU; `start` returns when it says that it is ready."""

    def __init__(self, directory, executable, driver, options):
        self.directory = directory
        settings = {"--bar": "64 MiB", "--channels": "4"} | options
        self.arguments = [str(executable), "--local", f"{directory}/socket", "--gpu", "soft",
                          "--driver", str(driver), *(word for pair in settings.items() for word in pair)]
        self.device = f"local:{directory}/socket"
        self.log_path = directory / "cubard.log"
        self.process = None

    def start(self):
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.log_path, "ab") as log:
            notify.bind(str(path))
            notify.settimeout(LIMIT)
            environment = os.environ | {"NOTIFY_SOCKET": str(path), "CUBAR_SOFTGPU_STRICT": "1"}
            environment.pop("FDSTORE", None)
            self.process = subprocess.Popen(self.arguments, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
            try:
                if b"READY=1" not in notify.recv(4096):
                    raise HostError("cubard says something else than READY=1")
            except TimeoutError:
                raise HostError(f"cubard is not ready: {self.log()}") from None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, wanted, count=1):
        deadline = time.monotonic() + LIMIT
        while self.log().count(wanted) < count:
            if time.monotonic() > deadline:
                raise HostError(f"cubard's log never says '{wanted}': {self.log()}")
            os.sched_yield()

    def workers(self):
        """The processes that cubard started and that live."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise HostError("cubard does not end") from None


class FalseDevice:
    """Greets as cubard does (docs/protocol.md, the local protocol), with a header of our making."""

    CHANNELS = 1

    def __init__(self, directory, header, size=16 * MIB):
        self.path = f"{directory}/false"
        self.device = f"local:{self.path}"
        self.memory = os.memfd_create("false")
        os.ftruncate(self.memory, size)
        with mmap.mmap(self.memory, 4096) as page:
            page[:len(header)] = header
        self.doorbells = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(1 + self.CHANNELS)]
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen()

    def greet(self):
        """Serves the next client."""
        self.listener.settimeout(LIMIT)
        client, _ = self.listener.accept()
        with client:
            fds = array.array("i", [self.memory, *self.doorbells])
            hello = struct.pack("<4sIII", b"CUBL", 1, len(fds), 0)
            client.sendmsg([hello], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])

    def close(self):
        self.listener.close()
        for fd in (self.memory, *self.doorbells):
            os.close(fd)


def header(magic=b"CUBARBAR", layout=1, bar=16 * MIB, state=1):
    """The header page of a good memory with one channel, except for what is named."""
    page = bytearray(192)
    struct.pack_into("<8sII", page, 0, magic, layout, 1)
    struct.pack_into("<QQQQQIIIIQQ", page, 16, bar, 4096, 18024, 2 * MIB, 2 * MIB, 1, 1, 2, 2 * MIB,
                     4 * MIB, 12 * MIB)
    struct.pack_into("<QI", page, 128, 77, state)
    return bytes(page)
