# SPDX-License-Identifier: Apache-2.0
"""The guest's libnvidia-ml.so.1 as monitors call it: in nvtop's order and in that of NVML's Python
users (gpustat), and every name with nothing in its arguments.

Called as: monitors_test.py CUBARD LIBNVIDIA-ML LIBCUDA [unittest arguments]
"""

import ctypes
import os
import re
import sys
import unittest
from ctypes import byref, c_uint, c_void_p
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "abi"))

from elf import Library  # noqa: E402
from nvml_test import INSUFFICIENT_SIZE, INVALID_ARGUMENT, MIB, NOT_FOUND, NOT_SUPPORTED, NVML, QUOTA, \
    SUCCESS, UNINITIALIZED, VERSION_MISMATCH, Case, Cubard, Cuda, MemoryV2, PciInfo, Process, \
    ProcessV1  # noqa: E402

# They begin, end, or always have words.
NOT_CALLED = ("nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags", "nvmlShutdown", "nvmlErrorString")
TAKES_DEVICE = re.compile("nvmlDevice(?!GetCount|GetHandleBy)")
STEP = 10  # processes by which nvtop makes its list longer


class Monitors(Case):
    @classmethod
    def setUpClass(cls):
        cls.cubard = Cubard("--memory", str(QUOTA))
        cls.addClassCleanup(cls.cubard.close)

    def start(self):
        os.environ["CUBAR_DEVICE"] = self.cubard.device

    def setUp(self):
        super().setUp()
        self.device = self.initialise()
        self.cuda = Cuda(self)
        self.cuda.context()
        block = self.cuda.allocate(8 * MIB)
        self.addCleanup(self.cuda.call, "cuMemFree_v2", block)

    def grown_list(self, name, kind):
        """It begins without a list at all, and makes one as long as NVML says that it is too short."""
        room, found = 0, None
        while True:
            count = c_uint(room)
            result = getattr(self.nvml, name)(self.device, byref(count), found)
            if result != INSUFFICIENT_SIZE:
                self.assertEqual(result, SUCCESS, name)
                return [process.pid for process in (found or [])[:count.value]]
            self.assertGreater(count.value, room)
            room += STEP
            found = (kind * room)()

    def test_nvtop(self):
        for suffix, kind in (("_v3", Process), ("_v2", Process), ("", ProcessV1)):
            for sort, wanted in (("Graphics", []), ("Compute", [os.getpid()]), ("MPSCompute", [])):
                name = f"nvmlDeviceGet{sort}RunningProcesses{suffix}"
                self.assertEqual(self.grown_list(name, kind), wanted, name)
        # It says 2 where NVML wants the structure's version, and then asks the old way.
        self.call("nvmlDeviceGetMemoryInfo_v2", self.device, byref(MemoryV2(version=2)), expect=VERSION_MISMATCH)
        self.assertEqual(self.memory(self.device).total, QUOTA)
        count = c_uint(0)
        self.call("nvmlDeviceGetProcessUtilization", self.device, None, byref(count), ctypes.c_ulonglong(0),
                  expect=NOT_SUPPORTED)

    def test_python(self):
        """By index and UUID and back by the PCI address; a process's name and memory."""
        uuid = self.text("nvmlDeviceGetUUID", self.device)
        pci = PciInfo()
        self.call("nvmlDeviceGetPciInfo_v3", self.device, byref(pci))
        for name, key in (("nvmlDeviceGetHandleByUUID", uuid.encode()),
                          ("nvmlDeviceGetHandleByPciBusId_v2", pci.bus_id),
                          ("nvmlDeviceGetHandleByPciBusId_v2", pci.legacy)):
            found = c_void_p()
            self.call(name, key, byref(found))
            self.assertEqual(found.value, self.device.value)
        (pid, held), = self.processes(self.device)
        self.assertEqual((pid, held), (os.getpid(), self.memory(self.device).used))
        self.assertIn("python", self.text("nvmlSystemGetProcessName", pid, size=1024))
        self.call("nvmlDeviceGetAttributes_v2", self.device, None, expect=NOT_SUPPORTED)
        self.call("nvmlDeviceGetFieldValues", self.device, 0, None, expect=NOT_SUPPORTED)

    def test_every_name_with_nothing(self):
        """Each refuses a call without room for its answer, and one before nvmlInit."""
        names = sorted(Library(NVML).exports() - set(NOT_CALLED))
        self.assertGreater(len(names), 400)
        refusals = (INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, VERSION_MISMATCH)
        nothing = [None] * 5
        for name in names:
            for first in (self.device, None) if TAKES_DEVICE.match(name) else (None,):
                self.assertIn(getattr(self.nvml, name)(first, *nothing), refusals, name)
        self.call("nvmlShutdown")
        for name in names:
            self.assertIn(getattr(self.nvml, name)(None, *nothing), (UNINITIALIZED, INVALID_ARGUMENT), name)
        self.call("nvmlInit_v2")

    def test_words(self):
        """Of every number that nvml.h has, and of none that it has not."""
        words = [self.words(number) for number in range(30)]
        self.assertEqual(len(set(words)), 30)
        self.assertNotIn("Unknown Error", words)
        self.assertEqual((words[3], words[9], words[15]), ("Not Supported", "Driver Not Loaded", "GPU is lost"))
        self.assertEqual([self.words(number) for number in (30, 999, -1)], ["Unknown Error"] * 3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
