#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the guest library's ELF: it lives in a stranger's process and must keep to these rules.

Every rule is first asked of a library that breaks it, which the build makes for this purpose: a
rule that does not object there proves nothing. Prints TAP.
"""

import argparse
import re

from elf import Library

LIBC = {"libc.so.6", "ld-linux-x86-64.so.2"}
NEWEST_GLIBC = (2, 34)
# crt's own, which does nothing in a library without transactional memory or Java.
HARMLESS_INITIALISERS = {"frame_dummy"}
# What is left of the static TLS block for libraries that are loaded late is small and shared.
MOST_TLS_BYTES = 64
# Functions that are entered only after the processor was asked carry this mark in their names.
DISPATCHED = re.compile(r"avx2|avx512", re.I)
# TZCNT is not among them: compilers write it for BSF where both give the same, and the first x86-64
# takes it for that.
BEYOND_X86_64 = re.compile(r"\b[yz]mm\d|^v[a-z0-9]+ +|^(?:andn|bextr|bls[imsr]+|lzcnt|mulx|pdep|"
                           r"pext|rorx|sarx|shlx|shrx|popcnt|movbe|crc32|pshufb|"
                           r"pblend\w+|blendv\w+|round[sp][sd]|p(?:min|max)[su][bd]|pmulld|"
                           r"ptest|pinsr[bdq]|pextr[bdq]|insertps|dpp[sd]|pcmp[ei]str\w) ")


def soname(library, _):
    names = library.names_of("SONAME")
    return [] if names == ["libcuda.so.1"] else [f"it is {names}"]


def exports(library, stub):
    here, there = library.exports(), stub.exports()
    return ([f"lacks {name}" for name in sorted(there - here)] +
            [f"exports {name} besides" for name in sorted(here - there)])


def dependencies(library, _):
    return [f"needs {name}" for name in library.names_of("NEEDED") if name not in LIBC]


def initialisers(library, _):
    return [f"the loader calls {name}" for name in library.initialisers()
            if name not in HARMLESS_INITIALISERS]


def flags(library, _):
    return [f"{flag} is not set" for flag in ("NODELETE", "NOW") if flag not in library.flags()]


def relocations(library, _):
    bad = "TEXTREL" in library.tags() or "TEXTREL" in library.flags()
    return ["relocations change its code"] if bad else []


def glibc(library, _):
    found = []
    for version in sorted(library.versions_needed()):
        number = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version)
        if number is None:
            found.append(f"needs {version}")
        elif (int(number[1]), int(number[2])) > NEWEST_GLIBC:
            found.append(f"needs {version}")
    return found


def instruction_set(library, _):
    found = {}
    for function, instruction in library.instructions():
        if BEYOND_X86_64.search(instruction) and not DISPATCHED.search(function):
            found.setdefault(function, instruction)
    return [f"{function}: {instruction}" for function, instruction in found.items()]


def tls(library, _):
    size = library.segment_bytes("TLS")
    return [] if size <= MOST_TLS_BYTES else [f"{size} bytes"]


# Each rule: what it is called, who checks it, and the bad library's objection.
RULES = [
    ("the name is libcuda.so.1", soname, "it is"),
    ("the exports are those of the toolkit's stub", exports, "besides"),
    ("it needs nothing but libc", dependencies, "libm"),
    ("it has no initialiser of its own", initialisers, "the loader calls"),
    ("it is bound at once and never unloaded", flags, "NODELETE"),
    ("its code is not relocated", relocations, "change its code"),
    ("it runs on glibc 2.34", glibc, "needs GLIBC_2.35"),
    ("its instructions are plain x86-64", instruction_set, "ymm"),
    ("it takes little static thread-local storage", tls, "bytes"),
]


class Tap:
    """Numbers test cases and remembers whether all went well."""

    def __init__(self, count):
        print(f"1..{count}")
        self.number = 0
        self.failed = False

    def case(self, title, objections):
        self.number += 1
        print(f"{'not ok' if objections else 'ok'} {self.number} {title}")
        for line in objections[:20]:
            print(f"# {line}")
        self.failed |= bool(objections)

    def rules(self, rules, library, bad, expected):
        """Two cases for each rule: `bad`, which breaks it, is caught, and `library` keeps it."""
        for title, check, objection in rules:
            seen = check(bad, expected)
            caught = any(objection in line for line in seen)
            self.case(f"control: a library that breaks it is caught: {title}",
                      [] if caught else [f"no objection has '{objection}'", *seen])
            self.case(title, check(library, expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="the guest's libcuda.so.1")
    parser.add_argument("bad", help="a library that breaks every rule")
    parser.add_argument("stub", help="the toolkit's libcuda.so")
    arguments = parser.parse_args()
    library, bad = Library(arguments.library), Library(arguments.bad)
    stub = Library(arguments.stub)
    tap = Tap(2 * len(RULES) + 1)
    tap.case("the stub has 637 functions", [] if len(stub.exports()) == 637 else
             [f"it has {len(stub.exports())}"])
    tap.rules(RULES, library, bad, stub)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
