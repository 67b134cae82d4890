#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the command path on the null GPU: through cubar, and on the software GPU directly.

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
    """How to run the measuring program each way."""

    def __init__(self, build):
        self.bench = build / "bench" / "cubar-bench"
        self.cubar_run = build / "host" / "cubar-run" / "cubar-run"
        self.softgpu = build / "softgpu"

    def run(self, way, *arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CUBAR_", "CUDA_"))}
        command = [self.bench, *arguments]
        if way == "cubar":
            command = [self.cubar_run, "--gpu", "null", *command]
        else:
            environment |= {"LD_LIBRARY_PATH": str(self.softgpu), "CUBAR_SOFTGPU_NULL": "1"}
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


def ratio(name, value, floor):
    """How many times the floor, whichever direction is better."""
    if floor is None or not value:
        return ""
    return f"{floor / value if name.endswith('_per_s') else value / floor:.1f}"


def table(results):
    for load_name in LOADS:
        for way in WAYS:
            result = results[load_name][way]
            for group in ("near", "between", "far", "start"):
                if group not in result:
                    continue
                rounds = f", {result[group]['rounds']} rounds" if group != "start" else ""
                print(f"\n{way}, {'all cores free' if load_name == 'free' else 'one core busy'}: "
                      f"{group}{rounds}")
                for name, value in result[group].items():
                    if name in ("rounds", "line_before_ns", "line_after_ns"):
                        continue
                    near, far = FLOORS.get(name, (None, None))
                    floor = {"near": near, "far": far}.get(group) if load_name == "free" else None
                    against = ratio(name, value, floor) if way == "cubar" else ""
                    print(f"  {name:24} {shown(name, value):>12}" +
                          (f"   floor {shown(name, floor)}, {against} of it" if against else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="build directory")
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--starts", type=int, default=7)
    arguments = parser.parse_args()
    programs = Programs(arguments.build.resolve())
    results = {}
    for load_name in LOADS:
        with load(load_name):
            results[load_name] = {way: measure(programs, way, arguments.rounds, arguments.starts)
                                  for way in WAYS}
    table(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
