#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a guest on a cubard of its own, runs every case in it, and prints TAP."""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# This directory's own cases come before llama's.
sys.path[1:1] = [str(HERE.parent / "conformance"), str(HERE.parent / "llama"), str(HERE.parents[1] / "scripts")]

import cases  # noqa: E402
import generation  # noqa: E402
import image  # noqa: E402
import llama  # noqa: E402
import nvml  # noqa: E402
from daemon import Cubard, DaemonError  # noqa: E402
from guest import Guest, GuestError  # noqa: E402
from program import environment, run  # noqa: E402
from tap import run_case  # noqa: E402


class Bench:
    """All that a case works with."""

    def __init__(self, arguments, directory):
        self.arguments = arguments
        self.directory = directory
        self.cubard = Cubard(directory, arguments.cubard, arguments.softgpu)
        self.programs = {path.name: path
                         for path in (*arguments.programs, arguments.client, arguments.smi, arguments.doctor)}
        self.guest = None

    def boot(self, initramfs, vmlinux, append=""):
        """A guest with another ivshmem device in front of ours."""
        foreign = self.directory / "foreign"
        foreign.write_bytes(b"this memory belongs to somebody else".ljust(1 << 20, b"."))
        self.guest = Guest(self.directory / f"guest{append}", vmlinux, initramfs, [
            "-object", f"memory-backend-file,id=foreign,share=on,size=1M,mem-path={foreign}",
            "-device", "ivshmem-plain,memdev=foreign",
            "-chardev", f"socket,path={self.cubard.socket},id=cubar",
            "-device", "ivshmem-doorbell,chardev=cubar,vectors=1",
        ], append, [("llama", self.arguments.llama), ("cuda", self.arguments.cuda_libraries)])
        self.guest.put(self.arguments.libcuda, "lib")
        self.guest.put(Path(self.arguments.cuda_libraries) / "libcudart.so.13", "lib")
        for path in self.programs.values():
            self.guest.put(path)
        self.guest.start()
        return self.guest.wait_ready()

    def path_of(self, name):
        return f"/host/bin/{name}"

    def reference(self, name):
        library = str(self.arguments.softgpu.parent)
        variables = environment(library, self.arguments.cuda_libraries)
        return run([str(self.programs[name])], variables, 120)

    def close(self):
        if self.guest:
            self.guest.stop()
        self.cubard.stop()


def absolute(name):
    return Path(name).resolve()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=absolute, required=True, help="where the guest's kernel is kept")
    parser.add_argument("--cubard", type=absolute, required=True)
    parser.add_argument("--libcuda", type=absolute, required=True, help="the guest's libcuda.so.1")
    parser.add_argument("--softgpu", type=absolute, required=True, help="the host's libcuda.so.1")
    parser.add_argument("--client", type=absolute, required=True)
    parser.add_argument("--smi", type=absolute, required=True, help="cubar-smi")
    parser.add_argument("--doctor", type=absolute, required=True, help="cubar-doctor")
    parser.add_argument("--cuda-libraries", required=True, help="directory of libcudart.so.13")
    parser.add_argument("programs", nargs="*", type=absolute, help="conformance programs")
    arguments = parser.parse_args()

    try:
        arguments.llama = llama.prepare()
    except llama.Failed as failure:
        print("Bail out! " + " ".join(str(failure).splitlines()))
        return 1
    shared = [*map(cases.program_case, (p.name for p in arguments.programs)), *generation.CASES,
              *nvml.CASES, *cases.SHARED_BOOT]
    print(f"1..{len(shared) + len(cases.LOCKED_BOOT)}")
    results = []
    with tempfile.TemporaryDirectory(prefix="cubar-vm-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        initramfs = directory / "initramfs"
        bench = Bench(arguments, directory)
        try:
            vmlinux, modules = image.kernel(arguments.cache)
            image.initramfs(initramfs, modules)
            bench.cubard.start()
            print(f"# first boot: {bench.boot(initramfs, vmlinux):.1f} s")
            for case in shared:
                results.append(run_case(bench, len(results) + 1, case))
            bench.guest.stop()
            bench.boot(initramfs, vmlinux, "lockdown=integrity")
            for case in cases.LOCKED_BOOT:
                results.append(run_case(bench, len(results) + 1, case))
        except (GuestError, DaemonError, image.ImageError) as failure:
            results.append(False)
            print("Bail out! " + " ".join(str(failure).splitlines()))
        finally:
            bench.close()
            if not all(results) or not results:
                print("# the end of cubard's log:")
                for line in bench.cubard.tail(40).splitlines():
                    print(f"# {line}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
