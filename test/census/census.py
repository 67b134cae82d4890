#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a libcuda.so.1 for every kernel of some PTX texts, and lists the instructions that it refuses.

No kernel is launched: a driver must decode a kernel before it can name its function. Prints one line
of TAP for each text. --control names a text that must be refused.
"""

import argparse
import ctypes
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from driver import Driver

CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 5, 6
LOG_BYTES = 1 << 16
# What a statement begins with, its braces and guard aside.
INSTRUCTION = re.compile(r"^[\s{}]*(?:@!?%?\w+\s+)?([a-z]\w*(?:[.:]+\w+)*)(?=\s|$)")


class Modules(Driver):
    """Loads PTX and asks for its kernels."""

    def load(self, text):
        """The module, or None and why not."""
        module, log = ctypes.c_void_p(), ctypes.create_string_buffer(LOG_BYTES)
        options = (ctypes.c_int * 2)(CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), LOG_BYTES)
        code = self.cuda.cuModuleLoadDataEx(ctypes.byref(module), text, 2, options, values)
        return (module, "") if code == 0 else (None, log.value.decode())

    def has(self, module, kernel):
        function = ctypes.c_void_p()
        found = self.cuda.cuModuleGetFunction(ctypes.byref(function), module, kernel.encode()) == 0
        threads = ctypes.c_int()
        return found and self.cuda.cuFuncGetAttribute(ctypes.byref(threads), 0, function) == 0


def refusals(driver, path, log):
    """The number of kernels of a text, and the reasons of those that are refused."""
    text = path.read_bytes()
    kernels = re.findall(r"\.entry\s+([\w$]+)", text.decode())
    module, reason = driver.load(text)
    if module is None:
        return len(kernels), [reason or "the module is refused without a reason"]
    reasons = []
    for kernel in kernels:
        log.truncate(0)
        if not driver.has(module, kernel):
            said = log.seek(0) or log.read()
            reasons.append(f"{kernel}: " + (said.strip() or "refused without a reason"))
    driver.call("cuModuleUnload", module)
    return len(kernels), reasons


def spellings(path):
    """The instructions of a text, with all their modifiers."""
    statements = re.sub(r"//.*|^[ \t]*[$\w]+:", "", path.read_text(), flags=re.MULTILINE).split(";")
    return {found[1] for found in map(INSTRUCTION.match, statements) if found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--control", type=Path, help="a text with instructions that must be refused")
    parser.add_argument("--least", type=int, default=1, help="spellings of instructions in all texts")
    parser.add_argument("library")
    parser.add_argument("texts", nargs="+", type=Path)
    arguments = parser.parse_args()
    texts = arguments.texts + ([arguments.control] if arguments.control else [])
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        os.environ["CUBAR_LOG"] = log.name
        driver = Modules(arguments.library)
        print(f"1..{len(texts) + 1}")
        failed = 0
        for number, path in enumerate(texts, 1):
            count, reasons = refusals(driver, path, log)
            right = bool(reasons) == (path == arguments.control)
            failed += not right
            print(f"{'ok' if right else 'not ok'} {number} - {path.name} # {count} kernels, {len(reasons)} refused")
            if not right:
                lines = Counter(line for reason in reasons for line in reason.splitlines())
                for line, times in lines.most_common(60):
                    print(f"# {times} x {line}")
    found = len(set().union(*map(spellings, arguments.texts)))
    failed += found < arguments.least
    print(f"{'ok' if found >= arguments.least else 'not ok'} {len(texts) + 1} - {found} spellings of instructions")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
