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
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "conformance"))

from program import environment, run  # noqa: E402

LAYOUTS = ("usr/lib/ollama", "usr/local/lib/ollama")
VARIANT = "cuda_v13"
ARCHS = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
COLD_START = 1.0  # seconds beyond the driver's own
REFRESH_LIMIT = 3
PROBE_LIMIT = 15
FLOORS = ("550", "570")


class Failure(Exception):
    """What was expected and is not so."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


@dataclass
class Found:
    """What a replica says."""

    library: str
    devices: list
    seconds: float


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
        shutil.copy(arguments.stub, self.system / "libcuda.so.1")

    def install(self, layout, linked=True):
        """ollama's library directory; the package's link in it."""
        directory = self.root / layout
        (directory / VARIANT).mkdir(parents=True)
        (directory / VARIANT / "libcudart.so.13").symlink_to(self.arguments.cudart)
        if linked:
            (directory / "libcuda.so.1").symlink_to(self.library)
        return directory

    def command(self, generation, directory):
        program = str(getattr(self.arguments, generation))
        return {"in_process": [program, str(directory), str(self.system)],
                "runner": [program],
                "probe": [program, FLOORS[-1]]}[generation]

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

    def discover(self, generation, directory, service=True, **more):
        """Through cubar-run; in a shell the package gives no environment."""
        variables = self.variables(generation, directory, service) | more
        settings = [f"{name}={value}" for name, value in variables.items()]
        return self.read([str(self.arguments.cubar_run), "--gpu", "soft", "--", "env", *settings,
                          *self.command(generation, directory)], environment(), generation)

    def discover_directly(self, generation, directory):
        """The same calls on the driver itself."""
        driver = self.arguments.softgpu.parent
        command = self.command(generation, driver if generation == "in_process" else directory)
        return self.read(command, environment() | self.variables(generation, directory, False, driver),
                         generation)

    def read(self, command, variables, generation):
        done = run(command, variables, PROBE_LIMIT)
        said = done.stdout.decode()
        expect(done.code == 0, f"{generation} {done.ended()}: {said[-300:]} {done.stderr.decode()[-600:]}")
        if re.search("^no library$", said, re.M):
            return Found("", [], 0)
        expect("seconds " in said, f"{generation} wrote {said}")
        return Found(re.search(r"^library (.*)$", said, re.M)[1],
                     [line.split(maxsplit=5) for line in re.findall("^device (.*)$", said, re.M)],
                     float(re.search(r"^seconds (.*)$", said, re.M)[1]))

    def check(self, found):
        """Our library, and a device that every generation accepts."""
        expect(Path(found.library).resolve() == self.library, f"took {found.library or 'no library'}")
        expect(found.devices, "no device")
        for capability, *_, total, _ in (device[:3] + device[3:5] for device in found.devices):
            expect(capability in ARCHS, f"compute capability {capability} is in no list of ollama's")
            expect(int(total) > 0, "a device without memory")


def generation_case(machine, generation, layout):
    """As a service and from a shell, by UUID and by number; in time."""
    def case():
        directory = machine.install(layout)
        try:
            service = machine.discover(generation, directory)
            shell = machine.discover(generation, directory, service=False)
            again = machine.discover(generation, directory, service=False, GGML_CUDA_INIT="1",
                                     CUDA_VISIBLE_DEVICES="0")
            for found in (service, shell, again):
                machine.check(found)
                expect(found.devices[0][:2] == service.devices[0][:2], f"{found.devices} and {service.devices}")
                expect(found.seconds < REFRESH_LIMIT, f"took {found.seconds} s")
            if generation != "probe":
                uuid = service.devices[0][1]
                expect(re.fullmatch(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid), f"a UUID {uuid}")
                machine.check(machine.discover(generation, directory, GGML_CUDA_INIT="1",
                                               CUDA_VISIBLE_DEVICES=uuid))
            hidden = machine.discover(generation, directory, CUDA_VISIBLE_DEVICES="")
            expect(not hidden.devices, f"an empty list of devices shows {hidden.devices}")
            own = machine.discover_directly(generation, directory)
            beyond = min(service.seconds, shell.seconds) - own.seconds
            print(f"# {generation}: {service.seconds:.2f} and {shell.seconds:.2f} s, "
                  f"the driver's own {own.seconds:.2f} s")
            expect(beyond < COLD_START, f"a cold start takes {beyond:.2f} s beyond the driver's own")
        finally:
            shutil.rmtree(directory)
    return case


def control_case(machine, generation):
    """Without link and environment only the stub is there, and no generation finds a GPU."""
    def case():
        directory = machine.install(LAYOUTS[0], linked=False)
        try:
            found = machine.discover(generation, directory, service=False)
            expect(not found.devices, f"found {found}")
        finally:
            shutil.rmtree(directory)
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, what in (("cubar-run", "the program"), ("libcuda", "the guest's libcuda.so.1"),
                       ("softgpu", "the host's libcuda.so.1"), ("stub", "the toolkit's libcuda.so"),
                       ("cudart", "libcudart.so.13"), ("in-process", "the replica of 0.5 and 0.6"),
                       ("runner", "the replica of 0.12 to 0.24"), ("probe", "the replica of 0.30 and later")):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True, help=what)
    arguments = parser.parse_args()
    generations = ("in_process", "runner", "probe")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="cubar-ollama-") as name:
        machine = Machine(Path(name), arguments)
        cases = [(f"{generation} in {layout}", generation_case(machine, generation, layout))
                 for generation in generations for layout in LAYOUTS]
        cases += [(f"{generation} without the package", control_case(machine, generation))
                  for generation in generations]
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
