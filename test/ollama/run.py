#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each replica of ollama's discovery through cubar-run and directly, and prints TAP.

Nothing here is ollama: the replicas reproduce what each generation of it searches, in what
environment, and which functions it calls. Each run has a cubard of its own, so each is a cold start.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "conformance"))

from program import environment, run  # noqa: E402

LAYOUTS = ("usr/lib/ollama", "usr/local/lib/ollama")
GENERATIONS = ("in_process", "runner", "probe")
VARIANT = "cuda_v13"
ARCHS = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
# Seconds. ollama gives a pass of runners 30, but here whatever takes longer than a probe may is ended.
COLD_START = 1.0  # beyond the driver's own
REFRESH_LIMIT = 3
PROBE_LIMIT = 15
FLOORS = ("550", "570")
NO_DRIVERS_FLOOR = "9999"
NOBODY = "GPU-00000000-0000-0000-0000-000000000000"
# Two GPUs, so that one is chosen and the other is not.
TWO = {"CUBAR_SOFTGPU_DEVICES": "2"}
# Stops the cubard of the cubar-run that started it.
SILENCE = ["sh", "-c", "pkill -STOP -P $PPID cubard && exec \"$@\"", "sh"]


class Failure(Exception):
    """What was expected and is not so."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


@dataclass
class Found:
    """What a replica says."""

    library: str
    devices: list  # of each: compute capability, name, free and total memory, what it is called
    seconds: float
    rest: str  # its other lines

    def names(self):
        return [device[1] for device in self.devices]

    def said(self, word):
        """What its lines with this first word say."""
        return re.findall(f"^{word} (.*)$", self.rest, re.M)


class Machine:
    """A file tree as the package and ollama leave it, with another driver's stub among the system's."""

    def __init__(self, root, arguments):
        self.root = root
        self.arguments = arguments
        self.private = root / "usr/lib/cubar"
        self.system = root / "usr/lib/x86_64-linux-gnu"
        for directory in (self.private, self.system):
            directory.mkdir(parents=True)
        self.library = self.private / "libcuda.so.1"
        shutil.copy(arguments.libcuda, self.library)
        shutil.copy(arguments.nvml, self.private / "libnvidia-ml.so.1")
        shutil.copy(arguments.stub, self.system / "libcuda.so.1")

    @contextmanager
    def ollama(self, layout, linked=True):
        """ollama's library directory; the package's link in it."""
        directory = self.root / layout
        (directory / VARIANT).mkdir(parents=True)
        (directory / VARIANT / "libcudart.so.13").symlink_to(self.arguments.cudart)
        if linked:
            (directory / "libcuda.so.1").symlink_to(self.library)
        try:
            yield directory
        finally:
            shutil.rmtree(directory)

    def command(self, generation, directory, floor):
        program = str(getattr(self.arguments, generation))
        return {"in_process": [program, str(directory), str(self.system)],
                "runner": [program],
                "probe": [program, floor]}[generation]

    def variables(self, generation, directory, service, driver=None):
        """What ollama's process has, or gives the one that it starts."""
        inherited = [str(self.private)] if service else []
        # The stub stands where the linker finds a system's libraries: after all that is named.
        path = [*inherited, str(self.system)]
        if generation != "in_process":
            path = [str(directory), str(directory / VARIANT), *path]
        if driver:
            path.insert(0, str(driver))
        return {"LD_LIBRARY_PATH": ":".join(path)}

    def discover(self, generation, directory, service, floor=FLOORS[-1], before=(), **more):
        """Through cubar-run; in a shell the package gives no environment."""
        variables = self.variables(generation, directory, service) | more
        settings = [f"{name}={value}" for name, value in variables.items()]
        return self.read([str(self.arguments.cubar_run), "--gpu", "soft", "--", *before, "env", *settings,
                          *self.command(generation, directory, floor)], environment() | TWO, generation)

    def discover_directly(self, generation, directory):
        """The same calls on the driver itself."""
        driver = self.arguments.softgpu.parent
        command = self.command(generation, driver if generation == "in_process" else directory, FLOORS[0])
        return self.read(command, environment() | TWO | self.variables(generation, directory, False, driver),
                         generation)

    def read(self, command, variables, generation):
        done = run(command, variables, PROBE_LIMIT)
        said = done.stdout.decode()
        expect(done.code == 0, f"{generation} {done.ended()}: {said[-300:]} {done.stderr.decode()[-600:]}")
        if re.search("^(no library|driver .* is below .*)$", said, re.M):
            return Found("", [], 0, said)
        expect("seconds " in said, f"{generation} wrote {said}")
        first = said[:said.index("seconds ")]
        return Found(re.search(r"^library (.*)$", said, re.M)[1],
                     [line.split(maxsplit=4) for line in re.findall("^device (.*)$", first, re.M)],
                     float(re.search(r"^seconds (.*)$", said, re.M)[1]), said)

    def check(self, found):
        """Our library, and devices that every generation accepts and can tell apart."""
        expect(Path(found.library).resolve() == self.library, f"took {found.library or 'no library'}")
        expect(len(set(found.names())) == 2, f"two GPUs are {found.devices}")
        for capability, _, _, total, _ in found.devices:
            expect(capability in ARCHS, f"compute capability {capability} is in no list of ollama's")
            expect(int(total) > 0, "a device without memory")


def in_time(found, own):
    """A cold start and ollama's own limit."""
    expect(found.seconds < REFRESH_LIMIT, f"took {found.seconds} s")
    beyond = found.seconds - own.seconds
    expect(beyond < COLD_START, f"a cold start takes {beyond:.2f} s beyond the driver's own")


def check_nvml(found, generation, service):
    """Who asks NVML has its answer as a service, and does without in a shell."""
    lines = found.said("nvml")
    if generation == "in_process" or not service:
        expect(not lines, f"asked an NVML that the package does not offer there: {lines}")
    elif generation == "runner":
        totals = [line.split()[0] for line in lines]
        expect(totals == [device[3] for device in found.devices], f"NVML says {lines}, CUDA {found.devices}")
    else:
        expect(len(lines) == 1 and int(lines[0].split(".")[0]) >= 570, f"the driver's version is {lines}")


def check_refreshes(found):
    """0.5 and 0.6 open the library again and again: in time, and nothing stays of it."""
    slowest, = found.said("refresh")
    expect(float(slowest) < REFRESH_LIMIT, f"a refresh took {slowest} s")
    first, last = found.said("kept")
    expect(first == last, f"files, mappings and threads were {first}, are {last} after more refreshes")


def generation_case(machine, generation, layout, service):
    """All GPUs, one by number, one by UUID, none; in time."""
    def case():
        with machine.ollama(layout) as directory:
            found = machine.discover(generation, directory, service)
            machine.check(found)
            check_nvml(found, generation, service)
            if generation == "in_process":
                check_refreshes(found)
            own = machine.discover_directly(generation, directory)
            print(f"# {found.seconds:.2f} s, the driver's own {own.seconds:.2f} s")
            in_time(found, own)
            # The probe asks for no UUID.
            uuids = found.names() if generation != "probe" else \
                machine.discover("in_process", directory, service).names()
            for uuid in uuids:
                expect(re.fullmatch(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid), f"a UUID {uuid}")
            for chosen in ("1", uuids[1]):
                one = machine.discover(generation, directory, service, GGML_CUDA_INIT="1",
                                       CUDA_VISIBLE_DEVICES=chosen)
                expect([device[:2] + device[3:] for device in one.devices] ==
                       [device[:2] + device[3:] for device in found.devices[1:]],
                       f"CUDA_VISIBLE_DEVICES={chosen} shows {one.devices} of {found.devices}")
                in_time(one, own)
            for chosen in ("", "2", NOBODY):
                none = machine.discover(generation, directory, service, CUDA_VISIBLE_DEVICES=chosen)
                expect(not none.devices, f"CUDA_VISIBLE_DEVICES={chosen} shows {none.devices}")
    return case


def floors_case(machine):
    """A driver older than the floor drops the GPUs, where NVML tells its version; cubar's is new enough."""
    with machine.ollama(LAYOUTS[0]) as directory:
        for floor in FLOORS:
            machine.check(machine.discover("probe", directory, True, floor))
        dropped = machine.discover("probe", directory, True, NO_DRIVERS_FLOOR)
        expect(not dropped.devices and "below" in dropped.rest, f"a floor drops nothing: {dropped}")
        machine.check(machine.discover("probe", directory, False, NO_DRIVERS_FLOOR))


def silent_case(machine, generation):
    """A host that answers nothing: no GPU, before ollama loses its patience."""
    def case():
        with machine.ollama(LAYOUTS[0]) as directory:
            found = machine.discover(generation, directory, True, before=SILENCE)
            expect(not found.devices, f"found {found}")
    return case


def control_case(machine, generation):
    """Without link and environment only the stub is there, and no generation finds a GPU."""
    def case():
        with machine.ollama(LAYOUTS[0], linked=False) as directory:
            found = machine.discover(generation, directory, False)
            expect(not found.devices, f"found {found}")
    return case


def limits_control():
    """What is too slow is refused."""
    for seconds, own in ((COLD_START + 0.5, 0.1), (REFRESH_LIMIT + 0.5, REFRESH_LIMIT)):
        try:
            in_time(Found("", [], seconds, ""), Found("", [], own, ""))
        except Failure:
            continue
        raise Failure(f"{seconds} s are accepted")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, what in (("cubar-run", "the program"), ("libcuda", "the guest's libcuda.so.1"),
                       ("nvml", "the guest's libnvidia-ml.so.1"),
                       ("softgpu", "the host's libcuda.so.1"), ("stub", "the toolkit's libcuda.so"),
                       ("cudart", "libcudart.so.13"), ("in-process", "the replica of 0.5 and 0.6"),
                       ("runner", "the replica of 0.12 to 0.24"), ("probe", "the replica of 0.30 and later")):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True, help=what)
    arguments = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="cubar-ollama-") as name:
        machine = Machine(Path(name), arguments)
        cases = [(f"{generation} in {layout}, {'as a service' if service else 'from a shell'}",
                  generation_case(machine, generation, layout, service))
                 for generation in GENERATIONS for layout in LAYOUTS for service in (True, False)]
        cases += [("the floors of the driver's version", lambda: floors_case(machine))]
        cases += [(f"{generation} with a silent host", silent_case(machine, generation))
                  for generation in GENERATIONS]
        cases += [(f"{generation} without the package", control_case(machine, generation))
                  for generation in GENERATIONS]
        cases += [("what is too slow is refused", limits_control)]
        print(f"1..{len(cases)}")
        for number, (title, case) in enumerate(cases, 1):
            try:
                case()
                print(f"ok {number} - {title}", flush=True)
            except Failure as failure:
                failures += 1
                print(f"not ok {number} - {title}")
                for line in str(failure).splitlines():
                    print(f"# {line}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
