#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots Debian with systemd on a cubard of its own, installs the package in it, and prints TAP.

OLLAMA names a real ollama for the service, OLLAMA_MODEL its model.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "vm"), str(HERE.parents[1] / "scripts"), str(HERE.parent / "llama"),
                 str(HERE.parent / "conformance")]

import debian  # noqa: E402
import doctor_cases  # noqa: E402
import image  # noqa: E402
import llama  # noqa: E402
import package_cases  # noqa: E402
import service_cases  # noqa: E402
from application import Ollama, Replica  # noqa: E402
from daemon import Cubard, DaemonError  # noqa: E402
from demo_ollama import BadOllama  # noqa: E402
from guest import Guest, GuestError  # noqa: E402
from qmp import Qmp  # noqa: E402
from tap import run_case  # noqa: E402


# What is run in the guest besides the service.
PROGRAMS = ("test/vm/client", "test/ollama/replica-in_process", "test/ollama/replica-runner",
            "test/ollama/replica-probe")


class Bench:
    """All that a case works with."""

    device = "gpu"

    def __init__(self, arguments, directory, application):
        self.directory = directory
        self.package = arguments.package
        self.application = application
        self.cubard = Cubard(directory, arguments.cubard, arguments.softgpu)
        self.programs = arguments.programs
        self.before = None
        self.files = None
        self.tokens = None
        self.guest = None
        self.qmp = None
        self.connections = 0

    def boot(self, cache):
        vmlinux, modules = debian.kernel(cache)
        debian.initramfs(self.directory / "initramfs", modules)
        monitor = self.directory / "monitor"
        foreign = self.directory / "foreign"
        foreign.write_bytes(b"this memory belongs to somebody else".ljust(1 << 20, b"."))
        self.guest = Guest(self.directory, vmlinux, self.directory / "initramfs", [
            # What the guest writes goes to a file that vanishes with QEMU.
            "-drive", f"file={debian.root(cache)},format=raw,if=none,id=root,snapshot=on",
            "-device", "virtio-blk-pci,drive=root",
            # A device of the same id that is none of ours.
            "-object", f"memory-backend-file,id=foreign,share=on,size=1M,mem-path={foreign}",
            "-device", "ivshmem-plain,memdev=foreign",
            "-device", "pcie-root-port,id=plug,chassis=1,slot=1",
            "-chardev", f"socket,path={self.cubard.socket},id=cubar0",
            "-device", f"ivshmem-doorbell,id={self.device},bus=plug,chardev=cubar0,vectors=1",
            "-qmp", f"unix:{monitor},server=on,wait=off",
        ], read_only=self.application.shares, memory=self.application.memory)
        self.application.put(self.guest.share / "ollama")
        self.guest.put(HERE / "install_ollama")
        for program in self.programs:
            self.guest.put(program)
        self.guest.put(self.package, "lib")
        self.guest.start()
        seconds = self.wait_boot()
        self.qmp = Qmp(monitor)
        return seconds

    def wait_boot(self):
        """Until systemd has started everything; the seconds that the guest's kernel has been up."""
        self.guest.wait_ready(180)
        job = self.guest.call("systemctl is-system-running --wait; cut -d' ' -f1 /proc/uptime", "root")
        state, uptime = job.output().decode().split()
        if state != "running":
            failed = self.guest.call("systemctl --failed --no-legend --plain", "root").output().decode()
            raise GuestError(f"the guest is {state}: {failed}")
        return float(uptime)

    def unplug(self):
        self.qmp.call("device_del", id=self.device)
        self.qmp.await_event("DEVICE_DELETED", device=self.device)
        self.qmp.call("chardev-remove", id=f"cubar{self.connections}")

    def plug(self):
        """As an administrator plugs it: with a connection of its own."""
        self.connections += 1
        name = f"cubar{self.connections}"
        self.qmp.call("chardev-add", id=name, backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": str(self.cubard.socket)}}, "server": False}})
        self.qmp.call("device_add", driver="ivshmem-doorbell", id=self.device, bus="plug", chardev=name,
                      vectors=1)

    def close(self):
        if self.qmp:
            self.qmp.close()
        if self.guest:
            self.guest.stop()
        self.cubard.stop()


def application(cuda):
    if path := os.environ.get("OLLAMA"):
        return Ollama(path, os.environ.get("OLLAMA_MODEL"), cuda)
    return Replica(cuda)


def absolute(name):
    return Path(name).resolve()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=absolute, required=True, help="where image and kernel are kept")
    parser.add_argument("--build", type=absolute, required=True, help="build directory")
    parser.add_argument("--package", type=absolute, required=True, help="cubar-ollama's .deb")
    parser.add_argument("--cuda-libraries", type=absolute, required=True, help="directory of libcudart.so.13")
    parser.add_argument("--only", default="", help="run the cases whose names contain this, and setup")
    arguments = parser.parse_args()
    arguments.cubard = arguments.build / "host/cubard/cubard"
    arguments.softgpu = arguments.build / "softgpu/libcuda.so.1"
    arguments.programs = [arguments.build / name for name in PROGRAMS]

    try:
        client = application(arguments.cuda_libraries)
    except (BadOllama, llama.Failed) as failure:
        print("Bail out! " + " ".join(str(failure).splitlines()))
        return 1
    cases = [case for case in (*package_cases.FIRST, *doctor_cases.CASES, *service_cases.CASES, *package_cases.LAST)
             if case in package_cases.FIRST or arguments.only in case.__name__]
    print(f"1..{len(cases)}")
    results = []
    with tempfile.TemporaryDirectory(prefix="cubar-system-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        bench = Bench(arguments, directory, client)
        begin = time.monotonic()
        try:
            bench.cubard.start()
            print(f"# {client.title}; the guest is up after {bench.boot(arguments.cache):.1f} s", flush=True)
            for case in cases:
                results.append(run_case(bench, len(results) + 1, case))
        except (GuestError, DaemonError, image.ImageError, OSError) as failure:
            results.append(False)
            print("Bail out! " + " ".join(str(failure).splitlines()))
        finally:
            if not all(results) or not results:
                report(bench)
            bench.close()
        print(f"# {time.monotonic() - begin:.0f} s in all")
    return 0 if all(results) else 1


def report(bench):
    """What helps to find out why."""
    log = bench.cubard.tail(40)
    if bench.guest:
        log += "\n" + bench.guest.stderr_path.read_text(errors="replace")
    if bench.guest and bench.guest.jobs:
        try:
            log += bench.guest.call("journalctl -b -n 60 --no-pager -o cat", "root", 30).output().decode()
        except (GuestError, OSError) as error:
            log += f"\nno journal: {error}"
    for line in log.splitlines():
        print(f"# {line}")


if __name__ == "__main__":
    sys.exit(main())
