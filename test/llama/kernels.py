#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a libcuda.so.1 for every kernel of llama.cpp's CUDA backend, and counts those that it refuses.

No kernel is launched: a driver must decode a kernel before it can name its function. Prints one line
of TAP, and the first reason of each refusal, with counts.
"""

import argparse
import ctypes
import os
import re
import struct
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "test" / "census")]

import llama  # noqa: E402
from driver import Driver  # noqa: E402

MAGIC = b"\x50\xed\x55\xba\x01\x00"  # of a fatbin container, and its version


def section(path, name):
    """The bytes of an ELF section."""
    data = path.read_bytes()
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    for header in headers:
        text = data[headers[names][4] + header[0]:]
        if text[:len(name) + 1] == name + b"\0":
            return data[header[4]:header[4] + header[5]]
    return b""


def containers(data):
    """The fatbins in it, each a header of 16 bytes that has its size, and its entries."""
    at = data.find(MAGIC)
    while at >= 0:
        header, length = struct.unpack_from("<HQ", data, at + 6)
        yield data[at:at + header + length]
        at = data.find(MAGIC, at + header + length)


class Kernels(Driver):
    """Loads fatbins and asks for their kernels."""

    def kernels(self, container):
        """Loads a fatbin and yields each of its kernels."""
        library, count = ctypes.c_void_p(), ctypes.c_uint()
        self.call("cuLibraryLoadData", ctypes.byref(library), container, None, None, 0, None, None, 0)
        self.call("cuLibraryGetKernelCount", ctypes.byref(count), library)
        kernels = (ctypes.c_void_p * count.value)()
        if count.value > 0:
            self.call("cuLibraryEnumerateKernels", kernels, count, library)
        for kernel in kernels:
            yield ctypes.c_void_p(kernel)
        self.call("cuLibraryUnload", library)

    def usable(self, kernel):
        function = ctypes.c_void_p()
        return self.cuda.cuKernelGetFunction(ctypes.byref(function), kernel) == 0


def ask(library, backend, log):
    """Returns how many kernels there are and how many are refused, and the seconds it took."""
    os.environ |= {"CUBAR_LOG": log, "CUBAR_LOG_LEVEL": "error"}
    driver = Kernels(library)
    begin = time.monotonic()
    total = refused = 0
    for container in containers(section(backend, b".nv_fatbin")):
        for kernel in driver.kernels(container):
            total += 1
            refused += not driver.usable(kernel)
    return total, refused, time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="the libcuda.so.1")
    parser.add_argument("--capability", default="", help="compute capability of the software GPU")
    options = parser.parse_args()
    if options.capability:
        os.environ["CUBAR_SOFTGPU_CC"] = options.capability
    try:
        backend = llama.prepare() / "lib" / "libggml-cuda.so"
    except llama.Failed as error:
        print(f"Bail out! {error}")
        return 1
    log = f"/tmp/cubar-kernels-{os.getpid()}.log"
    try:
        total, refused, seconds = ask(options.library, backend, log)
        text = Path(log).read_text(errors="replace") if Path(log).exists() else ""
    finally:
        Path(log).unlink(missing_ok=True)
    good = total > 0 and refused == 0
    print(f"1..1\n{'ok' if good else 'not ok'} 1 - every kernel of llama.cpp can be executed")
    print(f"# {total} kernels, {refused} refused, {seconds:.1f} s")
    # A line of the log may end in the middle of a later reason, never of the first.
    reasons = Counter(re.findall(r" refused: line \d+: (.*?)(?= line \d+:|$)", text, re.MULTILINE))
    for reason, count in reasons.most_common():
        print(f"# {count} kernels: {reason}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
