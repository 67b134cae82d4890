#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second start compiles nothing: the driver's compile cache, through cubar-run.

usage: run.py --cubar-run PATH --driver PATH PROGRAM
The driver is NVIDIA's on a GPU (./dev gpu), and one that keeps a cache in the same way elsewhere. The
program brings its kernels as PTX.
"""
import argparse
import os
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

LIMIT_S = 120


class SecondStart(unittest.TestCase):
    def setUp(self):
        # Workers do not see /var/tmp but for their own cache.
        directory = tempfile.TemporaryDirectory(prefix="cubar-compile-cache-", dir="/var/tmp")
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        self.root = Path(directory.name)

    def start(self, *cache, **environment):
        """Runs the program; how long it took, and what cubard said."""
        log = self.root / "log"
        log.unlink(missing_ok=True)
        began = time.monotonic()
        result = subprocess.run([OPTIONS.cubar_run, "--gpu", "nvidia", "--driver", OPTIONS.driver, *cache,
                                 OPTIONS.program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, timeout=LIMIT_S, check=False,
                                env=os.environ | {"CUBAR_HOST_LOG": str(log)} | environment)
        said = log.read_text(encoding="utf-8")
        self.assertEqual(result.returncode, 0, result.stderr + said)
        return time.monotonic() - began, said

    def compiled(self, cache):
        """The files with machine code, each with its size and when it was written."""
        files = [path for path in (cache / "local").rglob("*") if path.is_file() and path.name != "index"]
        return {str(path.relative_to(cache)): (path.stat().st_size, path.stat().st_mtime_ns)
                for path in files}

    def test_what_was_compiled_once_is_kept(self):
        cache = self.root / "cache"
        first_s, said = self.start("--cache", cache)
        compiled = self.compiled(cache)
        self.assertNotEqual(compiled, {}, said)
        index = (cache / "local" / "index").stat().st_size
        second_s, said = self.start("--cache", cache)
        self.assertEqual(self.compiled(cache), compiled, said)
        self.assertEqual((cache / "local" / "index").stat().st_size, index)
        print(f"# kept {sum(size for size, _ in compiled.values())} bytes in {len(compiled)} files; "
              f"start to end {first_s:.2f} s at first, then {second_s:.2f} s")
        other = self.root / "other"
        self.start("--cache", other)
        self.assertEqual(set(self.compiled(other)), set(compiled))

    def test_it_lies_beside_other_caches_unless_forbidden(self):
        (self.root / ".cache").mkdir()
        home = {"HOME": str(self.root), "XDG_CACHE_HOME": ""}
        self.start(**home, CUDA_CACHE_DISABLE="1")
        self.assertEqual(list((self.root / ".cache").iterdir()), [])
        self.start(**home)
        self.assertNotEqual(self.compiled(self.root / ".cache" / "cubar"), {})

    def test_one_that_cannot_be_made_is_told_and_does_no_harm(self):
        _, said = self.start("--cache", self.root / "no" / "such")
        self.assertIn("the driver compiles again what it compiled", said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cubar-run", required=True)
    parser.add_argument("--driver", type=os.path.abspath, required=True)
    parser.add_argument("program")
    OPTIONS = parser.parse_args()
    unittest.main(argv=[parser.prog], verbosity=2)
