# SPDX-License-Identifier: Apache-2.0
"""The prebuilt llama.cpp in the guest, as an unprivileged user on our library and the PCI device.

Its libraries, models and NVIDIA's libraries are shared into the guest as /llama and /cuda.
"""

from pathlib import Path

from cases import CAUSE_TO_ERROR, LIBRARY, ask, client, expect, free_bytes
from case import Case
from check import QUIET, Setup, check, check_counts, command_line, ended
from program import Outcome

# cudart and cuBLAS come with the application, libcuda.so.1 from us.
LIBRARIES = f"{LIBRARY}:/cuda"
HOME = Path("/llama")
LIMIT = 180


def script(case, *more, follow=()):
    """The guest's shell command. Its logits go to /host/results, where the harness reads them."""
    variables = " ".join(f"{name}={value}" for name, value in (QUIET | case.environment()).items())
    command = command_line(case, HOME, "cuda", "/host/results/logits.f32", follow)
    return f"{variables} {LIBRARIES} exec " + " ".join([*command, "--count", *more])


def in_guest(bench):
    """Generates in the guest, in the manner of check.on_cuda."""
    def generate(case, setup, follow):
        # Another user than the one who made it could not write it again.
        logits = bench.guest.share / "results" / "logits.f32"
        logits.touch()
        logits.chmod(0o666)
        job = bench.guest.call(script(case, follow=follow), limit=setup.limit)
        outcome = Outcome(job.output(), job.errors().encode(), job.code, setup.limit)
        cuda, reasons = ended(outcome, "cuda", logits)
        return cuda, reasons or check_counts(case, cuda)
    return generate


def generates(bench, quantisation="Q4_0"):
    case = Case(f"{quantisation} in the VM", quantisation)
    line, reasons = check(case, Setup(bench.arguments.llama, bench.directory, LIMIT), in_guest(bench))
    print(f"# {line}")
    expect(not reasons, "\n".join(reasons))


def llama_generates_q4_0(bench):
    """Every layer offloaded, one graph launch for a token, tokens as on the CPU."""
    generates(bench)


def llama_generates_q4_k_m(bench):
    generates(bench, "Q4_K_M")


def llama_is_killed(bench):
    """SIGKILL in mid-generation: its memory comes back, the client beside it and the next go on."""
    endless = Case("killed", "Q4_0", shape="medium", tokens=200)
    with client(bench) as survivor:
        before = free_bytes(survivor)
        victim = bench.guest.run(f"echo pid $$; {script(endless)}")
        pid = int(victim.expect("pid").split()[1])
        victim.expect("token 0 0 3 ", LIMIT)
        expect(free_bytes(survivor) < before, "the model takes no memory")
        bench.guest.call(f"kill -9 {pid}", "root")
        answer = ask(survivor, f"await {before} {CAUSE_TO_ERROR}", ("back", "short"))
        expect(answer == "back", f"after {CAUSE_TO_ERROR} s still {answer} bytes")
        expect(victim.wait(10) != 0, "it ended before it was killed")
        expect(ask(survivor, "compute", ("right", "wrong")) == "right", "the survivor is disturbed")
    generates(bench)


def llama_after_a_restart(bench):
    """cubard stopped and started between two runs: the next generates."""
    expect(bench.cubard.stop() == 0, f"cubard did not stop well: {bench.cubard.tail()}")
    bench.cubard.start()
    generates(bench)


CASES = (llama_generates_q4_0, llama_generates_q4_k_m, llama_is_killed, llama_after_a_restart)
