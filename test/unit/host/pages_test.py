# SPDX-License-Identifier: Apache-2.0
"""Man pages and completions of the host's commands: well formed, and as the programs are.
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


def read(*names):
    with open(os.path.join(SOURCES, *names)) as file:
        return file.read()


def options_of(program):
    result = subprocess.run([PROGRAMS[program], "--help"], capture_output=True, text=True, timeout=30)
    return set(OPTION.findall(result.stdout)) | {"--help", "--version"}


class Pages(unittest.TestCase):
    def test_man_finds_nothing_to_complain_about(self):
        pages = glob.glob(SOURCES + "/man/*")
        self.assertEqual(len(pages), 4)
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
            self.assertGreater(len(options), 3)
            texts = {page: read("man", os.path.basename(page)).replace("\\-", "-"),
                     "bash": read("completion", program + ".bash"),
                     "zsh": read("completion", "_" + program)}
            for name, text in texts.items():
                with self.subTest(name, program=program):
                    self.assertEqual(set(OPTION.findall(text)), options)

    def test_bash_completes(self):
        for program, word, wanted in (("cubarctl", "u", "usage"), ("cubard", "--ch", "--check"),
                                      ("cubar-run", "--f", "--fences")):
            script = (f"source '{SOURCES}/completion/{program}.bash'; COMP_WORDS=({program} {word}); "
                      f"COMP_CWORD=1; _{program.replace('-', '_')}; echo \"${{COMPREPLY[@]}}\"")
            result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
            self.assertIn(wanted, result.stdout.split(), result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
