# SPDX-License-Identifier: Apache-2.0
"""A program that runs kernels says how much they did if CUBAR_SOFTGPU_COUNT asks, and only then."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop()
LINE = re.compile(r" INFO ([\d.]+) G instructions of lanes, ([\d.]+) lanes each, "
                  r"in [\d.]+ s of one core: [\d.]+ G/s$", re.MULTILINE)


def said(value):
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        variables = {"CUBAR_SOFTGPU_COUNT": value, "CUBAR_LOG": log.name, "CUBAR_LOG_LEVEL": "info"}
        subprocess.run([PROGRAM], env=os.environ | variables, stdout=subprocess.DEVNULL, check=True)
        return LINE.search(log.read())


class WorkCount(unittest.TestCase):
    def test_is_logged_when_asked_for(self):
        found = said("1")
        self.assertIsNotNone(found)
        self.assertGreater(float(found[1]), 0.001)
        self.assertTrue(1 <= float(found[2]) <= 32)

    def test_is_silent_otherwise(self):
        self.assertIsNone(said("0"))


if __name__ == "__main__":
    unittest.main()
