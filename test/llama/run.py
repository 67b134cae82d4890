#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a prebuilt llama.cpp on its CPU backend and on its CUDA backend, and compares. Prints TAP.

CUDA comes from --library, a directory with a libcuda.so.1, or from a --wrapper such as cubar-run.
Every case generates on the CPU first; the run on CUDA chooses for itself, follows the CPU's tokens,
and must have chosen the same, as compare.py says. Each case also must have offloaded every layer.
--control shows that a wrong handler of the software GPU is seen.
"""

import argparse
import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "test" / "conformance"), str(ROOT / "scripts")]

import compare  # noqa: E402
import control  # noqa: E402
import llama  # noqa: E402
import token_cost  # noqa: E402
from cases import CASES  # noqa: E402
from program import environment, run  # noqa: E402


@dataclass
class Setup:
    """Where everything is and what a run may take."""

    home: Path
    library: str
    cuda_libraries: str
    cublas: str
    wrapper: list
    capability: str
    eager: bool
    limit: float
    scratch: Path


def calls_logged(case, setup):
    """Whether graph launches are counted in the software GPU's log: where nothing else counts them."""
    return case.graphs and not setup.eager and not setup.wrapper


def read_log(path):
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def generate(case, setup, device, follow=()):
    """One run of the driver program. Returns what it generated, or the reasons why it did not."""
    logits = setup.scratch / f"{device}.f32"
    command = [str(setup.home / "bin" / "generate"), "--libraries", str(setup.home / "lib"),
               "--model", str(llama.model(setup.home, case.shape, case.quantisation)),
               "--device", device, "--logits", str(logits), *case.arguments()]
    if follow:
        command += ["--follow", ",".join(map(str, follow))]
    if device == "cpu":
        variables = environment()
    else:
        # Under cubar-run the driver program finds its channel, and counts what is sent in it.
        command = setup.wrapper + command + ["--count"] * bool(setup.wrapper)
        variables = environment(setup.library, setup.cublas, setup.cuda_libraries) | case.environment()
        if setup.eager:
            variables["GGML_CUDA_DISABLE_GRAPHS"] = "1"
        if setup.capability:
            variables["CUBAR_SOFTGPU_CC"] = setup.capability
    calls = setup.scratch / "calls.log"
    calls.unlink(missing_ok=True)
    if calls_logged(case, setup):
        log = {"CUBAR_LOG": str(calls), "CUBAR_LOG_LEVEL": "debug"}
    else:
        log = {"CUBAR_LOG": "stderr", "CUBAR_LOG_LEVEL": "error"}
    # ggml would start gdb on an error; its message says enough.
    outcome = run(command, variables | log | {"GGML_NO_BACKTRACE": "1"}, setup.limit)
    if outcome.code != 0:
        refused = [line for line in read_log(calls) if " ERROR " in line]
        tail = refused + outcome.stderr.decode(errors="replace").splitlines()[-12:]
        return None, [f"the {device} run {outcome.ended()}", *(line[:300] for line in tail)]
    try:
        return compare.read(outcome.stdout, logits), []
    except ValueError as error:
        return None, [f"the {device} run wrote {error}"]


def check_cost(case, setup, cuda):
    """A token is one graph launch, once warm; the last tokens are, and they send little else."""
    if calls_logged(case, setup):
        calls = read_log(setup.scratch / "calls.log")
        launches = sum(line.endswith("softgpu: cuGraphLaunch") for line in calls)
        needed = case.tokens * case.requests // 2
        return [] if launches >= needed else [f"{launches} graph launches, not {needed} or more"]
    if setup.eager or not case.graphs:
        return []
    name_of = token_cost.names((ROOT / "include" / "cubar" / "api" / "opcodes.lock").read_text())
    warm = cuda.sent[-4:]
    if len(warm) < 4:
        return [f"only {len(warm)} tokens were counted"]
    return [f"a warm token sent {what}" for sent in warm for what in token_cost.excess(sent, name_of)]


def check(case, setup):
    """Returns one line about the runs, and the reasons why the case failed."""
    reference, reasons = generate(case, setup, "cpu")
    if reasons:
        return "", reasons
    cuda, reasons = generate(case, setup, "cuda", reference.tokens)
    if reasons:
        return "", reasons
    layers = cuda.offloaded.split("/")
    if len(layers) != 2 or layers[0] != layers[1]:
        reasons.append(f"offloaded {cuda.offloaded or 'no'} layers")
    parted, worst, wrong = compare.partings(reference, cuda)
    reasons += wrong + check_cost(case, setup, cuda)
    later = sum(cuda.seconds["later"]) / (len(cuda.tokens) - len(cuda.seconds["later"]))
    return (f"{len(cuda.tokens)} tokens, {len(parted)} chosen otherwise, NMSE at most {worst:.1e}; "
            f"backend {cuda.seconds['backend'][0]:.2f} s, first token {cuda.seconds['first'][0]:.2f} s, "
            f"later {later * 1000:.0f} ms each"), reasons


def run_all(cases, setup):
    print(f"1..{len(cases)}")
    failed = 0
    for number, case in enumerate(cases, 1):
        line, reasons = check(case, setup)
        failed += bool(reasons)
        print(f"{'not ok' if reasons else 'ok'} {number} - {case.name}")
        for text in [line] * bool(line) + reasons:
            print(f"# {text}")
        sys.stdout.flush()
    return failed


# Mangled names of the handlers that a batched Q4_0 case takes: mma on int8 for the weights, on F16 for
# attention.
HANDLERS = {"mma on int8": "17multiply_integersILj8E", "mma on F16": "15multiply_floatsI.*3F16E"}


def run_control(case, setup):
    """With either handler silenced, the case must fail by its logits, not by a crash."""
    print(f"1..{len(HANDLERS)}")
    failed = 0
    for number, (name, pattern) in enumerate(HANDLERS.items(), 1):
        library = control.silence(Path(setup.library) / "libcuda.so.1", pattern, setup.scratch)
        _, reasons = check(case, replace(setup, library=str(library.parent)))
        seen = bool(reasons) and all(reason.startswith("NMSE") or "differ by more" in reason
                                     for reason in reasons)
        failed += not seen
        print(f"{'ok' if seen else 'not ok'} {number} - it is seen that {name} does nothing")
        for reason in reasons[:3]:
            print(f"# {reason}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="", help="directory of the libcuda.so.1 to run on")
    parser.add_argument("--wrapper", default="", help="command that runs a program on a device")
    parser.add_argument("--cuda-libraries", default="/usr/local/cuda/lib64",
                        help="directory of cudart and cuBLAS")
    parser.add_argument("--cublas", default="", help="directory of a libcublas.so.13 that comes first")
    parser.add_argument("--capability", default="", help="compute capability of the software GPU")
    parser.add_argument("--control", action="store_true", help="break the software GPU and see it caught")
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs in any case")
    parser.add_argument("--limit", type=float, default=300, help="seconds for each run")
    parser.add_argument("--suite", default="full", help="cases of this suite: quick, full, cublas")
    parser.add_argument("cases", nargs="*", help="only cases whose names contain one of these")
    options = parser.parse_args()
    if options.control and not options.library:
        parser.error("--control breaks the library of --library")
    if not options.library and not options.wrapper:
        parser.error("say on which device to run: --library or --wrapper")
    try:
        home = llama.prepare()
    except llama.Failed as error:
        print(f"Bail out! {error}")
        return 1
    cases = [c for c in CASES if options.suite in c.suites and
             (not options.cases or any(part in c.name for part in options.cases))]
    if not cases:
        parser.error("no case has such a name")
    with tempfile.TemporaryDirectory(prefix="cubar-llama-") as name:
        setup = Setup(home, options.library and os.path.abspath(options.library), options.cuda_libraries,
                      options.cublas and os.path.abspath(options.cublas), shlex.split(options.wrapper),
                      options.capability, options.eager, options.limit, Path(name))
        return 1 if (run_control(cases[0], setup) if options.control else run_all(cases, setup)) else 0


if __name__ == "__main__":
    sys.exit(main())
