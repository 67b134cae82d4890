#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell: runs on one what otherwise runs on the software GPU.

The conformance programs natively and through cubar, with equal results; the instruction tests; every
assumption about the driver; what a call costs, and how fast a transformer decodes, natively and through
cubar in one run. With --gpu soft the software GPU takes the driver's place, so that the command itself
can be tried anywhere.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import end_to_end
from build import ROOT
from counting import Count, count_cases

LIMIT_S = 900


class NoGpu(Exception):
    """There is nothing to test on."""


def driver_of(kind, build):
    """The path of the libcuda.so.1 that programs use natively."""
    if kind == "soft":
        return build / "softgpu" / "libcuda.so.1"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoGpu(f"{error}. Install NVIDIA's driver, or try --gpu soft.") from error
    if (code := driver.cuInit(0)) != 0:
        raise NoGpu(f"cuInit of NVIDIA's driver gives error {code}: nvidia-smi may tell more.")
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return next(Path(line.split(maxsplit=5)[5]) for line in maps.splitlines() if "/libcuda.so" in line)


def option(build, name):
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text(encoding="utf-8"))
    return next(entry["value"] for entry in options if entry["name"] == name)


def cublas_of(kind, build):
    """A directory with libcublas.so.13, or None. For the software GPU it is the tests' own; NVIDIA's
    is too large to be carried along, and comes from the machine's toolkit or a Python package."""
    if kind == "soft":
        return build / "test" / "cublas"
    places = [Path(word) for word in os.environ.get("LD_LIBRARY_PATH", "").split(":") if word]
    toolkits = [option(build, "cuda"), os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"),
                "/usr/local/cuda"]
    places += [Path(toolkit, "lib64") for toolkit in toolkits if toolkit]
    if shutil.which("ldconfig"):
        cache = subprocess.run(["ldconfig", "-p"], check=False, capture_output=True, text=True).stdout
        places += [Path(path).parent for path in re.findall(r"libcublas\.so\.13 .*=> (\S+)", cache)]
    packages = importlib.util.find_spec("nvidia")
    for place in packages.submodule_search_locations if packages else []:
        places += [Path(place, "cu13", "lib"), Path(place, "cublas", "lib")]
    return next((place for place in places if (place / "libcublas.so.13").exists()), None)


# What the prebuilt llama.cpp has machine code for. For other GPUs it has PTX of ISA 9.1.
LLAMA_CAPABILITIES = ((8, 6), (8, 9), (12, 0), (12, 1))
LLAMA_DRIVER = 13010


def spelled(version):
    """"13.0" of 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def llama_refusal(version, capability):
    """Why that driver cannot load the prebuilt llama.cpp's kernels for that GPU, or nothing."""
    if version >= LLAMA_DRIVER or capability in LLAMA_CAPABILITIES:
        return ""
    return f"its PTX is of ISA 9.1, which takes a driver of CUDA 13.1; this one is of {spelled(version)}"


def driver_facts(path):
    """The driver's CUDA version, and the first device's compute capability."""
    driver, number = ctypes.CDLL(str(path)), ctypes.c_int()

    def asked(call, *arguments):
        if (code := getattr(driver, call)(ctypes.byref(number), *arguments)) != 0:
            raise NoGpu(f"{call} of {path} gives error {code}")
        return number.value

    if (code := driver.cuInit(0)) != 0:
        raise NoGpu(f"cuInit of {path} gives error {code}")
    major, minor = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
    return asked("cuDriverGetVersion"), tuple(asked("cuDeviceGetAttribute", a, 0) for a in (major, minor))


def remoted_programs(build):
    """The conformance programs that run through cubar too."""
    tests = json.loads((build / "meson-info" / "intro-tests.json").read_text(encoding="utf-8"))
    return sorted({build / "test" / "conformance" / Path(test["cmd"][-1]).name for test in tests
                   if test["name"].endswith(" through cubar-run") and "cubar:conformance" in test["suite"]})


class Machine:
    """How to run programs here, natively and through cubar."""

    def __init__(self, kind, build):
        self.kind, self.build = kind, build
        self.driver = driver_of(kind, build)
        self.version, self.capability = driver_facts(self.driver)
        carried = build / "lib"  # in a bundle, which brings the toolkit's libraries along
        self.cuda_libraries = carried if carried.is_dir() else Path(option(build, "cuda"), "lib64")
        self.cublas = cublas_of(kind, build)
        self.through_cubar = [build / "host" / "cubar-run" / "cubar-run", "--gpu", kind,
                              "--driver", self.driver]

    def environment(self):
        path = [self.driver.parent, self.cublas, self.cuda_libraries, os.environ.get("LD_LIBRARY_PATH")]
        strict = {"CUBAR_SOFTGPU_STRICT": "1"} if self.kind == "soft" else {}
        return os.environ | strict | {"LD_LIBRARY_PATH": ":".join(str(part) for part in path if part)}

    def run(self, *command):
        """Shows and returns what a test program prints, and whether it ended well."""
        with subprocess.Popen([str(word) for word in command], env=self.environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        return "".join(lines), process.returncode == 0

    def cases(self, *command):
        return count_cases(*self.run("timeout", LIMIT_S, *command))


def conformance(machine, only):
    programs = [p for p in remoted_programs(machine.build) if only in p.name]
    if not programs:
        return Count()
    wrapper = " ".join(str(word) for word in machine.through_cubar)
    return machine.cases(sys.executable, ROOT / "test" / "conformance" / "run.py",
                         "--library", machine.driver.parent, "--cuda-libraries", machine.cuda_libraries,
                         "--wrapper", wrapper, *programs)


def instructions(machine, only):
    narrowed = ["--only", only] if only else []
    return machine.cases(machine.build / "test" / "instruction" / "instruction-test", machine.driver,
                         *narrowed)


def probes(machine, only):
    probe = machine.build / "test" / "gpu" / "gpu-probe"
    narrowed = ["--only", only] if only else []
    return (machine.cases(probe, machine.driver, "--on", machine.kind, *narrowed) +
            machine.cases(*machine.through_cubar, probe, "libcuda.so.1", "--on", "cubar", *narrowed))


def compile_cache(machine, _only):
    """A second start compiles nothing. The software GPU never does: a driver that keeps a cache as
    NVIDIA's does stands in for it."""
    driver = machine.driver
    if machine.kind == "soft":
        driver = machine.build / "test" / "compile_cache" / "libcaching-driver.so"
    if not driver.exists():
        print("1..1\nok 1 - compile_cache # SKIP a bundle brings no driver that keeps a cache on the CPU")
        return Count(skipped=1)
    return machine.cases(sys.executable, ROOT / "test" / "compile_cache" / "run.py",
                         "--cubar-run", machine.through_cubar[0], "--driver", driver,
                         machine.build / "test" / "conformance" / "vector_add")


def costs(machine, _only):
    """What a call costs both ways: no case can fail but by ending badly."""
    command = [sys.executable, ROOT / "bench" / "run.py", machine.build, "--gpu", machine.kind,
               "--driver", machine.driver, "--rounds", "5", "--starts", "3"]
    return machine.cases(*command)


def decoding(machine, only):
    """Too few tokens per second through cubar fail on a GPU; the software GPU's say nothing."""
    on_gpu = machine.kind == "nvidia"
    shapes = [shape for shape in (end_to_end.PLANS if on_gpu else ["tiny"]) if only in shape]
    if not shapes:
        return Count()
    if machine.cublas is None:
        print("1..1\nok 1 - decoding # SKIP no libcublas.so.13 was found: install the CUDA Toolkit 13, "
              "or name its directory in LD_LIBRARY_PATH")
        return Count(skipped=1)
    wrapper = " ".join(str(word) for word in machine.through_cubar)
    words = [word for shape in shapes for word in ("--shape", shape)] + ["--goals"] * on_gpu
    return machine.cases(sys.executable, ROOT / "scripts" / "end_to_end.py",
                         machine.build / "bench" / "decode" / "cubar-decode", "--wrapper", wrapper, *words)


def llama(machine, _only):
    """The prebuilt llama.cpp chooses its CPU backend's tokens, natively and through cubar. Its models are
    small: this is no measure."""
    runner = ROOT / "test" / "llama" / "run.py"
    reason = ""
    if not runner.exists():
        reason = "a bundle does not bring the prebuilt llama.cpp"
    elif not (ROOT / "build" / "llama" / "installed").exists():
        reason = "the prebuilt llama.cpp is not there: scripts/llama.py installs it"
    elif machine.kind == "nvidia":
        reason = llama_refusal(machine.version, machine.capability)
    if reason:
        print(f"1..1\nok 1 - llama # SKIP {reason}")
        return Count(skipped=1)
    command = [sys.executable, runner, "--suite", "quick", "--cuda-libraries", machine.cuda_libraries]
    wrapper = " ".join(str(word) for word in machine.through_cubar)
    # Natively nothing on a GPU tells of graph launches, which that case counts.
    return (machine.cases(*command, "--eager", "--library", machine.driver.parent) +
            machine.cases(*command, "--wrapper", wrapper))


SECTIONS = {"conformance": conformance, "instructions": instructions, "probes": probes,
            "compile_cache": compile_cache, "costs": costs, "decoding": decoding, "llama": llama}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--gpu", choices=("nvidia", "soft"), default="nvidia")
    parser.add_argument("--section", choices=SECTIONS, action="append", help="only this one")
    parser.add_argument("--only", default="", help="only cases with this in their names")
    arguments = parser.parse_args()
    try:
        machine = Machine(arguments.gpu, arguments.build.resolve())
    except NoGpu as error:
        print(f"./dev gpu: {error}", file=sys.stderr)
        return 2
    print(f"{machine.driver}: CUDA {spelled(machine.version)}, compute capability "
          f"{'.'.join(map(str, machine.capability))}")
    total = Count()
    for name in arguments.section or SECTIONS:
        print(f"=== {name}", flush=True)
        count = SECTIONS[name](machine, arguments.only)
        print(f"=== {name}: {count}", flush=True)
        total += count
    print(total)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
