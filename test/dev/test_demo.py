#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's parts that no VM is needed for: what it says of a wrong OLLAMA, and what it counts."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from demo_llama import Said, figures  # noqa: E402
from demo_ollama import BadOllama, find, find_model, lay_out, script  # noqa: E402

import compare  # noqa: E402


class Directory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name).resolve()

    def write(self, name, content=b""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def install(self):
        self.write("lib/ollama/cuda_v13/libggml-cuda.so")
        self.write("lib/ollama/libggml-base.so")
        return self.write("bin/ollama", b"\x7fELF")


class Find(Directory):
    def test_by_binary_and_by_directory(self):
        binary = self.install()
        library = self.root / "lib" / "ollama"
        self.assertEqual(find(binary), (binary, library))
        self.assertEqual(find(self.root), (binary, library))

    def test_through_a_link(self):
        binary = self.install()
        link = self.root / "elsewhere"
        link.symlink_to(binary)
        self.assertEqual(find(link)[0], binary)

    def refused(self, path, reason):
        with self.assertRaisesRegex(BadOllama, reason):
            find(path)

    def test_nothing_there(self):
        self.refused(self.root / "none", "does not exist")

    def test_a_directory_without_it(self):
        self.refused(self.root, "has no bin/ollama")

    def test_a_script(self):
        self.refused(self.write("bin/ollama", b"#!/bin/sh\n"), "is no program")

    def test_without_libraries(self):
        self.refused(self.write("bin/ollama", b"\x7fELF"), "lib/ollama beside it")

    def test_without_cuda(self):
        binary = self.install()
        (self.root / "lib/ollama/cuda_v13/libggml-cuda.so").unlink()
        self.refused(binary, "no libggml-cuda.so")

    def test_models(self):
        with self.assertRaisesRegex(BadOllama, "is no file"):
            find_model(self.root)
        with self.assertRaisesRegex(BadOllama, "is no GGUF"):
            find_model(self.write("a", b"GGML"))
        good = self.write("b", b"GGUF...")
        self.assertEqual(find_model(good), good)

    def test_the_demo_says_it_in_one_line(self):
        done = subprocess.run([sys.executable, SCRIPTS / "demo.py", "--cuda", "/none"], capture_output=True,
                              text=True, env=os.environ | {"OLLAMA": str(self.root / "none")}, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\AOLLAMA=.*/none does not exist: [^\n]*\n\Z")


class LayOut(Directory):
    def test_our_library_among_theirs(self):
        binary = self.install()
        # What an earlier set-up left is not theirs.
        self.write("lib/ollama/libcuda.so.1", b"another")
        lay_out(self.root / "share", binary, self.root / "lib" / "ollama")
        inside = self.root / "share" / "lib" / "ollama"
        links = {path.name: os.readlink(path) for path in inside.iterdir()}
        self.assertEqual(links, {"cuda_v13": "/ollama/cuda_v13", "libggml-base.so": "/ollama/libggml-base.so",
                                 "libcuda.so.1": "/host/lib/libcuda.so.1"})
        self.assertTrue(os.access(self.root / "share" / "bin" / "ollama", os.X_OK))

    def test_the_script_is_one(self):
        done = subprocess.run(["sh", "-n"], input=script(Path("/models/a.gguf")), text=True, check=False)
        self.assertEqual(done.returncode, 0)


class Figures(unittest.TestCase):
    NAMES = {1: "cuGraphLaunch", 2: "cuLaunchKernel", 4: "cuStreamSynchronize"}

    def figures(self, *lines):
        said = Said()
        said.tokens = 5
        said.seconds = {"first": 0.5, "later": 2.0}
        said.sent = [compare.sent(line) for line in lines]
        return dict(figures(said, self.NAMES))

    def test_warm_tokens_alone_are_counted(self):
        shown = self.figures("0 0 99 9 9999 0x2:90 0x4:9", "0 1 8 3 600 0x1:1 0x4:1", "0 2 10 2 700 0x1:1 0x2:1")
        self.assertEqual(shown["tokens per second"], "2.0")
        self.assertEqual(shown["graph launches for a token (2 warm ones)"], "1.0")
        self.assertEqual(shown["launches besides"], "0.5")
        # Round trips without the waits among them.
        self.assertEqual(shown["round trips"], "2.0")
        self.assertEqual(shown["waits that the host completed"], "0.5")
        self.assertEqual(shown["bytes of records"], "650.0")

    def test_no_graphs(self):
        self.assertEqual(self.figures("0 0 99 9 9999 0x2:90")["graph launches"], "none")


if __name__ == "__main__":
    unittest.main()
