#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What cubar-run says where it cannot run a program."""

import os
import subprocess
import sys
import unittest

CUBAR_RUN = sys.argv.pop(1)


def run(*words, **variables):
    kept = {k: v for k, v in os.environ.items() if k != "CUBAR_HOST_LOG"}
    return subprocess.run([CUBAR_RUN, *words], env=kept | variables, capture_output=True, text=True,
                          timeout=60, check=False)


class Refusals(unittest.TestCase):
    def test_a_quota_that_is_no_size(self):
        done = run("--gpu", "soft", "--memory", "8M", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn('--memory: "8M" is no size; write one such as "4GiB" or "512MiB"', done.stderr)

    def test_a_driver_that_is_not_there(self):
        done = run("--gpu", "soft", "--driver", "/nowhere/libcuda.so.1", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("/nowhere/libcuda.so.1", done.stderr)

    def test_a_log_that_cannot_be_written(self):
        done = run("--gpu", "soft", "true", CUBAR_HOST_LOG="/nowhere/log")
        self.assertEqual(done.returncode, 125)
        self.assertIn("/nowhere/log", done.stderr)

    def test_a_program_runs(self):
        done = run("--gpu", "soft", "--memory", "8MiB", "sh", "-c", "echo here; exit 7")
        self.assertEqual((done.returncode, done.stdout), (7, "here\n"))


if __name__ == "__main__":
    unittest.main()
