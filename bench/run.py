#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the command path on the null GPU, or on another: through cubar, and on the driver directly.

Both with all cores free and with one kept busy. Rounds are sorted by how far apart the two cores
were while they ran, since that changes every figure that crosses; figures are medians of rounds.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

# The floors of a prototype between two processes (docs/performance.md): near, far, unit.
FLOORS = {
    "launch_4_p50_ns": (60, 270), "launch_16_p50_ns": (70, 275),
    "launches_per_s": (14e6, 3.5e6), "round_trip_p50_ns": (150, 640), "d2h_4_p50_ns": (175, None),
    "sync_finished_p50_ns": (1.6, 1.6),
    "h2d_64m_pageable_x": (1.07, 1.8), "d2h_64m_pageable_x": (1.07, 1.8),
}
# A line goes from core to core in fewer nanoseconds than the first, or in more than the second.
NEAR_BELOW, FAR_ABOVE = 250, 350
WAYS = ("cubar", "direct")
LOADS = ("free", "busy")


@contextlib.contextmanager
def load(kind):
    """Keeps the last core busy for a while, or not."""
    if kind == "free":
        yield
        return
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"],
                          preexec_fn=lambda: os.sched_setaffinity(0, {core})) as burner:
        try:
            yield
        finally:
            burner.kill()


class Programs:
    """How to run the measuring program each way: on the driver itself, and through cubar."""

    def __init__(self, build, gpu, driver):
        self.bench = build / "bench" / "cubar-bench"
        self.driver = driver or build / "softgpu" / "libcuda.so.1"
        self.cubar = [build / "host" / "cubar-run" / "cubar-run", "--gpu", gpu, "--driver", self.driver]
        self.null = {"CUBAR_SOFTGPU_NULL": "1"} if gpu == "null" else {}

    def run(self, way, *arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CUBAR_", "CUDA_"))}
        command = [self.bench, *arguments]
        if way == "cubar":
            command = [*self.cubar, *command]
        else:
            environment |= {"LD_LIBRARY_PATH": str(self.driver.parent)} | self.null
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)


def distance(entry):
    lines = entry["line_before_ns"], entry["line_after_ns"]
    if max(lines) < NEAR_BELOW:
        return "near"
    return "far" if min(lines) > FAR_ABOVE else "between"


def medians(entries):
    return {name: statistics.median(entry[name] for entry in entries) for name in entries[0]}


def measure(programs, way, rounds, starts):
    """Medians by distance of the cores, and of the starts."""
    entries = programs.run(way, "rounds", str(rounds))[1:]
    groups = {}
    for entry in entries:
        groups.setdefault(distance(entry), []).append(entry)
    result = {name: medians(group) | {"rounds": len(group)} for name, group in groups.items()}
    result["start"] = medians([programs.run(way, "startup") for _ in range(starts)])
    return result


def shown(name, value):
    if value is None:
        return "–"
    if name.endswith("_per_s"):
        return f"{value / 1e6:.2f} M/s"
    if name.endswith("_x"):
        return f"{value:.2f} ×"
    if name.endswith("_ms"):
        return f"{value:.1f} ms"
    return f"{value / 1000:.2f} µs" if value >= 1000 else f"{value:.0f} ns"


def ratio(name, value, base):
    """How many times the base it takes, or how many times slower it is."""
    if not base or not value:
        return ""
    return f"{base / value if name.endswith('_per_s') else value / base:.2f}"


def table(results, with_floors):
    """One row for each figure: on the driver itself, through cubar, against each other and the floor."""
    for load_name, by_way in results.items():
        for group in ("near", "between", "far", "start"):
            direct, cubar = (by_way[way].get(group, {}) for way in ("direct", "cubar"))
            if not cubar:
                continue
            rounds = f", {cubar['rounds']} rounds" if group != "start" else ""
            print(f"\n{'all cores free' if load_name == 'free' else 'one core busy'}: {group}{rounds}")
            print(f"  {'':24} {'direct':>12} {'cubar':>12} {'× direct':>9} {'floor':>12} {'× floor':>9}")
            for name, value in cubar.items():
                if name in ("rounds", "line_before_ns", "line_after_ns"):
                    continue
                near, far = FLOORS.get(name, (None, None)) if with_floors else (None, None)
                floor = {"near": near, "far": far}.get(group) if load_name == "free" else None
                own = direct.get(name)
                print(f"  {name:24} {shown(name, own):>12} {shown(name, value):>12} "
                      f"{ratio(name, value, own):>9} {shown(name, floor):>12} {ratio(name, value, floor):>9}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build directory")
    parser.add_argument("--gpu", choices=("null", "soft", "nvidia"), default="null")
    parser.add_argument("--driver", type=Path, help="path of libcuda.so.1; else the software GPU's")
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--starts", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.gpu == "nvidia" and arguments.driver is None:
        parser.error("--gpu nvidia needs --driver, the path of NVIDIA's libcuda.so.1")
    programs = Programs(arguments.build.resolve(), arguments.gpu, arguments.driver)
    results = {}
    for load_name in LOADS:
        with load(load_name):
            results[load_name] = {way: measure(programs, way, arguments.rounds, arguments.starts)
                                  for way in WAYS}
    table(results, arguments.gpu == "null")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
