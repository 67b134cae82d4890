# SPDX-License-Identifier: Apache-2.0
"""NVML through the PCI device: cubar-smi, which has the guest's NVML in itself."""

import json
import time

from cases import ask, client, expect, free_bytes

DISCOVERY = 3.0  # seconds that ollama gives a refresh of its devices; emulation included
ROUNDED_UP = 4 << 20


def smi(bench, user="guest", script=""):
    job = bench.guest.call(f"{script} exec {bench.path_of('cubar-smi')} --json", user)
    expect(job.code == 0, f"exit code {job.code}: {job.errors()[-300:]}")
    gpus = json.loads(job.output())["gpus"]
    expect(len(gpus) == 1, f"{len(gpus)} GPUs")
    return gpus[0]


def nvml_without_a_session(bench):
    """In time for ollama, where nobody uses CUDA."""
    begin = time.monotonic()
    gpu = smi(bench)
    seconds = time.monotonic() - begin
    expect(seconds < DISCOVERY, f"it took {seconds:.1f} s")
    expect(gpu["memory_free_bytes"] == gpu["memory_total_bytes"] > 0 and not gpu["processes"],
           f"nobody holds memory, but: {gpu}")


def nvml_beside_clients(bench):
    """Memory and its holders as CUDA has them, and several who ask at once."""
    with client(bench) as one, client(bench) as two:
        ask(one, "hold 64", "holding")
        gpu = smi(bench)
        # Where no quota is set, CUDA counts besides what the asking process's driver rounds up.
        more = gpu["memory_free_bytes"] - free_bytes(two)
        expect(0 <= more < ROUNDED_UP, f"{more} bytes more than CUDA has: {gpu}")
        held = {process["pid"]: process["memory_bytes"] for process in gpu["processes"]}
        expect(held.get(one.pid, 0) >= 64 << 20, f"process {one.pid} holds 64 MiB, but: {held}")
        path = bench.path_of("cubar-smi")
        smi(bench, script=f"for i in 1 2 3 4; do {path} -L >/tmp/smi.$i & done; wait; "
                          "for i in 1 2 3 4; do grep -q UUID /tmp/smi.$i || exit 9; done;")


CASES = (nvml_without_a_session, nvml_beside_clients)
