#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes with a transformer of random weights (bench/decode), natively and through cubar. Prints TAP.

Tokens must be equal whichever way they are made. What was measured is printed as medians: of the
repetitions of a process, then of the rounds. A round runs each way once, and the next one begins with
another way, so that what the machine does meanwhile befalls all ways alike. With --goals tokens per
second through cubar are held against those of the same round natively, and too few fail.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NATIVE, CUBAR, HOST_WAITS = "native", "cubar", "cubar, host-completed waits"
MODES = ("eager", "graph")
DOES_NOT_FIT = 77
# The reference rounds to f16 where the GPU does; what is left are orders of summation.
MOST_NMSE = 1e-5


@dataclass(frozen=True)
class Plan:
    """How one shape is measured."""

    shape: str
    ways: tuple
    rounds: int
    tokens: int
    repetitions: int
    goal: float = 0  # part of native's tokens per second; 0: none
    reference: bool = False
    copy_bytes: int = 0  # 0: latencies are not measured

    def arguments(self):
        words = [self.shape, "--tokens", str(self.tokens), "--repetitions", str(self.repetitions)]
        words += ["--reference"] if self.reference else []
        return words + (["--latencies", str(self.copy_bytes)] if self.copy_bytes else [])


PLANS = {
    "tiny": Plan("tiny", (NATIVE, CUBAR, HOST_WAITS), 1, 8, 1, reference=True, copy_bytes=1 << 20),
    "0.5B": Plan("0.5B", (NATIVE, CUBAR, HOST_WAITS), 5, 128, 3, goal=0.97, copy_bytes=64 << 20),
    "8B": Plan("8B", (NATIVE, CUBAR), 5, 64, 2, goal=0.99),
}


class DoesNotFit(Exception):
    """This GPU has too little memory for the model."""


class RunFailed(Exception):
    """The program gave no result."""


def figures(run):
    """Name and value of each figure of one run, medians of its repetitions."""
    result = {f"{mode}_tokens_per_s": statistics.median(run[mode]["tokens_per_s"]) for mode in MODES}
    return result | run["start"] | run.get("latencies", {})


def medians(runs):
    each = [figures(run) for run in runs]
    return {name: statistics.median(one[name] for one in each) for name in each[0]}


def share_of_native(runs, way, mode):
    """The median, over the rounds, of tokens per second against those of the same round natively."""
    name = f"{mode}_tokens_per_s"
    return statistics.median(figures(other)[name] / figures(native)[name]
                             for other, native in zip(runs[way], runs[NATIVE], strict=False))


def token_faults(runs):
    """Whose tokens differ from the first native run's, in words."""
    expected = runs[NATIVE][0]["eager"]["tokens"]
    return [f"{way}, round {number}, {mode}: {run[mode]['tokens']} instead of {expected}"
            for way, each in runs.items() for number, run in enumerate(each, 1) for mode in MODES
            if run[mode]["tokens"] != expected]


def reference_faults(runs):
    """Who departs from the reference on the host, in words."""
    faults = []
    for way, each in runs.items():
        for run in each:
            seen = run["reference"]
            if run["eager"]["tokens"] != seen["tokens"]:
                faults.append(f"{way}: {run['eager']['tokens']} instead of {seen['tokens']}")
            if not seen["worst_nmse"] <= MOST_NMSE:
                faults.append(f"{way}: logits are off by an NMSE of {seen['worst_nmse']:g}")
    return faults


def goal_faults(plan, runs):
    shares = {mode: share_of_native(runs, CUBAR, mode) for mode in MODES}
    return [f"{mode}: {share:.2%} of native's tokens per second, the goal is {plan.goal:.0%}"
            for mode, share in shares.items() if share < plan.goal]


def shown(name, value):
    for ending, unit in (("_tokens_per_s", ""), ("_us", " µs"), ("_ms", " ms"), ("_gb_s", " GB/s")):
        if name.endswith(ending):
            return f"{value:.2f}{unit}"
    raise ValueError(name)


def table(plan, runs):
    """One line for each figure: every way, and cubar against native."""
    by_way = {way: medians(each) for way, each in runs.items()}
    yield f"{plan.shape}, medians of {plan.rounds} rounds"
    yield " " * 28 + "".join(f"{way:>30}" for way in by_way) + f"{'cubar / native':>16}"
    for name, native in by_way[NATIVE].items():
        cells = "".join(f"{shown(name, values[name]):>30}" for values in by_way.values())
        mode = next((mode for mode in MODES if name == f"{mode}_tokens_per_s"), None)
        ratio = share_of_native(runs, CUBAR, mode) if mode else by_way[CUBAR][name] / native
        yield f"{name:28}{cells}{ratio:16.3f}"


def run_once(command, limit_s):
    # Workers do not cache what they translate, so neither does the native run.
    environment = os.environ | {"CUDA_CACHE_DISABLE": "1"}
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunFailed(f"took more than {limit_s} s") from error
    said = done.stderr.strip()
    if done.returncode == DOES_NOT_FIT:
        raise DoesNotFit(said)
    if done.returncode != 0:
        raise RunFailed(f"ended with {done.returncode}: {said[-2000:] or 'without a word'}")
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise RunFailed(f"printed no JSON ({error}): {done.stdout[-500:]}") from error


def measure(plan, commands, limit_s):
    """The runs of each way, in the order of the rounds."""
    runs = {way: [] for way in plan.ways}
    for number in range(plan.rounds):
        first = number % len(plan.ways)
        for way in plan.ways[first:] + plan.ways[:first]:
            try:
                runs[way].append(run_once([*commands[way], *plan.arguments()], limit_s))
            except RunFailed as error:
                raise RunFailed(f"{way}: {error}") from error
    return runs


class Tap:
    """Prints cases and counts them."""

    def __init__(self):
        self.number = self.failed = 0

    def case(self, name, faults=(), skip=""):
        self.number += 1
        self.failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {self.number} - {name}{' # SKIP ' + skip if skip else ''}")
        self.note(faults)

    @staticmethod
    def note(lines):
        for line in lines:
            print(f"# {line}", flush=True)


def judge(plan, commands, goals, limit_s, tap):
    name = f"{plan.shape}: every way decodes the same tokens"
    try:
        runs = measure(plan, commands, limit_s)
    except DoesNotFit as error:
        return tap.case(name, skip=str(error))
    except RunFailed as error:
        return tap.case(name, [str(error)])
    tap.case(name, token_faults(runs))
    tap.note(table(plan, runs))
    if plan.reference:
        tap.case(f"{plan.shape}: tokens and logits are the reference's", reference_faults(runs))
    if plan.goal and goals:
        tap.case(f"{plan.shape}: at least {plan.goal:.0%} of native's tokens per second",
                 goal_faults(plan, runs))
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="cubar-decode")
    parser.add_argument("--wrapper", required=True, help="cubar-run with its options")
    parser.add_argument("--shape", choices=PLANS, action="append", help="only this one")
    parser.add_argument("--goals", action="store_true", help="too few tokens per second fail")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each process")
    arguments = parser.parse_args()
    wrapper = shlex.split(arguments.wrapper)
    commands = {NATIVE: [arguments.program], CUBAR: [*wrapper, arguments.program],
                HOST_WAITS: [*wrapper, "--fences", "off", arguments.program]}
    tap = Tap()
    for shape in arguments.shape or PLANS:
        judge(PLANS[shape], commands, arguments.goals, arguments.limit, tap)
    print(f"1..{tap.number}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
