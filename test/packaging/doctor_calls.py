#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cubar-doctor's calls, on the software GPU through cubar-run: what it says when they are answered,
and when they are not.
usage: doctor_calls.py CUBAR_RUN CUBAR_DOCTOR LIBCUDA FULL_DRIVER
"""

import json
import os
import subprocess
import sys
import unittest

LIMIT = 60


# A program that takes all memory, and then has the doctor look.
TAKER = """
import ctypes, subprocess, sys
cuda = ctypes.CDLL(sys.argv[1])
context, address, free = ctypes.c_void_p(), ctypes.c_ulonglong(), ctypes.c_size_t()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(ctypes.c_size_t())) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(address), free) == 0
sys.exit(subprocess.call(sys.argv[2:]))
"""


def findings(command, **environment):
    """The doctor's findings by check, the last of each. Its exit code fits them, and what is wrong
    comes with what to do."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=LIMIT, text=True,
                          env=os.environ | environment)
    told = json.loads(done.stdout)
    wrong = [finding for finding in told["findings"] if finding["health"] == "bad"]
    assert all(finding["mend"] for finding in wrong), wrong
    assert (told["all_well"], done.returncode) == ((False, 1) if wrong else (True, 0)), done.stdout
    return {finding["check"]: finding for finding in told["findings"]}


class Calls(unittest.TestCase):
    def setUp(self):
        self.doctor = [doctor, "--json", "--library", library]
        self.through = [cubar_run, "--gpu", "soft", "--", *self.doctor]

    def test_answered(self):
        found = findings(self.through)
        for check in ("host", "memory type", "session", "first call"):
            self.assertEqual("good", found[check]["health"], found[check])
        self.assertIn("softgpu", found["host"]["says"])

    def test_no_gpu_to_see(self):
        found = findings(self.through, CUDA_VISIBLE_DEVICES="none")
        self.assertEqual("bad", found["first call"]["health"])
        self.assertIn("CUDA_ERROR_NO_DEVICE", found["first call"]["says"])
        self.assertIn("CUDA_VISIBLE_DEVICES", found["first call"]["mend"])

    def test_no_library(self):
        found = findings([*self.through[:-1], "/nowhere/libcuda.so.1"])
        self.assertEqual("good", found["session"]["health"])
        self.assertEqual("bad", found["first call"]["health"])

    def beside_a_taker(self, *options):
        return findings([cubar_run, "--gpu", "soft", *options, "--", sys.executable, "-c", TAKER, library,
                         *self.doctor])

    def test_quota_full(self):
        found = self.beside_a_taker("--memory", "64MiB")
        self.assertEqual("good", found["session"]["health"])
        self.assertEqual("bad", found["quota"]["health"])
        self.assertIn("cubarctl usage", found["quota"]["mend"])

    def test_quota_leaves_no_room_for_a_context(self):
        found = findings([*self.through[:-1], full_driver])
        self.assertEqual("bad", found["quota"]["health"])
        self.assertIn("cuDevicePrimaryCtxRetain", found["quota"]["says"])
        self.assertNotIn("first call", found)

    def test_no_session_left(self):
        found = self.beside_a_taker("--sessions", "1")
        self.assertEqual("bad", found["session"]["health"])
        self.assertIn("cubarctl sessions", found["session"]["mend"])

    def test_no_channel_left(self):
        found = self.beside_a_taker("--channels", "1")
        self.assertEqual("bad", found["session"]["health"])
        self.assertIn("channel", found["session"]["mend"])

    def test_nobody_there(self):
        found = findings(self.doctor, CUBAR_DEVICE="local:/nowhere/socket")
        self.assertEqual("bad", found["host"]["health"])
        self.assertTrue(found["host"]["mend"])
        self.assertNotIn("first call", found)

    def test_exit_status(self):
        for arguments, code in ((["--help"], 0), (["--root", "/nowhere"], 1), (["--what"], 2)):
            done = subprocess.run([doctor, *arguments], check=False, timeout=LIMIT,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertEqual(code, done.returncode, arguments)


if __name__ == "__main__":
    cubar_run, doctor, library, full_driver = (os.path.abspath(path) for path in sys.argv[1:5])
    unittest.main(argv=sys.argv[:1], verbosity=2)
