# SPDX-License-Identifier: Apache-2.0
"""What the host's NVML tells of its GPU reaches the guest's: each figure by its own function, and
cubar-smi. The host's driver is the software GPU, with a made-up NVML beside it (host_nvml.cpp).

Called as: host_values_test.py CUBARD LIBNVIDIA-ML LIBCUDA HOST-NVML SOFTGPU CUBAR-SMI
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from ctypes import byref, c_uint, c_ulonglong

SMI, SOFTGPU, HOST_NVML = (os.path.abspath(sys.argv.pop()) for _ in range(3))

from nvml_test import LIMIT, NOT_SUPPORTED, QUOTA, SUCCESS, Case, Cubard, PciInfo  # noqa: E402

# Functions of one figure, with the arguments before it.
FIGURES = {
    ("nvmlDeviceGetTemperature", 0): 31,
    ("nvmlDeviceGetTemperatureThreshold", 0): 40,
    ("nvmlDeviceGetTemperatureThreshold", 1): 41,
    ("nvmlDeviceGetTemperatureThreshold", 2): 42,
    ("nvmlDeviceGetTemperatureThreshold", 3): 43,
    ("nvmlDeviceGetClockInfo", 0): 50,
    ("nvmlDeviceGetClockInfo", 1): 51,
    ("nvmlDeviceGetClockInfo", 2): 52,
    ("nvmlDeviceGetClockInfo", 3): 53,
    ("nvmlDeviceGetClock", 2, 0): 52,
    ("nvmlDeviceGetMaxClockInfo", 0): 60,
    ("nvmlDeviceGetMaxClockInfo", 1): 61,
    ("nvmlDeviceGetMaxClockInfo", 2): 62,
    ("nvmlDeviceGetMaxClockInfo", 3): 63,
    ("nvmlDeviceGetPowerUsage",): 123456,
    ("nvmlDeviceGetPowerManagementLimit",): 250000,
    ("nvmlDeviceGetPowerManagementDefaultLimit",): 101,
    ("nvmlDeviceGetEnforcedPowerLimit",): 102,
    ("nvmlDeviceGetFanSpeed",): 104,
    ("nvmlDeviceGetNumFans",): 105,
    ("nvmlDeviceGetPerformanceState",): 8,
    ("nvmlDeviceGetPowerState",): 8,
    ("nvmlDeviceGetCurrPcieLinkGeneration",): 108,
    ("nvmlDeviceGetCurrPcieLinkWidth",): 109,
    ("nvmlDeviceGetMaxPcieLinkGeneration",): 110,
    ("nvmlDeviceGetMaxPcieLinkWidth",): 111,
    ("nvmlDeviceGetPcieReplayCounter",): 112,
    ("nvmlDeviceGetPersistenceMode",): 113,
    ("nvmlDeviceGetComputeMode",): 114,
    ("nvmlDeviceGetBrand",): 115,
    ("nvmlDeviceGetArchitecture",): 116,
    ("nvmlDeviceGetNumGpuCores",): 117,
}
WIDE_FIGURES = {
    ("nvmlDeviceGetTotalEnergyConsumption",): 0x100000067,
    ("nvmlDeviceGetCurrentClocksThrottleReasons",): 0x10000006b,
    ("nvmlDeviceGetCurrentClocksEventReasons",): 0x10000006b,
    ("nvmlDeviceGetTotalEccErrors", 0, 0): 170,
    ("nvmlDeviceGetTotalEccErrors", 0, 1): 171,
    ("nvmlDeviceGetTotalEccErrors", 1, 0): 180,
    ("nvmlDeviceGetTotalEccErrors", 1, 1): 181,
}
PAIRS = {
    "nvmlDeviceGetUtilizationRates": (11, 12),
    "nvmlDeviceGetEncoderUtilization": (21, 22),
    "nvmlDeviceGetDecoderUtilization": (23, 24),
    "nvmlDeviceGetPowerManagementLimitConstraints": (25, 26),
    "nvmlDeviceGetEccMode": (0, 1),
    "nvmlDeviceGetMigMode": (0, 1),
}
TEXTS = {
    "nvmlDeviceGetSerial": "serial 1",
    "nvmlDeviceGetVbiosVersion": "vbios 2",
    "nvmlDeviceGetBoardPartNumber": "part 3",
}


class HostValues(Case):
    @classmethod
    def setUpClass(cls):
        driver = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="cubar-driver-"))
        shutil.copy(SOFTGPU, driver + "/libcuda.so.1")
        shutil.copy(HOST_NVML, driver + "/libnvidia-ml.so.1")
        cls.cubard = Cubard("--memory", str(QUOTA), "--driver", driver + "/libcuda.so.1", gpu="nvidia")
        cls.addClassCleanup(cls.cubard.close)

    def start(self):
        os.environ["CUBAR_DEVICE"] = self.cubard.device

    def setUp(self):
        super().setUp()
        self.device = self.initialise()
        # The host's NVML takes a moment to begin.
        end = time.monotonic() + LIMIT
        while self.nvml.nvmlDeviceGetPowerUsage(self.device, byref(c_uint())) == NOT_SUPPORTED:
            self.assertLess(time.monotonic(), end)

    def test_each_figure(self):
        for kind, figures in ((c_uint, FIGURES), (c_ulonglong, WIDE_FIGURES)):
            for (name, *before), wanted in figures.items():
                with self.subTest(name, before=before):
                    self.assertEqual(self.number(name, self.device, *before, kind=kind), wanted)
        for name, wanted in PAIRS.items():
            with self.subTest(name):
                pair = (c_uint * 2)(77, 77)
                others = () if name == "nvmlDeviceGetUtilizationRates" else (byref(pair, 4),)
                self.call(name, self.device, pair, *others)
                self.assertEqual(tuple(pair), wanted)
        for name, wanted in TEXTS.items():
            with self.subTest(name):
                self.assertEqual(self.text(name, self.device, size=30), wanted)
        pci = PciInfo()
        self.call("nvmlDeviceGetPciInfo_v3", self.device, byref(pci))
        self.assertEqual((pci.device_id, pci.subsystem_id), (190, 191))

    def test_memory_is_the_quota(self):
        """And not what the host's NVML says of the card."""
        self.assertEqual(self.memory(self.device).total, QUOTA)

    def test_smi(self):
        def smi(*arguments):
            return subprocess.run([SMI, *arguments], capture_output=True, text=True, timeout=20, check=True).stdout
        gpu, = json.loads(smi("--json"))["gpus"]
        told = {"serial": "serial 1", "gpu_utilisation_percent": 11, "memory_utilisation_percent": 12,
                "temperature_celsius": 31, "fan_percent": 104, "performance_state": 8,
                "power_milliwatts": 123456, "power_limit_milliwatts": 102, "sm_clock_mhz": 51,
                "memory_clock_mhz": 52, "ecc": False, "mig": False}
        self.assertEqual({name: gpu[name] for name in told}, told)
        self.assertEqual(
            smi("--query-gpu=utilization.gpu,temperature.gpu,power.draw,clocks.sm,pstate,ecc.mode.current",
                "--format=csv,noheader"), "11 %, 31, 123.46 W, 51 MHz, P8, Disabled\n")
        table = smi()
        for words in ("GPU 11 %, memory 12 %", "31 C, fan 104 %", "123.5 W of 0.1 W"):
            self.assertIn(words, table)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
