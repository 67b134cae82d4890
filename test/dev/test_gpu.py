#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/gpu.py finds out about a machine before it runs anything there."""

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import gpu  # noqa: E402


class Cublas(unittest.TestCase):
    def find(self, kind, places):
        with mock.patch.object(gpu, "option", return_value="/nowhere"), \
                mock.patch.dict(os.environ, {"LD_LIBRARY_PATH": ":".join(map(str, places))}):
            return gpu.cublas_of(kind, Path("/build"))

    def test_the_software_gpu_has_its_own(self):
        self.assertEqual(self.find("soft", []), Path("/build/test/cublas"))

    def test_the_first_directory_that_is_named_and_has_it(self):
        with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as full:
            Path(full, "libcublas.so.13").touch()
            self.assertEqual(self.find("nvidia", [empty, full]), Path(full))


class Llama(unittest.TestCase):
    def test_a_driver_that_knows_its_ptx(self):
        self.assertEqual(gpu.llama_refusal(13010, (9, 0)), "")

    def test_a_gpu_that_it_has_code_for(self):
        self.assertEqual(gpu.llama_refusal(13000, (8, 9)), "")

    def test_an_older_driver(self):
        self.assertIn("this one is of 13.0", gpu.llama_refusal(13000, (9, 0)))
        self.assertIn("this one is of 12.9", gpu.llama_refusal(12090, (8, 0)))


if __name__ == "__main__":
    unittest.main()
