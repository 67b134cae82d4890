# SPDX-License-Identifier: Apache-2.0
"""Build directories under build/, each made once and then only brought up to date."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Build:
    """One Meson build directory: build/NAME."""

    def __init__(self, name, cuda, options=(), compiler=None):
        self.name = name
        self.directory = ROOT / "build" / name
        self.options = [f"-Dcuda={cuda}", *options]
        self.environment = dict(os.environ)
        if compiler:
            self.environment |= {"CXX": f"ccache {compiler}"}

    def configure(self):
        if not (self.directory / "build.ninja").exists():
            self._run("meson", "setup", str(self.directory), *self.options)

    def compile(self, targets=()):
        """Builds these targets, or everything. True on success."""
        self.configure()
        return self._run("ninja", "-C", str(self.directory), *targets, check=False) == 0

    def introspect(self, what):
        self.configure()
        # The answer is of the last configuration: let ninja see changed build files first.
        self._run("ninja", "-C", str(self.directory), "build.ninja", check=False, quiet=True)
        path = self.directory / "meson-info" / f"intro-{what}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def tests(self, wanted):
        """The tests for which `wanted(name, suites)` holds. A suite is named without its project."""
        return [test for test in self.introspect("tests")
                if wanted(test["name"], [s.split(":")[-1] for s in test["suite"]])]

    def targets_of(self, tests):
        """What must be built before these tests run, as names for ninja."""
        needed = {depend for test in tests for depend in test["depends"]}
        files = [f for target in self.introspect("targets") if target["id"] in needed
                 for f in target["filename"]]
        return sorted({str(Path(f).relative_to(self.directory)) for f in files})

    def _run(self, *command, check=True, quiet=False):
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=check,
                              stdout=subprocess.DEVNULL if quiet else None).returncode
