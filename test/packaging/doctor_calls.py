#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cubar-doctor's calls, on the software GPU through cubar-run: what it says when they are answered,
and when they are not.
usage: doctor_calls.py CUBAR_RUN CUBAR_DOCTOR LIBCUDA
"""

import json
import os
import subprocess
import sys
import unittest

LIMIT = 60


def findings(command, **environment):
    """The doctor's findings by check, the last of each."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=LIMIT, text=True,
                          env=os.environ | environment)
    return {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}


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
    cubar_run, doctor, library = (os.path.abspath(path) for path in sys.argv[1:4])
    unittest.main(argv=sys.argv[:1], verbosity=2)
