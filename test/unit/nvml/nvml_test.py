# SPDX-License-Identifier: Apache-2.0
"""The guest's libnvidia-ml.so.1 against a cubard with the software GPU: called as ollama's
generations and monitors call it. Numbers of NVML are written out by hand.

Called as: nvml_test.py CUBARD LIBNVIDIA-ML LIBCUDA [unittest arguments]
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

CUBARD, NVML, CUDA = map(os.path.abspath, sys.argv[1:4])
LIMIT = 20.0
MIB = 1 << 20
QUOTA = 1024 * MIB
ALL_OF = 8  # processes that a list has room for

(SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, _, NOT_FOUND,
 INSUFFICIENT_SIZE, _, DRIVER_NOT_LOADED, TIMEOUT) = range(11)
GPU_IS_LOST, VERSION_MISMATCH = 15, 25


class Memory(ctypes.Structure):
    _fields_ = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]


class MemoryV2(ctypes.Structure):
    _fields_ = [("version", c_uint), ("total", c_ulonglong), ("reserved", c_ulonglong),
                ("free", c_ulonglong), ("used", c_ulonglong)]


class ProcessV1(ctypes.Structure):
    _fields_ = [("pid", c_uint), ("bytes", c_ulonglong)]


class Process(ctypes.Structure):
    _fields_ = [("pid", c_uint), ("bytes", c_ulonglong), ("gpu_instance", c_uint),
                ("compute_instance", c_uint)]


class PciInfo(ctypes.Structure):
    _fields_ = [("legacy", ctypes.c_char * 16), ("domain", c_uint), ("bus", c_uint),
                ("device", c_uint), ("device_id", c_uint), ("subsystem_id", c_uint),
                ("bus_id", ctypes.c_char * 32)]


class Cubard:
    """A private cubard with its socket."""

    def __init__(self, *settings, gpu="soft"):
        self.directory = tempfile.TemporaryDirectory(prefix="cubar-nvml-")
        path = self.directory.name + "/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(self.directory.name + "/notify")
            ready.settimeout(LIMIT)
            self.process = subprocess.Popen(
                [CUBARD, "--gpu", gpu, "--local", path, "--bar", "64MiB", "--channels", "4",
                 *settings], env=dict(os.environ, NOTIFY_SOCKET=self.directory.name + "/notify"),
                stderr=subprocess.DEVNULL)
            assert b"READY=1" in ready.recv(200)
        self.device = "local:" + path
        os.environ["CUBAR_DEVICE"] = self.device

    def close(self):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


def call(case, name, *arguments, expect=SUCCESS):
    result = getattr(case.nvml, name)(*arguments)
    case.assertEqual(result, expect, f"{name}: {case.words(result)}")


class Case(unittest.TestCase):
    def start(self):
        self.cubard = Cubard("--memory", str(QUOTA))
        self.addCleanup(self.cubard.close)

    def setUp(self):
        self.start()
        self.nvml = ctypes.CDLL(NVML)
        self.nvml.nvmlErrorString.restype = c_char_p

    def words(self, result):
        return self.nvml.nvmlErrorString(result).decode()

    def call(self, name, *arguments, expect=SUCCESS):
        call(self, name, *arguments, expect=expect)

    def initialise(self):
        self.call("nvmlInit_v2")
        self.addCleanup(self.nvml.nvmlShutdown)
        device = c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", 0, byref(device))
        return device

    def text(self, name, *arguments, size=96):
        buffer = ctypes.create_string_buffer(size)
        self.call(name, *arguments, buffer, size)
        return buffer.value.decode()

    def number(self, name, *arguments, kind=c_uint):
        value = kind(77)
        self.call(name, *arguments, byref(value))
        return value.value

    def memory(self, device):
        result = Memory()
        self.call("nvmlDeviceGetMemoryInfo", device, byref(result))
        self.assertEqual(result.total, result.free + result.used)
        return result

    def processes(self, device, kind=Process, name="nvmlDeviceGetComputeRunningProcesses_v3"):
        room = c_uint(ALL_OF)
        found = (kind * ALL_OF)()
        self.call(name, device, byref(room), found)
        return [(found[i].pid, found[i].bytes) for i in range(room.value)]


class Cuda:
    """This process as a CUDA program."""

    def __init__(self, case):
        self.case = case
        self.cuda = ctypes.CDLL(CUDA)
        self.call("cuInit", 0)

    def call(self, name, *arguments):
        self.case.assertEqual(getattr(self.cuda, name)(*arguments), 0, name)

    def context(self):
        context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def allocate(self, size):
        address = c_ulonglong()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return address

    def memory(self):
        free, total = c_size_t(), c_size_t()
        self.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value, total.value


class Discovery(Case):
    """The call lists of ollama's generations."""

    def test_free_memory_by_uuid(self):
        """0.12 to 0.24: NVML for free memory, again and again."""
        uuid = None
        for _ in range(3):
            self.call("nvmlInit_v2")
            if uuid is None:
                device = c_void_p()
                self.call("nvmlDeviceGetHandleByIndex_v2", 0, byref(device))
                uuid = self.text("nvmlDeviceGetUUID", device)
                self.assertRegex(uuid, r"^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
            device = c_void_p()
            self.call("nvmlDeviceGetHandleByUUID", uuid.encode(), byref(device))
            self.assertEqual(self.memory(device).free, QUOTA)
            self.assertNotEqual(self.text("nvmlDeviceGetName", device, size=64), "")
            self.call("nvmlShutdown")
        self.assertEqual(self.words(SUCCESS), "Success")
        self.call("nvmlShutdown", expect=UNINITIALIZED)

    def test_floors_of_the_driver_version(self):
        """From 0.30: the driver's version against floors of 550 and 570."""
        self.initialise()
        version = self.text("nvmlSystemGetDriverVersion", size=80)
        self.assertGreaterEqual(int(version.split(".")[0]), 570)
        self.assertEqual(self.text("nvmlSystemGetNVMLVersion", size=80), "13." + version)

    def test_quick(self):
        """Discovery has three seconds for everything."""
        start = time.monotonic()
        for _ in range(20):
            self.call("nvmlInit_v2")
            device = c_void_p()
            self.call("nvmlDeviceGetHandleByIndex_v2", 0, byref(device))
            self.memory(device)
            self.call("nvmlShutdown")
        self.assertLess((time.monotonic() - start) / 20, 0.25)

    def test_no_device(self):
        os.environ["CUBAR_DEVICE"] = "local:" + self.cubard.directory.name + "/nobody"
        self.call("nvmlInit_v2", expect=DRIVER_NOT_LOADED)
        self.call("nvmlInitWithFlags", 0, expect=DRIVER_NOT_LOADED)
        self.call("nvmlDeviceGetCount_v2", byref(c_uint()), expect=UNINITIALIZED)


class Agrees(Case):
    """NVML and CUDA say the same. libcuda stays with the cubard that it was initialised with."""

    @classmethod
    def setUpClass(cls):
        cls.cubard = Cubard("--memory", str(QUOTA))
        cls.addClassCleanup(cls.cubard.close)

    def start(self):
        os.environ["CUBAR_DEVICE"] = self.cubard.device

    def test_devices(self):
        device = self.initialise()
        cuda = Cuda(self)
        uuid = (ctypes.c_ubyte * 16)()
        cuda.call("cuDeviceGetUuid_v2", uuid, 0)
        self.assertEqual(self.text("nvmlDeviceGetUUID", device).replace("-", ""),
                         "GPU" + bytes(uuid).hex())
        name = ctypes.create_string_buffer(96)
        cuda.call("cuDeviceGetName", name, 96, 0)
        self.assertEqual(self.text("nvmlDeviceGetName", device), name.value.decode())
        address = ctypes.create_string_buffer(16)
        cuda.call("cuDeviceGetPCIBusId", address, 16, 0)
        pci = PciInfo()
        self.call("nvmlDeviceGetPciInfo_v3", device, byref(pci))
        self.assertEqual(pci.legacy.lower(), address.value.lower())
        self.assertEqual(pci.bus_id.lower(), b"0000" + address.value.lower())
        for suffix in ("", "_v2"):
            found = c_void_p()
            self.call("nvmlDeviceGetHandleByPciBusId" + suffix, address.value, byref(found))
            self.assertEqual(found.value, device.value)
        old = PciInfo(subsystem_id=55, bus_id=b"mine")
        self.call("nvmlDeviceGetPciInfo", device, byref(old))
        self.assertEqual((old.subsystem_id, old.bus_id, old.bus), (55, b"mine", pci.bus))
        version = c_int()
        cuda.call("cuDriverGetVersion", byref(version))
        for suffix in ("", "_v2"):
            self.assertEqual(self.number("nvmlSystemGetCudaDriverVersion" + suffix, kind=c_int),
                             version.value)
        major, minor = c_int(), c_int()
        self.call("nvmlDeviceGetCudaComputeCapability", device, byref(major), byref(minor))
        expected = []
        for attribute in (75, 76):
            value = c_int()
            cuda.call("cuDeviceGetAttribute", byref(value), attribute, 0)
            expected.append(value.value)
        self.assertEqual([major.value, minor.value], expected)
        self.assertEqual(self.number("nvmlDeviceGetCount_v2"), 1)
        self.assertEqual(self.number("nvmlDeviceGetIndex", device), 0)

    def test_memory_and_processes(self):
        device = self.initialise()
        self.assertEqual((self.memory(device).total, self.memory(device).used), (QUOTA, 0))
        self.assertEqual(self.processes(device), [])
        cuda = Cuda(self)
        total = c_size_t()
        cuda.call("cuDeviceTotalMem_v2", byref(total), 0)
        self.assertEqual(total.value, QUOTA)
        cuda.context()
        before = self.memory(device)
        self.assertEqual(cuda.memory(), (before.free, before.total))
        block = cuda.allocate(64 * MIB)
        after = self.memory(device)
        self.assertEqual(after.used, before.used + 64 * MIB)
        self.assertEqual(cuda.memory(), (after.free, after.total))
        second = MemoryV2(version=40 | 2 << 24)
        self.call("nvmlDeviceGetMemoryInfo_v2", device, byref(second))
        self.assertEqual((second.total, second.reserved, second.free, second.used),
                         (QUOTA, 0, after.free, after.used))
        wrong = MemoryV2(version=2)
        self.call("nvmlDeviceGetMemoryInfo_v2", device, byref(wrong), expect=VERSION_MISMATCH)
        for suffix, kind in (("", ProcessV1), ("_v2", Process), ("_v3", Process)):
            name = "nvmlDeviceGetComputeRunningProcesses" + suffix
            self.assertEqual(self.processes(device, kind, name), [(os.getpid(), after.used)])
            for other in ("Graphics", "MPSCompute"):
                name = f"nvmlDeviceGet{other}RunningProcesses{suffix}"
                self.assertEqual(self.processes(device, kind, name), [])
        count = c_uint(0)
        self.call("nvmlDeviceGetComputeRunningProcesses_v3", device, byref(count), None,
                  expect=INSUFFICIENT_SIZE)
        self.assertEqual(count.value, 1)
        cuda.call("cuMemFree_v2", block)
        self.assertEqual(self.memory(device).used, before.used)
        with open("/proc/self/cmdline", "rb") as file:
            own = file.read().split(b"\0")[0].decode()
        self.assertEqual(self.text("nvmlSystemGetProcessName", os.getpid(), size=4096), own)


class Honest(Case):
    """What is not known is not made up."""

    def test_software_gpu(self):
        device = self.initialise()
        value = c_uint()
        for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetFanSpeed", "nvmlDeviceGetBrand",
                     "nvmlDeviceGetPerformanceState", "nvmlDeviceGetUtilizationRates",
                     "nvmlDeviceGetMinorNumber"):
            self.call(name, device, byref(value), expect=NOT_SUPPORTED)
        self.call("nvmlDeviceGetTemperature", device, 0, byref(value), expect=NOT_SUPPORTED)
        for name in ("nvmlDeviceGetEccMode", "nvmlDeviceGetMigMode"):
            self.call(name, device, byref(value), byref(value), expect=NOT_SUPPORTED)
        self.call("nvmlDeviceGetSerial", device, ctypes.create_string_buffer(30), 30,
                  expect=NOT_SUPPORTED)
        self.call("nvmlDeviceSetPersistenceMode", device, 1, expect=NOT_SUPPORTED)

    def test_bad_arguments(self):
        self.call("nvmlDeviceSetPersistenceMode", None, 1, expect=UNINITIALIZED)
        device = self.initialise()
        found = c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", 1, byref(found), expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetHandleByIndex_v2", 0, None, expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetHandleByUUID", b"GPU-0", byref(found), expect=NOT_FOUND)
        self.call("nvmlDeviceGetHandleByUUID", None, byref(found), expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetHandleByPciBusId_v2", b"x", byref(found), expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetHandleByPciBusId_v2", b"00:1f.7", byref(found), expect=NOT_FOUND)
        small = ctypes.create_string_buffer(b"abc", 4)
        self.call("nvmlDeviceGetName", device, small, 4, expect=INSUFFICIENT_SIZE)
        self.assertEqual(small.value, b"abc")
        self.call("nvmlDeviceGetName", c_void_p(1), small, 4, expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetMemoryInfo", device, None, expect=INVALID_ARGUMENT)
        self.call("nvmlDeviceGetTemperature", device, 9, byref(c_uint()), expect=INVALID_ARGUMENT)
        self.call("nvmlInitWithFlags", 64, expect=INVALID_ARGUMENT)

    def test_counted(self):
        self.call("nvmlInit")
        self.call("nvmlInit_v2")
        self.call("nvmlShutdown")
        self.call("nvmlDeviceGetCount_v2", byref(c_uint()))
        self.call("nvmlShutdown")
        self.call("nvmlDeviceGetCount_v2", byref(c_uint()), expect=UNINITIALIZED)

    def test_forked_child(self):
        self.initialise()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.call("nvmlDeviceGetCount_v2", byref(c_uint()), expect=UNINITIALIZED)
                self.assertEqual(self.memory(self.initialise()).total, QUOTA)
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)


class DeadHost(Case):
    def test_killed(self):
        device = self.initialise()
        self.cubard.process.kill()
        self.cubard.process.wait()
        start = time.monotonic()
        self.call("nvmlDeviceGetMemoryInfo", device, byref(Memory()), expect=TIMEOUT)
        first = time.monotonic()
        self.assertLess(first - start, 3)
        for _ in range(20):  # a monitor that asks for everything is not held up each time
            self.call("nvmlDeviceGetMemoryInfo", device, byref(Memory()), expect=TIMEOUT)
        self.assertLess(time.monotonic() - first, 0.9)

    def test_stopping(self):
        device = self.initialise()
        self.cubard.process.send_signal(signal.SIGTERM)
        self.cubard.process.wait(LIMIT)
        self.call("nvmlDeviceGetMemoryInfo", device, byref(Memory()), expect=GPU_IS_LOST)

    def test_stopped_for_a_moment(self):
        """A host that hangs is told of; when it goes on, so does NVML."""
        device = self.initialise()
        self.cubard.process.send_signal(signal.SIGSTOP)
        self.call("nvmlDeviceGetMemoryInfo", device, byref(Memory()), expect=TIMEOUT)
        self.cubard.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + LIMIT
        while self.nvml.nvmlDeviceGetMemoryInfo(device, byref(Memory())) != SUCCESS:
            self.assertLess(time.monotonic(), end)
            os.sched_yield()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
