# SPDX-License-Identifier: Apache-2.0
"""cubard's systemd units: systemd reads them, they confine, and cubard works inside.
usage: unit_test.py CUBARD FAKE_WORKER SERVICE SOURCE_DIRECTORY [unittest arguments]
"""
import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest

from cubard_case import CUBARD, LIMIT, NO_ERROR, READY, Case

SERVICE, SOURCES = map(os.path.abspath, sys.argv[3:5])
NAMES = ("cubard.service", "cubard.socket", "cubar-vm@.socket")
EPERM, ENOSYS = 1, 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38


class Files(Case):
    def setUp(self):
        super().setUp()
        self.units = self.run + "/units"
        os.mkdir(self.units)
        with open(SERVICE) as file:
            text = file.read()
        with open(self.units + "/cubard.service", "w") as file:
            file.write(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=" + CUBARD, text))
        for name in NAMES[1:]:
            shutil.copy(SOURCES + "/" + name, self.units)

    def analyze(self, *words):
        return subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True,
                              timeout=LIMIT, env=dict(os.environ, SYSTEMD_UNIT_PATH=self.units + ":"))

    def test_systemd_understands_them(self):
        paths = [self.units + "/" + name.replace("@", "@a") for name in NAMES]
        os.rename(self.units + "/cubar-vm@.socket", paths[2])
        result = self.analyze("verify", "--man=no", "--recursive-errors=no", *paths)
        # Of the machine's own units there may be complaints.
        wrong = [line for line in (result.stdout + result.stderr).splitlines()
                 if "cubar" in line and "Unit sysinit.target not found" not in line]
        self.assertEqual(wrong, [])
        with open(paths[0], "a") as file:
            file.write("\n[Service]\nNoSuchKey=1\n")
        self.assertIn("NoSuchKey", self.analyze("verify", "--man=no", paths[0]).stderr)

    def test_the_service_is_confined(self):
        result = self.analyze("security", "--offline=true", self.units + "/cubard.service")
        level = re.search(r"exposure level for \S+: ([\d.]+) (\w+)", result.stdout)
        self.assertIsNotNone(level, result.stdout + result.stderr)
        self.assertLessEqual(float(level[1]), 4.5)
        self.assertEqual(level[2], "OK")


def setting(name):
    """All that the service says of a key, each word."""
    with open(SERVICE) as file:
        return [word for value in re.findall(rf"(?m)^{name}=(.*)$", file.read()) for word in value.split()]


def calls_of(words):
    calls = set()
    for word in words:
        if word.startswith("@"):
            text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", word],
                                  capture_output=True, text=True, check=True).stdout
            calls |= calls_of(line.strip() for line in text.splitlines()[1:]
                              if line.strip() and not line.strip().startswith("#"))
        else:
            calls.add(word)
    return calls


class Confinement:
    """What the service's settings do to a process: its calls, its capabilities."""

    def __init__(self):
        self.seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.seccomp.seccomp_init.restype = ctypes.c_void_p
        self.filter = ctypes.c_void_p(self.seccomp.seccomp_init(ERRNO | EPERM))
        for name in calls_of(setting("SystemCallFilter")) - {"clone3"}:
            self.rule(ALLOW, name)
        # RestrictNamespaces= cannot look into clone3, and so refuses it.
        self.rule(ERRNO | ENOSYS, "clone3")
        names = subprocess.run(["systemd-analyze", "capability"], capture_output=True, text=True,
                               check=True).stdout.splitlines()[1:]
        kept = {word.lower() for word in setting("CapabilityBoundingSet")}
        self.dropped = [int(number) for name, number in (line.split() for line in names)
                        if name not in kept]

    def rule(self, action, name):
        number = self.seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            self.seccomp.seccomp_rule_add(self.filter, ctypes.c_uint32(action), number, 0)

    def enter(self):
        for number in self.dropped:
            self.libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        self.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self.seccomp.seccomp_load(self.filter) != 0:
            os._exit(99)


class Confined(Case):
    def isolation(self, enter):
        """What cubard says that its workers lack, after a session."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.run + "/notify-unit"
        notify.bind(path)
        notify.settimeout(LIMIT)
        self.cubard = subprocess.Popen(
            self.command(), stdout=self.log, stderr=self.log, preexec_fn=enter,
            # The sanitizer's search for leaks traces the process, which the unit forbids.
            env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="100000",
                     LSAN_OPTIONS="detect_leaks=0" if enter else ""))
        with notify:
            self.assertIn(b"READY=1", notify.recv(200), self.text())
            _, memory, doorbells = self.guest()
            self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR), self.text())
            self.release(memory, doorbells, 1)
            self.assertEqual(notify.recv(200), b"WATCHDOG=1")
        os.unlink(path)
        self.assertEqual(self.stop(), 0)
        return re.findall("workers run without: (.*)", self.text())

    def test_cubard_works_and_confines_its_workers_as_well_as_outside(self):
        outside = self.isolation(None)
        self.log.truncate(0)
        self.assertEqual(self.isolation(Confinement().enter), outside)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]], verbosity=2)
