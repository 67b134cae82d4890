# SPDX-License-Identifier: Apache-2.0
"""Counts test cases by what their programs print."""

import re
from dataclasses import dataclass


@dataclass
class Count:
    """How many test cases ended in which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Count(self.passed + other.passed, self.failed + other.failed,
                     self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_cases(stdout, ended_well):
    """The cases inside one test: TAP lines, or what Catch2 counted, or the test itself."""
    tap = re.findall(r"^(not )?ok\b(.*)$", stdout, re.M)
    if tap and re.search(r"^1\.\.\d+", stdout, re.M):
        skipped = sum(bool(re.search(r"# SKIP", text, re.I)) for _, text in tap)
        failed = sum(bool(bad) for bad, _ in tap)
        count = Count(len(tap) - skipped - failed, failed, skipped)
    elif catch := re.search(r"All tests passed \(.* in (\d+) test cases?\)", stdout):
        count = Count(int(catch[1]))
    elif catch := re.search(r"test cases: *(\d+) \|.*?(\d+) failed", stdout):
        count = Count(int(catch[1]) - int(catch[2]), int(catch[2]))
    else:
        count = Count(int(ended_well), int(not ended_well))
    if not ended_well and count.failed == 0:
        count.failed = 1
    return count
