# SPDX-License-Identifier: Apache-2.0
"""What is tested in the guest. Each case is a function that gets the bench and raises on failure.

The bench: `guest`, `cubard`, `reference` (runs a program directly on the host's software GPU) and
`path_of` (a program's path in the guest).
"""

import json
import re
import time
from contextlib import contextmanager

LIBRARY = "LD_LIBRARY_PATH=/host/lib"
CAUSE_TO_ERROR = 2.0  # seconds from a cause to its error, as promised; emulation included


class Failure(Exception):
    """What a case expected and did not find."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def program_case(name):
    """A conformance program as an unprivileged user: the same bytes as directly on the host."""
    def case(bench):
        direct = bench.reference(name)
        expect(direct.code == 0, f"the direct run {direct.ended()}")
        job = bench.guest.call(f"{LIBRARY} exec {bench.path_of(name)}")
        expect(job.code == 0, f"exit code {job.code}: {job.output()[-300:]} {job.errors()[-300:]}")
        expect(job.output() == direct.stdout, f"outputs differ: {job.output()[-300:]}")
    case.__name__ = name
    return case


@contextmanager
def client(bench, user="guest"):
    """A steered CUDA process, ended at the end of the block."""
    script = f"echo $$ >/tmp/$$.pid; echo pid $$; {LIBRARY} exec {bench.path_of('client')}"
    job = bench.guest.run(script, user)
    job.pid = int(job.expect("pid").split()[1])
    job.expect("ready")
    try:
        yield job
    finally:
        if not job.ended.is_set():
            bench.guest.call(f"kill -9 {job.pid}", "root")
            job.wait(10)


def ask(job, command, answer, limit=60):
    job.send(command)
    return job.expect(answer, limit)


def free_bytes(job):
    return int(ask(job, "free", "free ").split()[1])


def lspci_is_undisturbed(bench):
    """Other programs are not touched, even if they search our library first."""
    plain = bench.guest.call("lspci -nn -vv", "root")
    with_library = bench.guest.call(f"{LIBRARY} lspci -nn -vv", "root")
    expect(plain.code == 0 and plain.output(), "lspci failed")
    expect(plain.output() == with_library.output(), "lspci's output depends on LD_LIBRARY_PATH")
    expect(b"1af4:1110" in plain.output(), "lspci does not list the device")


def only_clients_map_the_library(bench):
    with client(bench) as job:
        maps = bench.guest.call("grep -l libcuda /proc/[0-9]*/maps 2>/dev/null", "root")
        found = set(re.findall(r"/proc/(\d+)/", maps.output().decode()))
        expect(found == {str(job.pid)}, f"mapped by {found}, the client is {job.pid}")


def library_stays_small(bench):
    """A process maps its own channel and leases alone, not the whole BAR."""
    with client(bench) as job:
        maps = bench.guest.call(f"grep resource2 /proc/{job.pid}/maps", "root").output().decode()
        sizes = [int(end, 16) - int(start, 16)
                 for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) ", maps, re.M)]
        expect(sizes and sum(sizes) < 200 << 20, f"mapped {sum(sizes)} bytes of BAR2")


def two_processes_at_once(bench):
    with client(bench) as first, client(bench) as second:
        before = free_bytes(first)
        ask(second, "hold 64", "holding")
        expect(free_bytes(first) <= before - (64 << 20), "one process's memory is not the other's loss")
        first.send("compute")
        second.send("compute")
        for job in (first, second):
            expect(job.expect("right", 60) == "right", "a wrong result")


def killed_in_flight(bench):
    """SIGKILL with work in flight: its memory comes back, the other process goes on."""
    with client(bench) as survivor, client(bench) as victim:
        before = free_bytes(survivor)
        ask(victim, "hold 256", "holding")
        expect(free_bytes(survivor) <= before - (256 << 20), "256 MiB are not accounted")
        ask(victim, "spin", "spinning")
        bench.guest.call(f"kill -9 {victim.pid}", "root")
        answer = ask(survivor, f"await {before} {CAUSE_TO_ERROR}", ("back", "short"))
        expect(answer == "back", f"after {CAUSE_TO_ERROR} s still {answer} bytes")
        expect(ask(survivor, "compute", ("right", "wrong")) == "right", "the survivor is disturbed")


def refused(bench, error, script="", log=""):
    """A program that gets this error in time, with an explanation in its log."""
    name = bench.path_of("vector_add")
    # From the program's start to its end, without the shells around it.
    job = bench.guest.run(f"{script} echo begins; CUBAR_LOG=stderr {LIBRARY} exec {name}")
    job.expect("begins")
    begin = time.monotonic()
    job.wait(30)
    seconds = time.monotonic() - begin
    expect(job.code == 1 and error.encode() in job.output(),
           f"exit code {job.code}, not {error}: {job.output()[-300:]}")
    expect(seconds < CAUSE_TO_ERROR, f"the error took {seconds:.1f} s")
    expect(log in job.errors(), f"the log does not say '{log}': {job.errors()[-500:]}")


def works(bench):
    job = bench.guest.call(f"{LIBRARY} exec {bench.path_of('vector_add')}")
    expect(job.code == 0, f"exit code {job.code}: {job.output()[-300:]} {job.errors()[-300:]}")


# Our device stands behind the foreign one; no other device of the guest has a BAR2.
OURS = "$(dirname $(ls -d /sys/bus/pci/devices/*/resource2 | tail -1))"


def unreadable_files(bench):
    """Without the udev rule the BAR belongs to root: an error that names the file, no device."""
    job = bench.guest.call(f"chmod 0600 {OURS}/resource*", "root")
    expect(job.code == 0, job.errors())
    try:
        refused(bench, "cudaErrorNoDevice", log="resource")
    finally:
        bench.guest.call("/bin/permit", "root")
    works(bench)


def stranger(bench):
    """A user outside of the device's group."""
    job = bench.guest.call(f"CUBAR_LOG=stderr {LIBRARY} exec {bench.path_of('vector_add')}", "stranger")
    expect(job.code == 1 and b"cudaErrorNoDevice" in job.output(), f"{job.code} {job.output()[-300:]}")


def no_device(bench):
    """Our device removed: what stays is another ivshmem device, whose BAR is not ours."""
    job = bench.guest.call(f"echo 1 >{OURS}/remove; lspci -n | grep -c 1af4:1110", "root")
    expect(job.output().strip() == b"1", f"{job.output()} devices stay: {job.errors()}")
    try:
        refused(bench, "cudaErrorNoDevice", log="magic")
    finally:
        bench.guest.call("echo 1 >/sys/bus/pci/rescan; /bin/permit", "root")
    works(bench)


def many_processes_in_turn(bench):
    """More processes than channels, one after another: each gives its channel back."""
    script = f"for i in $(seq 40); do {LIBRARY} {bench.path_of('vector_add')} >/dev/null || exit 1; done"
    expect(bench.guest.call(script, limit=180).code == 0, "a later process found no channel")


def guest_reboots(bench):
    """A reboot with live sessions: they end on the host, and the guest starts afresh."""
    with client(bench) as job:
        before = free_bytes(job)
    holder = bench.guest.run(f"{LIBRARY} exec {bench.path_of('client')}")
    holder.expect("ready")
    ask(holder, "hold 512", "holding")
    ask(holder, "spin", "spinning")
    bench.guest.run("reboot -f", "root")
    bench.guest.wait_ready()
    with client(bench) as job:
        answer = ask(job, f"await {before} {CAUSE_TO_ERROR}", ("back", "short"))
        expect(answer == "back", f"after a reboot still {answer} bytes")
        expect(ask(job, "compute", ("right", "wrong")) == "right", "a wrong result")


def daemon_is_killed(bench):
    """cubard killed and restarted in mid-run: old sessions get an error, new ones are served."""
    try:
        with client(bench) as job:
            ask(job, "spin", "spinning")
            bench.cubard.kill()
            begin = time.monotonic()
            job.expect("error", 30)
            seconds = time.monotonic() - begin
            expect(seconds < CAUSE_TO_ERROR, f"the error took {seconds:.1f} s")
            expect(job.wait(10) == 3, "the client did not end")
        refused(bench, "cudaError")
    finally:
        bench.cubard.kill()
        bench.cubard.start()
    works(bench)


def daemon_is_restarted(bench):
    """cubard stopped and started with nobody connected."""
    expect(bench.cubard.stop() == 0, f"cubard did not stop well: {bench.cubard.tail()}")
    bench.cubard.start()
    works(bench)


def lockdown(bench):
    """A kernel locked down by Secure Boot forbids the mapping: an error that says so."""
    refused(bench, "cudaErrorNoDevice", log="lockdown")


def doctor_names_lockdown(bench):
    """By the kernel's word, and by what the device's files answer."""
    mount = "mount -t securityfs securityfs /sys/kernel/security"
    for prepare in ("true", mount):
        job = bench.guest.call(f"{prepare} && {bench.path_of('cubar-doctor')} --json", "root")
        expect(job.code == 1, f"cubar-doctor ended with {job.code}: {job.said()}")
        found = [finding for finding in json.loads(job.output())["findings"]
                 if (finding["check"], finding["health"]) == ("lockdown", "bad")]
        expect(found and all("Secure Boot" in finding["mend"] for finding in found),
               f"cubar-doctor does not name it: {job.said()}")


# In this order, all in one boot; the last ones disturb the most.
SHARED_BOOT = (
    lspci_is_undisturbed,
    only_clients_map_the_library,
    library_stays_small,
    two_processes_at_once,
    killed_in_flight,
    many_processes_in_turn,
    stranger,
    unreadable_files,
    no_device,
    guest_reboots,
    daemon_is_restarted,
    daemon_is_killed,
)
LOCKED_BOOT = (lockdown, doctor_names_lockdown)
