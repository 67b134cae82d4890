# SPDX-License-Identifier: Apache-2.0
"""What befalls a service that has the GPU, and that it has it again afterwards."""

import re
from contextlib import contextmanager

from application import VARIANT
from cases import CAUSE_TO_ERROR, ask, expect, free_bytes
from package_cases import PREFIX, STUB, generates, generates_on_the_cpu, install_service, \
    only_the_service_maps_our_files, succeed

LIBRARIES = f"{PREFIX}/lib/ollama"
# The replicas of test/ollama and their arguments.
GENERATIONS = {"replica-in_process": f"{LIBRARIES} {STUB.rpartition('/')[0]}", "replica-runner": "",
               "replica-probe": "570"}
REFRESH = 3  # seconds that the newest ollama gives its probe
RECOVERY = 60  # seconds in which something that is tried again must be there


def our_library(bench):
    return succeed(bench, "dpkg -L cubar-ollama | grep '/libcuda.so.1$'").strip()


@contextmanager
def member(bench):
    """A person who may use the device."""
    succeed(bench, "usermod -a -G cubar guest")
    try:
        yield "guest"
    finally:
        succeed(bench, "gpasswd -d guest cubar")


@contextmanager
def witness(bench):
    """A CUDA process outside of the service that sees the GPU's free memory."""
    directory = our_library(bench).rpartition("/")[0]
    with member(bench) as user:
        job = bench.guest.run(f"LD_LIBRARY_PATH={directory} exec /host/bin/client", user)
        job.expect("ready")
        try:
            yield job
        finally:
            if not job.ended.is_set():
                job.send("quit")
                job.wait(30)


def every_generation_finds_it(bench):
    """Their replicas, as the service with its drop-in starts them and from a member's shell."""
    inherited = re.search(r"LD_LIBRARY_PATH=(\S+)", succeed(bench, "systemctl show -P Environment ollama"))
    expect(inherited, "the drop-in gives no LD_LIBRARY_PATH")
    ours = our_library(bench)
    linked = f"{LIBRARIES}/libcuda.so.1"
    expect(succeed(bench, f"readlink -f {linked}").strip() == ours, f"{linked} does not lead to {ours}")
    child = f"{LIBRARIES}:{LIBRARIES}/{VARIANT}"
    services, shells = [], []
    for program, arguments in GENERATIONS.items():
        own = program == "replica-in_process"  # the service itself; the others are started by it
        path = inherited[1] if own else f"{child}:{inherited[1]}"
        command = f"/host/bin/{program} {arguments}"
        services.append("systemd-run --quiet --wait --pipe --collect -p User=ollama -p "
                        f"SupplementaryGroups=cubar -E LD_LIBRARY_PATH={path} {command}")
        shells.append(command if own else f"LD_LIBRARY_PATH={child} {command}")
    discover(bench, services, "root", (ours, linked))
    with member(bench) as user:
        discover(bench, shells, user, (ours, linked))


def discover(bench, commands, user, libraries):
    """Each finds the GPU in one of the libraries, in the time that ollama allows a refresh."""
    said = succeed(bench, "set -e\n" + "\n".join(f"echo next\n{command}" for command in commands), user)
    for command, part in zip(commands, said.split("next\n")[1:], strict=True):
        found = dict(line.split(" ", 1) for line in part.splitlines())
        expect(found.get("library") in libraries and "device" in found, f"{command} found {part}")
        expect(float(found["seconds"]) < REFRESH, f"{command} took {found['seconds']} s")


def restarts(bench):
    return int(succeed(bench, "systemctl show -P NRestarts ollama"))


def await_restart(bench, count):
    """Waits until systemd has started the service once more."""
    succeed(bench, f"""
until [ "$(systemctl show -P NRestarts ollama)" -gt {count} ] && systemctl -q is-active ollama; do :; done""",
            limit=RECOVERY)


def wiped_and_installed_again(bench):
    """ollama's installer takes our link with its library directory; the service's start makes it anew."""
    install_service(bench)
    generates(bench)


def killed_in_mid_generation(bench):
    """SIGKILL: the memory is back within 2 s of the service's restart."""
    with witness(bench) as job:
        before = free_bytes(job)
        generation = bench.application.begin(bench.guest)
        expect(free_bytes(job) < before, "the model takes no memory")
        count = restarts(bench)
        succeed(bench, "kill -9 $(systemctl show -P MainPID ollama)")
        await_restart(bench, count)
        answer = ask(job, f"await {before} {CAUSE_TO_ERROR}", ("back", "short"))
        expect(answer == "back", f"{CAUSE_TO_ERROR} s after the restart still {answer} bytes")
        generation.wait(30)
        expect(not bench.application.finished(generation), "it had ended before it was killed")
    generates(bench)


def cubard_is_stopped(bench):
    """In mid-generation: nothing hangs, the service goes on without a GPU and has it when cubard is back."""
    job = bench.application.begin(bench.guest)
    bench.cubard.stop()
    try:
        job.wait(RECOVERY)
        generates_on_the_cpu(bench)
    finally:
        bench.cubard.start()
    generates(bench)


def unplugged_and_plugged(bench):
    """The device goes from under a runner, which may die; service and system do not."""
    job = bench.application.begin(bench.guest)
    bench.unplug()
    job.wait(RECOVERY)
    generates_on_the_cpu(bench)
    expect("1af4:1110" not in succeed(bench, "lspci -n"), "lspci lists the unplugged device")
    bench.plug()
    # The rule acts by itself; the test only waits for udev to be done with it.
    succeed(bench, """
until lspci -n | grep -q 1af4:1110; do :; done
udevadm settle""", limit=RECOVERY)
    generates(bench)
    state = succeed(bench, "systemctl is-system-running || true").strip()
    expect(state == "running", f"the system is {state}")


def reboots(bench):
    bench.guest.run("systemctl reboot", "root")
    bench.wait_boot()
    generates(bench)


CASES = (every_generation_finds_it, only_the_service_maps_our_files, wiped_and_installed_again,
         killed_in_mid_generation, cubard_is_stopped, unplugged_and_plugged, reboots)
