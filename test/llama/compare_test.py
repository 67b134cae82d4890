#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rule by which two backends agree must not let a wrong one pass."""

import math
import tempfile
import unittest
from array import array
from pathlib import Path

from case import Case
from compare import NMSE, Generated, Sent, nmse, partings, read
from token_cost import excess, excess_waits

PLACES = [(0, 0, 0), (0, 0, 1)]


def generated(tokens, rows):
    return Generated(PLACES, tokens, [array("f", row) for row in rows], {}, "3/3", [])


REFERENCE = generated([1, 0], [[0, 4, 3.98, 1], [2, 1, 0, -2]])


class Partings(unittest.TestCase):
    def test_the_same(self):
        self.assertEqual(partings(REFERENCE, REFERENCE), ([], 0.0, []))

    def test_choices_that_the_error_explains(self):
        other = generated([2, 0], [[0, 3.98, 4, 1], [2, 1, 0, -2]])
        parted, worst, wrong = partings(REFERENCE, other)
        self.assertEqual((parted, wrong), ([(0, 0, 0)], []))
        self.assertTrue(0 < worst < NMSE)

    def test_a_choice_that_the_error_does_not_explain(self):
        # As when the token is taken from other logits than those that are shown.
        other = generated([3, 0], REFERENCE.logits)
        self.assertEqual(len(partings(REFERENCE, other)[2]), 1)

    def test_logits_that_differ_though_the_choice_is_the_same(self):
        other = generated([1, 0], [[0, 4, 3.98, 1.2], [2, 1, 0, -2]])
        self.assertEqual(len(partings(REFERENCE, other)[2]), 1)

    def test_the_last_place_counts(self):
        other = generated([1, 0], [[0, 4, 3.98, 1], [2, 1, 1, -2]])
        self.assertEqual(len(partings(REFERENCE, other)[2]), 1)

    def test_what_is_no_number(self):
        other = generated([1, 0], [[0, 4, 3.98, math.nan], [2, 1, 0, -2]])
        self.assertEqual(len(partings(REFERENCE, other)[2]), 1)

    def test_fewer_tokens(self):
        other = Generated(PLACES[:1], [1], REFERENCE.logits[:1], {}, "3/3", [])
        self.assertTrue(partings(REFERENCE, other)[2])

    def test_error_relative_to_the_reference(self):
        self.assertAlmostEqual(nmse([3, 4], [3, 5]), 1 / 25)


class Read(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "logits"

    def read(self, stdout, *values):
        self.path.write_bytes(array("f", values).tobytes())
        return read(stdout, self.path)

    def test_what_generate_prints(self):
        run = self.read(b"offloaded 3/3 layers to GPU\nseconds model 0.5\ntoken 0 1 0 7\ntoken 0 1 1 9\n",
                        1, 2, 3, 4)
        self.assertEqual((run.places, run.tokens), ([(0, 1, 0), (0, 1, 1)], [7, 9]))
        self.assertEqual([list(row) for row in run.logits], [[1, 2], [3, 4]])
        self.assertEqual((run.offloaded, run.seconds), ("3/3", {"model": [0.5]}))

    def test_what_was_sent(self):
        run = self.read(b"sent 0 1 10 2 592 copied:2704 answered:12 0x1d:1 0x91:9\ntoken 0 0 1 9\n", 1, 2)
        self.assertEqual(run.sent, [Sent(10, 2, 592, {0x1D: 1, 0x91: 9}, 2704, 12)])

    def test_no_tokens(self):
        with self.assertRaises(ValueError):
            self.read(b"", 1, 2)

    def test_logits_cut_short(self):
        with self.assertRaises(ValueError):
            self.read(b"token 0 0 0 7\ntoken 0 0 1 9\n", 1, 2, 3)


class Excess(unittest.TestCase):
    NAMES = {1: "cuGraphLaunch", 2: "cuMemcpyAsync", 3: "cuCtxGetCurrent", 4: "cuStreamSynchronize",
             5: "output", 6: "cuMemcpy3DAsync"}
    WARM = {1: 1, 2: 7, 4: 1, 5: 1}

    def excess(self, opcodes, round_trips=2, length=592, copied=2704, answered=12, sequences=1):
        sent = Sent(sum(opcodes.values()), round_trips, length, opcodes, copied, answered)
        return excess(sent, self.NAMES, Case("", "Q4_0", sequences=sequences))

    def test_a_warm_token(self):
        self.assertEqual(self.excess(self.WARM), [])

    def test_no_graph_or_two(self):
        self.assertTrue(self.excess({2: 7}))
        self.assertTrue(self.excess(self.WARM | {1: 2}))

    def test_a_query(self):
        self.assertTrue(self.excess(self.WARM | {3: 1}))

    def test_an_unknown_record(self):
        self.assertTrue(self.excess(self.WARM | {9: 1}))

    def test_a_copy_that_is_not_counted(self):
        self.assertTrue(self.excess(self.WARM | {6: 1}))

    def test_round_trips_that_are_no_waits(self):
        self.assertTrue(self.excess(self.WARM | {5: 2}, round_trips=3))

    def test_waits_of_one_token_are_left_to_the_median(self):
        self.assertEqual(self.excess(self.WARM | {4: 7}, round_trips=8, length=592 + 6 * 48), [])

    def test_waits(self):
        def tokens(*round_trips):
            return [Sent(10, n, 592, self.WARM) for n in round_trips]
        self.assertEqual(excess_waits(tokens(2, 3, 2, 7, 2)), [])
        self.assertTrue(excess_waits(tokens(2, 3, 3, 7, 2)))
        self.assertTrue(excess_waits(tokens(8, 8, 8, 8, 8)))

    def test_bytes(self):
        self.assertEqual(self.excess(self.WARM, copied=2 * 2704, sequences=2), [])
        for much in ({"length": 1000}, {"copied": 3100}, {"answered": 4016}, {"copied": 0}):
            self.assertTrue(self.excess(self.WARM, **much), much)


if __name__ == "__main__":
    unittest.main()
