#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How scripts/end_to_end.py judges what was decoded."""

import io
import sys
import unittest
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import end_to_end  # noqa: E402
from end_to_end import CUBAR, HOST_WAITS, NATIVE, Plan  # noqa: E402

PLAN = Plan("8B", (NATIVE, CUBAR), 2, 4, 3, goal=0.99)


def run(eager, graph, tokens=(1, 2), nmse=1e-7):
    return {"eager": {"tokens": list(tokens), "tokens_per_s": eager},
            "graph": {"tokens": list(tokens), "tokens_per_s": graph},
            "start": {"context_ms": 1.5}, "reference": {"tokens": [1, 2], "worst_nmse": nmse}}


class Figures(unittest.TestCase):
    def test_medians_of_repetitions_and_then_of_rounds(self):
        runs = [run([1, 100, 3], [5]), run([7, 8, 9], [7]), run([20, 20, 20], [6])]
        self.assertEqual(end_to_end.medians(runs),
                         {"eager_tokens_per_s": 8, "graph_tokens_per_s": 6, "context_ms": 1.5})

    def test_cubar_is_held_against_the_same_round(self):
        # The machine slows down to a tenth, cubar keeps nine tenths of it.
        runs = {NATIVE: [run([speed], [1]) for speed in (1000, 500, 100)],
                CUBAR: [run([speed], [1]) for speed in (900, 450, 90)]}
        self.assertAlmostEqual(end_to_end.share_of_native(runs, CUBAR, "eager"), 0.9)

    def test_every_figure_is_in_the_table(self):
        runs = {NATIVE: [run([100], [200])], CUBAR: [run([50], [100])]}
        lines = list(end_to_end.table(PLAN, runs))
        self.assertEqual([line.split()[0] for line in lines[2:]],
                         ["eager_tokens_per_s", "graph_tokens_per_s", "context_ms"])
        self.assertEqual(lines[2].split()[1:], ["100.00", "50.00", "0.500"])


class Judgement(unittest.TestCase):
    def test_equal_tokens(self):
        self.assertEqual(end_to_end.token_faults({NATIVE: [run([1], [1])], CUBAR: [run([1], [1])]}), [])

    def test_other_tokens_through_cubar(self):
        other = run([1], [1])
        other["graph"]["tokens"] = [1, 3]
        faults = end_to_end.token_faults({NATIVE: [run([1], [1])] * 2, CUBAR: [run([1], [1]), other]})
        self.assertEqual(faults, ["cubar, round 2, graph: [1, 3] instead of [1, 2]"])

    def test_a_graph_that_differs_natively(self):
        native = run([1], [1])
        native["graph"]["tokens"] = [4, 2]
        self.assertEqual(len(end_to_end.token_faults({NATIVE: [native]})), 1)

    def test_the_reference(self):
        self.assertEqual(end_to_end.reference_faults({NATIVE: [run([1], [1])]}), [])
        self.assertEqual(len(end_to_end.reference_faults({NATIVE: [run([1], [1], (1, 9))]})), 1)
        self.assertEqual(len(end_to_end.reference_faults({NATIVE: [run([1], [1], nmse=0.01)]})), 1)

    def test_goals(self):
        good = {NATIVE: [run([100], [100])], CUBAR: [run([99.5], [99.01])]}
        self.assertEqual(end_to_end.goal_faults(PLAN, good), [])
        slow = {NATIVE: [run([100], [100])], CUBAR: [run([99.5], [98.5])]}
        self.assertEqual(end_to_end.goal_faults(PLAN, slow),
                         ["graph: 98.50% of native's tokens per second, the goal is 99%"])


class Runs(unittest.TestCase):
    def judge(self, plan, commands, goals=True):
        tap = end_to_end.Tap()
        with redirect_stdout(io.StringIO()) as out:
            end_to_end.judge(plan, commands, goals, 30, tap)
        return tap, out.getvalue()

    def shell(self, script):
        return ["sh", "-c", script]

    def test_a_model_that_does_not_fit_is_skipped(self):
        command = self.shell("echo needs more >&2; exit 77")
        tap, out = self.judge(PLAN, {NATIVE: command, CUBAR: command})
        self.assertEqual(tap.failed, 0)
        self.assertIn("# SKIP needs more", out)

    def test_a_failing_program_fails_and_is_named(self):
        printed = "echo '" + str(run([100], [100])).replace("'", '"') + "'"
        for script in ("echo broken >&2; exit 1", "echo nonsense", "kill -9 $$"):
            tap, out = self.judge(PLAN, {NATIVE: self.shell(printed), CUBAR: self.shell(script)})
            self.assertEqual(tap.failed, 1, script)
            self.assertIn("# cubar: ", out)

    def test_a_missed_goal_fails_only_where_goals_count(self):
        fast, slow = ("echo '" + str(run([speed], [speed])).replace("'", '"') + "'" for speed in (100, 90))
        commands = {NATIVE: self.shell(fast), CUBAR: self.shell(slow)}
        tap, out = self.judge(PLAN, commands)
        self.assertEqual((tap.number, tap.failed), (2, 1))
        self.assertIn("not ok 2 - 8B: at least 99% of native's tokens per second", out)
        self.assertIn("90.00%", out)
        tap, _ = self.judge(PLAN, commands, goals=False)
        self.assertEqual((tap.number, tap.failed), (1, 0))

    def test_rounds_begin_with_another_way_each(self):
        plan = Plan("0.5B", (NATIVE, CUBAR, HOST_WAITS), 3, 4, 1)
        seen = []

        def note(command, _limit):
            seen.append(command[0])
            return {}

        original, end_to_end.run_once = end_to_end.run_once, note
        try:
            runs = end_to_end.measure(plan, {NATIVE: ["n"], CUBAR: ["c"], HOST_WAITS: ["h"]}, 1)
        finally:
            end_to_end.run_once = original
        self.assertEqual("".join(seen), "nchchnhnc")
        self.assertEqual([len(each) for each in runs.values()], [3, 3, 3])


if __name__ == "__main__":
    unittest.main()
