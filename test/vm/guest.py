# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest that runs jobs. Everything waits for an event: a line of the guest, a process's end."""

import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

MACHINE = ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
           "-nodefaults", "-display", "none", "-no-user-config"]


class GuestError(Exception):
    """The guest did not do in time what it had to."""


class Job:
    """One command in the guest."""

    def __init__(self, guest, name):
        self.guest = guest
        self.name = name
        self.code = None
        self.lines = queue.Queue()
        self.ended = threading.Event()

    def send(self, line):
        """Gives the job a line to read."""
        self.guest.send(f"in {self.name} {line}")

    def each_line(self, limit, wanted="end"):
        """Yields the lines that it writes, as they come, up to its end."""
        deadline = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise GuestError(f"no '{wanted}' in {limit} s\n{self.said()}") from None
            if line is None:
                return
            yield line

    def expect(self, wanted, limit=60):
        """Waits for a line that starts with `wanted` and returns it."""
        for line in self.each_line(limit, wanted):
            if line.startswith(wanted):
                return line
        raise GuestError(f"ended with {self.code} before '{wanted}'\n{self.said()}")

    def wait(self, limit=120):
        """Waits for the end; the exit code."""
        if not self.ended.wait(limit):
            raise GuestError(f"job {self.name} did not end in {limit} s")
        return self.code

    def output(self):
        return self._result("out")

    def errors(self):
        return self._result("err").decode(errors="replace")

    def said(self, characters=600):
        """The end of what it wrote, for a message."""
        return (self.output().decode(errors="replace")[-characters:] + self.errors()[-characters:])

    def _result(self, kind):
        path = self.guest.share / "results" / f"{self.name}.{kind}"
        return path.read_bytes() if path.exists() else b""


class Guest:
    """Boots at construction of the process; `share` is /host in the guest, and each of `read_only`, a
    name and a directory of this machine, is /NAME."""

    def __init__(self, directory, vmlinux, initramfs, devices, append="", read_only=(),
                 memory="1G"):
        self.directory = Path(directory)
        self.share = self.directory / "share"
        for name in ("jobs", "results", "bin", "lib"):
            (self.share / name).mkdir(parents=True, exist_ok=True)
        self.control_path = self.directory / "control"
        self.console_path = self.directory / "console.log"
        self.command = [
            "qemu-system-x86_64", *MACHINE, "-m", memory, "-kernel", str(vmlinux), "-initrd", str(initramfs),
            "-append", f"console=ttyS0 quiet {append}",
            "-serial", f"file:{self.console_path}",
            "-chardev", f"socket,id=control,path={self.control_path},server=on,wait=off",
            "-device", "virtio-serial-pci,id=ports",
            "-device", "virtserialport,bus=ports.0,nr=1,chardev=control,name=control",
            "-virtfs", f"local,path={self.share},mount_tag=host,security_model=none",
            *devices,
        ]
        for name, path in read_only:
            self.command += ["-virtfs", f"local,path={Path(path).resolve()},mount_tag={name},"
                             "security_model=none,readonly=on"]
        self.process = None
        self.connection = None
        self.ready = queue.Queue()
        self.jobs = {}
        self.stderr_path = self.directory / "qemu.log"

    def start(self):
        """Starts QEMU; `wait_ready` says when the guest serves jobs."""
        with open(self.stderr_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        self.connection = self._connect()
        threading.Thread(target=self._listen, daemon=True).start()

    def _connect(self):
        # QEMU makes the socket before it runs the guest; there is nothing to wait on but itself.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.control_path))
                return connection
            except OSError:
                connection.close()
            try:
                code = self.process.wait(timeout=0.05)
                raise GuestError(f"QEMU ended with {code}: {self.stderr_path.read_text()}")
            except subprocess.TimeoutExpired:
                pass
        raise GuestError("QEMU opened no control socket")

    def _listen(self):
        with self.connection.makefile("r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                verb, _, rest = line.rstrip("\n").partition(" ")
                name, _, text = rest.partition(" ")
                if verb == "ready":
                    self.ready.put(float(name))
                elif verb == "out" and name in self.jobs:
                    self.jobs[name].lines.put(text)
                elif verb == "end" and name in self.jobs:
                    job = self.jobs[name]
                    job.code = int(text)
                    job.lines.put(None)
                    job.ended.set()
        self.ready.put(None)

    def send(self, line):
        self.connection.sendall(line.encode() + b"\n")

    def wait_ready(self, limit=60):
        """Waits until the guest serves jobs; the seconds that its kernel had been up by then."""
        try:
            uptime = self.ready.get(timeout=limit)
        except queue.Empty:
            uptime = None
        if uptime is None:
            console = self.console_path.read_text(errors="replace")[-2000:]
            raise GuestError(f"the guest did not boot in {limit} s\n{console}")
        return uptime

    def put(self, path, folder="bin"):
        """Copies a file into the share; its name in the guest."""
        target = self.share / folder / Path(path).name
        shutil.copy(path, target)
        os.chmod(target, 0o755)
        return f"/host/{folder}/{Path(path).name}"

    def run(self, script, user="guest"):
        """Starts a shell script in the guest."""
        name = f"{len(self.jobs):03d}"
        job = self.jobs[name] = Job(self, name)
        (self.share / "jobs" / f"{name}.sh").write_text(script + "\n", encoding="utf-8")
        self.send(f"run {name} {user}")
        return job

    def call(self, script, user="guest", limit=120):
        """Runs a shell script to its end; the job."""
        job = self.run(script, user)
        job.wait(limit)
        return job

    def stop(self):
        """Ends QEMU, whatever the guest does."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.connection:
            self.connection.close()
