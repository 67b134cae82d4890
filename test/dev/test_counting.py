#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How ./dev test counts: nothing that failed or was skipped may be lost."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from counting import Count, count_cases  # noqa: E402
from test import count_log  # noqa: E402


class CountCases(unittest.TestCase):
    def test_plain_program(self):
        self.assertEqual(count_cases("hello\n", True), Count(passed=1))
        self.assertEqual(count_cases("hello\n", False), Count(failed=1))

    def test_tap(self):
        output = "1..4\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no device\nok 4 - d # 0.1 s\n"
        self.assertEqual(count_cases(output, False), Count(2, 1, 1))

    def test_tap_that_ends_badly_without_a_failed_case(self):
        self.assertEqual(count_cases("1..3\nok 1 - a\n", False), Count(1, 1, 0))

    def test_catch2(self):
        passed = "=====\nAll tests passed (1,234 assertions in 17 test cases)\n"
        self.assertEqual(count_cases(passed, True), Count(passed=17))
        failed = "test cases:  12 |  10 passed |  2 failed\nassertions: 100 | 98 passed | 2 failed\n"
        self.assertEqual(count_cases(failed, False), Count(10, 2, 0))

    def test_catch2_killed_after_its_summary(self):
        passed = "All tests passed (3 assertions in 1 test case)\n"
        self.assertEqual(count_cases(passed, False), Count(1, 1, 0))


class CountLog(unittest.TestCase):
    def test_every_result(self):
        entries = [{"result": "OK", "stdout": ""}, {"result": "FAIL", "stdout": ""},
                   {"result": "TIMEOUT", "stdout": None}, {"result": "ERROR"},
                   {"result": "SKIP", "stdout": "ok"}, {"result": "UNEXPECTEDPASS"}]
        with tempfile.TemporaryDirectory() as name:
            log = Path(name) / "testlog.json"
            log.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
            self.assertEqual(count_log(log), Count(1, 4, 1))


if __name__ == "__main__":
    unittest.main()
