# SPDX-License-Identifier: Apache-2.0
"""Man pages and completions of commands: well formed, and as the programs are.
usage: pages_test.py SOURCE_DIRECTORY PROGRAM... [-- unittest arguments]
"""
import glob
import os
import re
import subprocess
import sys
import unittest

SOURCES = sys.argv[1]
PROGRAMS = {os.path.basename(path): os.path.abspath(path) for path in sys.argv[2:]}
# What CLI11 offers of its own accord is in every page.
OPTION = re.compile(r"--[a-z][a-z-]*")
# A word at a prompt, and one that bash must offer for it.
COMPLETED = (("cubarctl", "u", "usage"), ("cubard", "--ch", "--check"), ("cubar-run", "--f", "--fences"),
             ("cubar-doctor", "--j", "--json"), ("cubar-link", "rem", "remove"), ("cubar-reap", "--v", "--version"),
             ("cubar-smi", "--list", "--list-gpus"))


def read(*names):
    with open(os.path.join(SOURCES, *names)) as file:
        return file.read()


def options_of(program):
    result = subprocess.run([PROGRAMS[program], "--help"], capture_output=True, text=True, timeout=30)
    return set(OPTION.findall(result.stdout)) | {"--help", "--version"}


class Pages(unittest.TestCase):
    def test_man_finds_nothing_to_complain_about(self):
        pages = glob.glob(SOURCES + "/man/*.[1-8]")
        # Of each command, and of the configuration's file.
        self.assertEqual(len(pages), len(PROGRAMS) + 1)
        self.assertEqual(len([page for page in pages if page.endswith(".5")]), 1)
        for page in pages:
            with self.subTest(page):
                result = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page],
                                        capture_output=True, text=True, timeout=30,
                                        env=dict(os.environ, MANROFFSEQ="", MANWIDTH="80", LC_ALL="C.UTF-8"))
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn("NAME", result.stdout)

    def test_pages_and_completions_have_the_options_of_the_programs(self):
        for program in PROGRAMS:
            [page] = glob.glob(f"{SOURCES}/man/{program}.[18]")
            options = options_of(program)
            self.assertGreaterEqual(len(options), 2)
            texts = {page: read("man", os.path.basename(page)).replace("\\-", "-"),
                     "bash": read("completion", program + ".bash"),
                     "zsh": read("completion", "_" + program)}
            for name, text in texts.items():
                with self.subTest(name, program=program):
                    self.assertEqual(set(OPTION.findall(text)), options)

    def test_bash_completes(self):
        completed = [case for case in COMPLETED if case[0] in PROGRAMS]
        self.assertEqual(len(completed), len(PROGRAMS))
        for program, word, wanted in completed:
            script = (f"source '{SOURCES}/completion/{program}.bash'; COMP_WORDS=({program} {word}); "
                      f"COMP_CWORD=1; _{program.replace('-', '_')}; echo \"${{COMPREPLY[@]}}\"")
            result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
            self.assertIn(wanted, result.stdout.split(), result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
