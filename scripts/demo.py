#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a VM that has no NVIDIA driver and shows CUDA programs running in it."""

import sys
import tempfile
import time
from pathlib import Path

from build import ROOT

sys.path.insert(0, str(ROOT / "test" / "vm"))

import image  # noqa: E402
from daemon import Cubard  # noqa: E402
from guest import Guest  # noqa: E402

PROGRAMS = {
    "vector_add": "adds vectors",
    "matrix_multiply": "multiplies matrices through shared memory",
    "streams": "lets streams wait for each other",
    "device_printf": "prints from kernels",
    "thrust_sort": "sorts with Thrust",
}
FILES = {
    "cubard": "host/cubard/cubard",
    "softgpu": "softgpu/libcuda.so.1",
    "libcuda": "libcuda/libcuda.so.1",
}


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(text):
    for line in text.rstrip().splitlines():
        print(f"    {line}")
    sys.stdout.flush()


def demonstrate(guest, build):
    say("In the guest, lspci lists the device through which the GPU comes:")
    show(guest.call("lspci | grep -i 'shared memory'", "root").output().decode())
    say("There is no NVIDIA driver in the guest:")
    show(guest.call("ls /dev/nvidia* /proc/driver/nvidia 2>&1; echo; id").output().decode())
    failed = 0
    for name, what in PROGRAMS.items():
        begin = time.monotonic()
        path = guest.put(build / "test" / "conformance" / name)
        job = guest.call(f"LD_LIBRARY_PATH=/host/lib exec {path}")
        say(f"{name}, built by nvcc, {what}: exit code {job.code}, {time.monotonic() - begin:.1f} s")
        show(job.output().decode(errors="replace") + job.errors())
        failed += job.code != 0
    return failed


def main():
    build = (ROOT / sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="cubar-demo-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        say("Preparing a guest: Debian's kernel, BusyBox, the C++ runtime")
        vmlinux, modules = image.kernel(ROOT / "build" / "cache")
        image.initramfs(directory / "initramfs", modules)
        cubard = Cubard(directory, build / FILES["cubard"], build / FILES["softgpu"])
        guest = Guest(directory, vmlinux, directory / "initramfs", [
            "-chardev", f"socket,path={cubard.socket},id=cubar",
            "-device", "ivshmem-doorbell,chardev=cubar,vectors=1"])
        guest.put(build / FILES["libcuda"], "lib")
        try:
            say("Starting cubard on the software GPU, and the VM (emulated: this machine's KVM is not used)")
            cubard.start()
            guest.start()
            print(f"    the guest was up after {guest.wait_ready():.1f} s")
            failed = demonstrate(guest, build)
            say("What cubard saw:")
            cubard.stop()
            show("\n".join(line for line in cubard.tail(200).splitlines()
                           if "launches" in line or "worker:" not in line))
        finally:
            guest.stop()
            cubard.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
