# SPDX-License-Identifier: Apache-2.0
"""where.py on a small tree, and that it finds the real one."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ['CUBAR_SOURCE'])
sys.path.insert(0, str(SOURCE / 'generate'))

from parse import parse_files  # noqa: E402
from where import Source, path_of, resolve  # noqa: E402

TREE = {
    'libcuda/copy.cpp': '''
CUresult body_cuMemcpyDtoD_v2(CUdeviceptr to);
CUresult body_cuMemcpyDtoD_v2(CUdeviceptr to,
                              CUstream stream) {
    return cuModuleGetFunction(to);
}
''',
    'libcuda/module.cpp': 'CUBAR_API cuModuleGetFunction(CUfunction* out) { return body(out); }\n',
    'host/worker/module.cpp': '''
namespace {
CUresult helper() { return session.driver().cuInit(0); }
}
CUresult handle_cuModuleGetFunction(Session& session) {
    if (session.driver().cuDriverGetVersion(&version) != CUDA_SUCCESS) return one;
    return session.driver().cuDriverGetVersion(&version);
}
''',
    'softgpu/api/init.cpp': 'CUBAR_EXPORT CUresult cuDriverGetVersion(int* version) {\n}\n',
    'softgpu/api/limits.cpp': '\n\nCUBAR_EXPORT CUresult cuCtxGetLimit(\n    size_t* out) {\n}\n',
    'transport/ring_consumer.cpp': 'Next RingConsumer::next(Record& into) {\n',
}


class Tree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        root = Path(directory.name)
        for name, text in TREE.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding='utf-8')
        cls.source = Source(root)
        cls.api = parse_files([SOURCE / 'test/unit/generate/toy.api'])

    def stations(self, symbol):
        return [(s.side, s.place, s.name)
                for s in path_of(self.source, self.api, resolve(self.api, symbol), symbol)
                if s.side not in ('described', 'sends')]

    def test_hand_written(self):
        stations = self.stations('cuModuleGetFunction')
        self.assertEqual(stations[0], ('guest', 'libcuda/module.cpp:1', 'cuModuleGetFunction'))
        self.assertIn(('transport', 'transport/ring_consumer.cpp:1', 'RingConsumer::next'),
                      stations)
        self.assertIn(('transport', 'not found', 'Channel::call'), stations)
        self.assertEqual(stations[-2:],
                         [('host', 'host/worker/module.cpp:5', 'handle_cuModuleGetFunction'),
                          ('softgpu', 'softgpu/api/init.cpp:1', 'cuDriverGetVersion')])

    def test_generated(self):
        stations = self.stations('cuCtxGetLimit')
        self.assertEqual(stations[0][1:], (f'generated from {SOURCE}/test/unit/generate/toy.api',
                                           'cuCtxGetLimit'))
        self.assertEqual(stations[-1], ('softgpu', 'softgpu/api/limits.cpp:3', 'cuCtxGetLimit'))

    def test_body_and_variant(self):
        stations = self.stations('cuMemcpyDtoD_v2_ptds')
        self.assertEqual(stations[0][2], 'cuMemcpyDtoD_v2_ptds')
        self.assertEqual(stations[1], ('guest', 'libcuda/copy.cpp:3', 'body_cuMemcpyDtoD_v2'))
        self.assertEqual(stations[-1], ('host', 'not found', 'handle_nudge'))

    def test_absent(self):
        self.assertEqual(self.stations('cuGraphLaunch'), [])

    def test_names(self):
        for symbol, name in {'cuMemcpyDtoD': 'cuMemcpyDtoD_v2', 'nudge': 'nudge',
                             'cuStreamWaitEvent_ptsz': 'cuStreamWaitEvent'}.items():
            self.assertEqual(resolve(self.api, symbol).name, name)
        for symbol in ('cuMemcpyDtoD_v3', 'cuNothing', ''):
            self.assertIsNone(resolve(self.api, symbol))


class CommandLine(unittest.TestCase):
    def run_where(self, *arguments):
        program = SOURCE / 'generate/where.py'
        return subprocess.run([sys.executable, program, *arguments], cwd=SOURCE,
                              capture_output=True, text=True, check=False)

    def test_real(self):
        run = self.run_where('cuCtxGetLimit')
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r'described +include/cubar/api/limits\.api:\d+ ')
        self.assertRegex(run.stdout, r'softgpu +softgpu/api/\w+\.cpp:\d+ ')

    def test_unknown(self):
        run = self.run_where('cuNothing')
        self.assertEqual((run.returncode, run.stderr),
                         (1, 'error: no function of the driver API is called cuNothing\n'))

    def test_usage(self):
        self.assertEqual(self.run_where().returncode, 2)


if __name__ == '__main__':
    unittest.main()
