#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that must be green: release, sanitizers, fuzzers. Ends with one line that counts it.

A skip is a failure, except in the suite 'gpu': what cannot run here is not tested here.
"""

import argparse
import json
import os
import re
import subprocess
import sys

import fuzz
import fuzz_coverage
from build import ROOT, Build
from counting import Count, count_cases

# Slow machines and sanitizers share these limits; a test that hangs is still ended.
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
THREADED = re.compile(r"transport|worker|cubard|host")


def count_log(path):
    """Sums up Meson's log: one JSON object on each line."""
    total = Count()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        entry = json.loads(line)
        if entry["result"] == "SKIP":
            total += Count(skipped=1)
        else:
            well = entry["result"] in ("OK", "EXPECTEDFAIL")
            total += count_cases(entry.get("stdout") or "", well)
    return total


def run_tests(build, wanted, targets=None):
    """Builds what the wanted tests need and runs them."""
    tests = build.tests(wanted)
    if not tests or not build.compile(build.targets_of(tests) if targets is None else targets):
        print(f"build/{build.name}: " + ("cannot be built" if tests else "has none of these tests"))
        return Count(failed=1)
    log = build.directory / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    names = sorted({test["name"] for test in tests})
    subprocess.run(["meson", "test", "-C", build.directory, "--no-rebuild", "--print-errorlogs", *names],
                   env=os.environ | SANITIZER_ENVIRONMENT, check=False)
    return count_log(log) if log.exists() else Count(failed=1)


SYSTEM_TARGETS = ("host/cubard/cubard", "host/cubard/cubar-keeper", "host/worker/cubar-worker",
                  "softgpu/libcuda.so.1", "test/vm/client", "test/ollama/replica-in_process",
                  "test/ollama/replica-runner", "test/ollama/replica-probe")


def run_system(release, cuda):
    """Builds the packages and what stands on the host's side, and boots Debian for them."""
    packages = ROOT / "build" / "packages"
    made = subprocess.run([sys.executable, ROOT / "scripts" / "package.py", "--cuda", cuda], check=False)
    found = list(packages.glob("cubar-ollama_*.deb"))
    if made.returncode != 0 or len(found) != 1 or not release.compile(SYSTEM_TARGETS):
        print(f"{packages} has {len(found)} packages cubar-ollama, or the build failed")
        return Count(failed=1)
    with subprocess.Popen(
            [sys.executable, ROOT / "test" / "system" / "run.py", "--cache", ROOT / "build" / "cache",
             "--build", release.directory, "--package", found[0],
             "--cuda-libraries", f"{cuda}/lib64"], stdout=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return count_cases("".join(said), process.returncode == 0)


def sections(arguments):
    """What runs, in order: a title and a function that returns its count."""
    cuda = arguments.cuda
    release = Build("release", cuda)
    # The instrumentation hides from the compiler what it knew, and it then warns of what cannot be;
    # the release build has every warning as an error.
    instrumented = ["-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Dwerror=false"]
    asan = Build("asan", cuda, ["-Db_sanitize=address,undefined", *instrumented])
    tsan = Build("tsan", cuda, ["-Db_sanitize=thread", *instrumented])
    slow = arguments.full
    system = "a guest with systemd", lambda: run_system(release, cuda)
    if arguments.section == "system":
        yield system
        return
    yield "release", lambda: run_tests(
        release, lambda _, suites: "gpu" not in suites and (slow or "full" not in suites), targets=())
    yield system
    yield "address and undefined-behaviour sanitizers", lambda: run_tests(
        asan, lambda _, suites: "unit" in suites)
    yield "thread sanitizer", lambda: run_tests(
        tsan, lambda name, suites: "unit" in suites and THREADED.search(name))
    yield "coverage of the fuzz targets' corpora", lambda: Count(*fuzz_coverage.run(cuda))
    yield "fuzzing", lambda: Count(*fuzz.run(cuda, 600 if slow else 20))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", required=True, help="directory of the CUDA Toolkit")
    parser.add_argument("--full", action="store_true", help="matrices, reboots and soaks too")
    parser.add_argument("section", nargs="?", choices=["system"],
                        help="this alone; OLLAMA names a real ollama for it")
    total = Count()
    for title, section in sections(parser.parse_args()):
        print(f"=== {title}", flush=True)
        try:
            count = section()
        except subprocess.CalledProcessError as error:
            print(f"cannot be configured: {error}")
            count = Count(failed=1)
        print(f"=== {title}: {count}", flush=True)
        total += count
    print(total)
    return 0 if total.failed == total.skipped == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
