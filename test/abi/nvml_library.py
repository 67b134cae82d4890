#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the ELF of the guest's libnvidia-ml.so.1 by the rules of guest_library.py. Prints TAP."""

import argparse
import re

import guest_library
from elf import Library
from guest_library import Tap


def soname(library, _):
    names = library.names_of("SONAME")
    return [] if names == ["libnvidia-ml.so.1"] else [f"it is {names}"]


def exports(library, names):
    here = library.exports()
    return ([f"lacks {name}" for name in sorted(names - here)] +
            [f"exports {name} besides" for name in sorted(here - names)])


RULES = [("the name is libnvidia-ml.so.1", soname, "it is"),
         ("the exports are those that its sources name", exports, "besides"),
         *(rule for rule in guest_library.RULES
           if rule[1] not in (guest_library.soname, guest_library.exports))]

# What ollama's generations and monitors look for by name; the whole of NVML 13 has 413 names.
LOOKED_FOR = {"nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags", "nvmlShutdown", "nvmlErrorString",
              "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount", "nvmlDeviceGetCount_v2",
              "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetName",
              "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2",
              "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization",
              "nvmlDeviceGetMinorNumber", "nvmlDeviceGetAttributes_v2",
              "nvmlDeviceGetFieldValues"}
ALL = 413


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="the guest's libnvidia-ml.so.1")
    parser.add_argument("bad", help="a library that breaks every rule")
    parser.add_argument("sources", nargs="+", help="files that name the functions")
    arguments = parser.parse_args()
    library, bad = Library(arguments.library), Library(arguments.bad)
    names = set()
    for path in arguments.sources:
        with open(path, encoding="utf-8") as file:
            names.update(re.findall(r"\b(nvml[A-Z]\w+)[()]", file.read()))
    tap = Tap(2 * len(RULES) + 1)
    missing = sorted(LOOKED_FOR - names)
    tap.case(f"the sources name all {ALL} functions",
             ([] if len(names) == ALL else [f"they name {len(names)}"]) +
             [f"{name} is not among them" for name in missing])
    tap.rules(RULES, library, bad, names)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
