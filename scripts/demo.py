#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a VM that has no NVIDIA driver, and generates text in it on the GPU that cubard offers.

The client is a prebuilt llama.cpp, or the ollama that OLLAMA names (its binary or its directory), then
with the model of OLLAMA_MODEL, if that is set.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import llama
from build import ROOT, Build
from demo_llama import LlamaCpp
from demo_ollama import BadOllama, Ollama

sys.path.insert(0, str(ROOT / "test" / "vm"))

import image  # noqa: E402
from daemon import Cubard, DaemonError  # noqa: E402
from guest import Guest, GuestError  # noqa: E402

CUBARD = "host/cubard/cubard"
SOFTGPU = "softgpu/libcuda.so.1"
LIBCUDA = "libcuda/libcuda.so.1"
TARGETS = (CUBARD, "host/cubard/cubar-keeper", "host/worker/cubar-worker", SOFTGPU, LIBCUDA)


class Screen:
    """What the demo prints, as it comes."""

    def __init__(self):
        self.begin = time.monotonic()

    def say(self, text):
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    def show(self, text):
        for line in text.rstrip().splitlines():
            print(f"    {line}")
        sys.stdout.flush()

    def progress(self, text):
        print(f"    [{time.monotonic() - self.begin:5.1f} s] {text}", flush=True)

    def stream(self, text):
        print(text, end="", flush=True)


def client(cuda):
    """What generates. Raises BadOllama or llama.Failed."""
    if path := os.environ.get("OLLAMA"):
        return Ollama(path, os.environ.get("OLLAMA_MODEL"))
    return LlamaCpp(cuda)


def demonstrate(application, guest, screen):
    screen.say("In the guest, lspci lists the device through which the GPU comes:")
    screen.show(guest.call("lspci | grep -i 'shared memory'", "root").output().decode())
    screen.say("There is no NVIDIA driver in the guest, and this is no root:")
    screen.show(guest.call("ls /dev/nvidia* /proc/driver/nvidia 2>&1; id").output().decode())
    return application.run(guest, screen)


def boot_and_demonstrate(application, build, directory, screen):
    screen.say("Preparing a guest: Debian's kernel, BusyBox, the C++ runtime")
    vmlinux, modules = image.kernel(ROOT / "build" / "cache")
    image.initramfs(directory / "initramfs", modules)
    cubard = Cubard(directory, build / CUBARD, build / SOFTGPU)
    guest = Guest(directory, vmlinux, directory / "initramfs", [
        "-chardev", f"socket,path={cubard.socket},id=cubar",
        "-device", "ivshmem-doorbell,chardev=cubar,vectors=1"],
        read_only=application.shares, memory=application.memory)
    guest.put(build / LIBCUDA, "lib")
    application.put(guest)
    try:
        screen.say("Starting cubard on the software GPU, and the VM (emulated: KVM is not used)")
        cubard.start()
        guest.start()
        screen.progress(f"the guest is up, {guest.wait_ready():.1f} s after its kernel")
        well = demonstrate(application, guest, screen)
        screen.say("What cubard saw:")
        cubard.stop()
        screen.show(cubard.tail(200))
        return well
    finally:
        guest.stop()
        cubard.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", type=Path, required=True, help="directory of the CUDA Toolkit")
    parser.add_argument("--build", default="release", help="build directory under build/")
    arguments = parser.parse_args()
    try:
        # First, because this says at once what is wrong with it.
        application = client(arguments.cuda)
        build = Build(arguments.build, arguments.cuda)
        if not build.compile(TARGETS):
            return 1
        with tempfile.TemporaryDirectory(prefix="cubar-demo-") as name:
            Path(name).chmod(0o755)
            well = boot_and_demonstrate(application, build.directory, Path(name), Screen())
    except (BadOllama, llama.Failed, image.ImageError, DaemonError, GuestError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
