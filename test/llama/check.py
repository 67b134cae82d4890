# SPDX-License-Identifier: Apache-2.0
"""Generates on llama.cpp's CPU backend, then wherever CUDA is, and says whether both agree."""

from dataclasses import dataclass
from pathlib import Path

import compare
import llama
import token_cost
from program import environment, run

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Setup:
    """Where everything is and what a run may take."""

    home: Path
    scratch: Path
    limit: float
    library: str = ""
    cuda_libraries: str = ""
    cublas: str = ""
    wrapper: tuple = ()
    capability: str = ""
    eager: bool = False


def command_line(case, home, device, logits, follow=()):
    """How the driver program is called; `home` is where build/llama is seen by it."""
    command = [f"{home}/bin/generate", "--libraries", f"{home}/lib",
               "--model", str(llama.model(home, case.shape, case.quantisation)),
               "--device", device, "--logits", str(logits), *case.arguments()]
    return command + (["--follow", ",".join(map(str, follow))] if follow else [])


def ended(outcome, device, logits, more=()):
    """What a run generated, or the reasons why it did not."""
    if outcome.code != 0:
        tail = [*more, *outcome.stderr.decode(errors="replace").splitlines()[-12:]]
        return None, [f"the {device} run {outcome.ended()}", *(line[:300] for line in tail)]
    try:
        return compare.read(outcome.stdout, logits), []
    except ValueError as error:
        return None, [f"the {device} run wrote {error}"]


# ggml would start gdb on an error; its message says enough.
QUIET = {"CUBAR_LOG": "stderr", "CUBAR_LOG_LEVEL": "error", "GGML_NO_BACKTRACE": "1"}


def on_cpu(case, setup):
    logits = setup.scratch / "cpu.f32"
    outcome = run(command_line(case, setup.home, "cpu", logits), environment() | QUIET, setup.limit)
    return ended(outcome, "cpu", logits)


def on_cuda(case, setup, follow):
    """The run on this machine's libcuda.so.1 or through the wrapper, with what its tokens cost."""
    logits = setup.scratch / "cuda.f32"
    # Under cubar-run the driver program finds its channel, and counts what is sent in it.
    command = [*setup.wrapper, *command_line(case, setup.home, "cuda", logits, follow),
               *["--count"] * bool(setup.wrapper)]
    variables = environment(setup.library, setup.cublas, setup.cuda_libraries) | case.environment() | QUIET
    if setup.eager:
        variables["GGML_CUDA_DISABLE_GRAPHS"] = "1"
    if setup.capability:
        variables["CUBAR_SOFTGPU_CC"] = setup.capability
    graphs = case.graphs and not setup.eager
    # Directly, only the software GPU's log tells of graph launches.
    calls = setup.scratch / "calls.log"
    calls.unlink(missing_ok=True)
    if graphs and not setup.wrapper:
        variables |= {"CUBAR_LOG": str(calls), "CUBAR_LOG_LEVEL": "debug"}
    outcome = run(command, variables, setup.limit)
    log = calls.read_text(errors="replace").splitlines() if calls.exists() else []
    cuda, reasons = ended(outcome, "cuda", logits, [line for line in log if " ERROR " in line])
    if cuda is not None and graphs:
        reasons += check_counts(case, cuda) if setup.wrapper else check_launches(case, log)
    return cuda, reasons


def check_launches(case, log):
    launches = sum(line.endswith("softgpu: cuGraphLaunch") for line in log)
    needed = case.tokens * case.requests // 2
    return [] if launches >= needed else [f"{launches} graph launches, not {needed} or more"]


def check_counts(case, cuda):
    """A token is one graph launch, once warm; the last tokens are, and they send little else."""
    name_of = token_cost.names((ROOT / "include" / "cubar" / "api" / "opcodes.lock").read_text())
    warm = cuda.sent[-7:]
    if len(warm) < 7:
        return [f"only {len(warm)} tokens were counted"]
    return [f"a warm token sent {what}" for sent in warm for what in token_cost.excess(sent, name_of, case)] + \
        token_cost.excess_waits(warm)


def check(case, setup, generate_on_cuda=on_cuda):
    """Returns one line about the runs, and the reasons why the case failed."""
    reference, reasons = on_cpu(case, setup)
    if reasons:
        return "", reasons
    cuda, reasons = generate_on_cuda(case, setup, reference.tokens)
    if cuda is None:
        return "", reasons
    layers = cuda.offloaded.split("/")
    if len(layers) != 2 or layers[0] != layers[1]:
        reasons.append(f"offloaded {cuda.offloaded or 'no'} layers")
    parted, worst, wrong = compare.partings(reference, cuda)
    reasons += wrong
    later = sum(cuda.seconds["later"]) / (len(cuda.tokens) - len(cuda.seconds["later"]))
    return (f"{len(cuda.tokens)} tokens, {len(parted)} chosen otherwise, NMSE at most {worst:.1e}; "
            f"backend {cuda.seconds['backend'][0]:.2f} s, first token {cuda.seconds['first'][0]:.2f} s, "
            f"later {later * 1000:.0f} ms each"), reasons
