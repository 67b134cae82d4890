# SPDX-License-Identifier: Apache-2.0
"""What befalls a service that has the GPU, and that it has it again afterwards."""

import re
from contextlib import contextmanager

from application import VARIANT
from cases import CAUSE_TO_ERROR, ask, expect, free_bytes
from doctor_cases import expect_complaint, expect_well
from package_cases import LIBRARIES, STUB, generates, generates_on_the_cpu, install_service, \
    only_the_service_maps_our_files, other_device_is_left_alone, succeed

# The replicas of test/ollama and their arguments.
GENERATIONS = {"replica-in_process": f"{LIBRARIES} {STUB.rpartition('/')[0]}", "replica-runner": "",
               "replica-probe": "570"}
ASK_NVML = ("replica-runner", "replica-probe")
REFRESH = 3  # seconds that the newest ollama gives its probe
KILL = "kill -9 $(systemctl show -P MainPID ollama)"
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
    said = discover(bench, services, "root", (ours, linked))
    for program, part in zip(GENERATIONS, said):
        expect(("nvml" in part) == (program in ASK_NVML), f"NVML, as a service: {program} found {part}")
    with member(bench) as user:
        discover(bench, shells, user, (ours, linked))


def discover(bench, commands, user, libraries):
    """Each finds the GPU in one of the libraries, in the time that ollama allows a refresh; what each says."""
    parts = []
    said = succeed(bench, "set -e\n" + "\n".join(f"echo next\n{command}" for command in commands), user)
    for command, part in zip(commands, said.split("next\n")[1:], strict=True):
        found = dict(line.split(" ", 1) for line in part.splitlines())
        expect(found.get("library") in libraries and "device" in found, f"{command} found {part}")
        expect(float(found["seconds"]) < REFRESH, f"{command} took {found['seconds']} s")
        parts.append(found)
    return parts


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


@contextmanager
def generation_that_is_killed(bench):
    """One that has begun; what the block does must end it before its time."""
    generation = bench.application.begin(bench.guest)
    yield
    generation.wait(30)
    expect(not bench.application.finished(generation), "it had ended before it was killed")
    generates(bench)


def killed_and_restarted_by_systemd(bench):
    """SIGKILL: the memory is back within 2 s of the restart that the service's unit asks for. No process
    of cubar's is left that could give it back: the unit's end does."""
    used = "cubar-smi --query-gpu=memory.used --format=csv,noheader,nounits"
    uptime = "cut -d' ' -f1 /proc/uptime"
    expect(succeed(bench, used).strip() == "0", "somebody else uses the GPU")
    with generation_that_is_killed(bench):
        expect(succeed(bench, used).strip() != "0", "the model takes no memory")
        count = restarts(bench)
        succeed(bench, KILL)
        await_restart(bench, count)
        begin, end = map(float, succeed(bench, f"""
{uptime}
until [ "$({used})" = 0 ]; do :; done
{uptime}""", limit=RECOVERY).split())
        expect(end - begin < CAUSE_TO_ERROR, f"the memory came back {end - begin:.1f} s after the restart")


def killed_and_restarted_by_hand(bench):
    """The same by systemctl, and another CUDA process sees the memory come back."""
    with witness(bench) as job:
        before = free_bytes(job)
        with generation_that_is_killed(bench):
            expect(free_bytes(job) < before, "the model takes no memory")
            succeed(bench, f"{KILL}; systemctl restart ollama")
            answer = ask(job, f"await {before} {CAUSE_TO_ERROR}", ("back", "short"))
            expect(answer == "back", f"{CAUSE_TO_ERROR} s after the restart still {answer} bytes")


def cubard_is_stopped(bench):
    """In mid-generation: nothing hangs, the service goes on without a GPU and has it when cubard is back."""
    job = bench.application.begin(bench.guest)
    bench.cubard.stop()
    try:
        job.wait(RECOVERY)
        generates_on_the_cpu(bench)
        expect_complaint(bench, "host", "systemctl start cubard")
    finally:
        bench.cubard.start()
    generates(bench)


def unplugged_and_plugged(bench):
    """The device goes from under a runner, which may die; service and system do not."""
    ivshmem = "$(lspci -n | grep -c 1af4:1110)"
    job = bench.application.begin(bench.guest)
    bench.unplug()
    job.wait(RECOVERY)
    generates_on_the_cpu(bench)
    succeed(bench, f"[ {ivshmem} = 1 ]")  # somebody else's
    expect_complaint(bench, "device", "on the host")
    bench.plug()
    # The rule acts by itself; the test only waits for udev to be done with it.
    succeed(bench, f"""
until [ {ivshmem} = 2 ]; do :; done
udevadm settle""", limit=RECOVERY)
    generates(bench)
    expect_well(bench)
    state = succeed(bench, "systemctl is-system-running || true").strip()
    expect(state == "running", f"the system is {state}")


def reboots(bench):
    bench.guest.run("systemctl reboot", "root")
    bench.wait_boot()
    generates(bench)
    expect_well(bench)
    other_device_is_left_alone(bench)


CASES = (every_generation_finds_it, only_the_service_maps_our_files, wiped_and_installed_again,
         killed_and_restarted_by_systemd, killed_and_restarted_by_hand, cubard_is_stopped,
         unplugged_and_plugged, reboots)
