# SPDX-License-Identifier: Apache-2.0
"""The real description against the toolkit, and against what must not change."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

SOURCE = Path(os.environ['CUBAR_SOURCE'])
CUDA = Path(os.environ['CUBAR_CUDA'])
sys.path.insert(0, str(SOURCE / 'generate'))

import lock  # noqa: E402
from emit_coverage import coverage, opcode_lock, refusals  # noqa: E402
from model import base_name  # noqa: E402
from parse import parse_files  # noqa: E402

API = parse_files(sorted((SOURCE / 'include/cubar/api').glob('*.api')))
CUDA_VERSION = int(re.search(r'#define CUDA_VERSION (\d+)',
                             (CUDA / 'include/cuda.h').read_text(encoding='utf-8')).group(1))
SYMBOLS = {symbol: (version, per_thread) for call in API.functions
           for symbol, version, per_thread in call.symbols}


def committed(name):
    return lock.content((SOURCE / name).read_text(encoding='utf-8'))


class Toolkit(unittest.TestCase):
    def test_every_symbol_of_the_stub(self):
        stub = CUDA / 'lib64/stubs/libcuda.so'
        lines = subprocess.run(['nm', '-D', '--defined-only', stub], capture_output=True,
                               text=True, check=True).stdout.splitlines()
        exported = {line.split()[-1] for line in lines}
        self.assertEqual(len(SYMBOLS), 637)
        self.assertEqual(set(SYMBOLS) - exported, set(), 'described, but not there')
        if CUDA_VERSION == 13000:  # newer ones have more
            self.assertEqual(exported - set(SYMBOLS), set(), 'not described')

    def test_versions_of_the_typedefs(self):
        listed = set()
        for header in ('cudaTypedefs.h', 'cudaProfilerTypedefs.h', 'cudaGLTypedefs.h'):
            text = (CUDA / 'include' / header).read_text(encoding='utf-8')
            for name, version, variant in re.findall(
                    r'\(CUDAAPI \*PFN_(cu\w+?)_v(\d+)(_ptsz|_ptds)?\)', text):
                listed.add((name, int(version), bool(variant)))
        described = {(base_name(s), version, per_thread)
                     for s, (version, per_thread) in SYMBOLS.items()}
        self.assertEqual(len(described), 637)
        self.assertEqual(described - listed, set())
        if CUDA_VERSION == 13000:  # What else is listed is OpenGL's, which the stub lacks.
            self.assertEqual({n for n, _, _ in listed - described if 'GL' not in n}, set())

    def test_meson_knows_every_file(self):
        text = (SOURCE / 'generate/meson.build').read_text(encoding='utf-8')
        named = re.search(r'api_subjects = \[(.*?)\]', text, re.S).group(1)
        self.assertEqual(sorted(re.findall(r"'(\w+)'", named)),
                         sorted(p.stem for p in (SOURCE / 'include/cubar/api').glob('*.api')))


class Promises(unittest.TestCase):
    def test_opcodes_keep_their_meaning(self):
        self.assertEqual(lock.breaches(committed('include/cubar/api/opcodes.lock'),
                                       opcode_lock(API).splitlines()), [])

    def test_refusals_are_permitted(self):
        permitted = committed('generate/refusals.txt')
        refused = refusals(API).splitlines()
        self.assertEqual(sorted(set(refused) - set(permitted)), [], 'refused, but not permitted')
        self.assertEqual(sorted(set(permitted) - set(refused)), [], 'permitted, but not refused')

    def test_coverage_is_current(self):
        self.assertEqual((SOURCE / 'docs/coverage.md').read_text(encoding='utf-8'), coverage(API),
                         'write it anew: generate/generate.py coverage.md docs/coverage.md '
                         'include/cubar/api/*.api')


class Lock(unittest.TestCase):
    LOCKED = ['0x001 a u64@0>-', '0x002 b -->-']

    def test_the_same(self):
        self.assertEqual(lock.breaches(self.LOCKED, self.LOCKED), [])

    def test_reused(self):
        self.assertRegex(lock.breaches(self.LOCKED, ['0x001 c u64@0>-', '0x002 b -->-'])[0],
                         '0x001 is a, and now c')

    def test_changed(self):
        self.assertRegex(lock.breaches(self.LOCKED, ['0x001 a u32@0>-', '0x002 b -->-'])[0],
                         '0x001 a .* u64@0>- .* u32@0>-')

    def test_new_and_unlocked(self):
        self.assertRegex(lock.breaches(self.LOCKED, [*self.LOCKED, '0x003 d -->-'])[0],
                         'add the line: 0x003 d -->-')

    def test_vanished(self):
        self.assertRegex(lock.breaches(self.LOCKED, ['0x002 b -->-'])[0], 'retired 0x001 a')

    def test_retired(self):
        locked = ['retired 0x001 a u64@0>-', '0x002 b -->-']
        self.assertEqual(lock.breaches(locked, ['0x002 b -->-']), [])
        self.assertRegex(lock.breaches(locked, ['0x001 a u64@0>-', '0x002 b -->-'])[0],
                         '0x001 is retired')


if __name__ == '__main__':
    unittest.main()
