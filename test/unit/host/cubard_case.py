# SPDX-License-Identifier: Apache-2.0
"""A cubard under test, and its peers: a QEMU (ivshmem), a guest that claims channels.

Offsets are written out by hand from docs/protocol.md, so that a change of the layout shows here.
The tests that import this are called as: TEST CUBARD FAKE_WORKER [unittest arguments]
"""
import array
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

# cubard runs elsewhere, and Meson names its targets from its own directory.
CUBARD, WORKER = map(os.path.abspath, sys.argv[1:3])
MIB = 1 << 20
LIMIT = 10.0

FREE, ACCEPTED, READY, REFUSED, DEAD, RELEASING = range(6)
NO_ERROR, PROTOCOL, ADDRESS, QUOTA, WORKER_DIED, RESTARTED, DRIVER, BROKEN, EVICTED = range(9)
CLAIM, RELEASE = 1, 2
SERVING, STOPPING = 1, 2
CHANNELS_OFFSET = 2 * MIB
BOOT = (0x1111, 0x2222)


def receive(sock):
    """One ivshmem message: the number and its descriptor, or None."""
    data, fds = b"", array.array("i")
    while len(data) < 8:
        part, ancillary, _, _ = sock.recvmsg(8 - len(data), socket.CMSG_SPACE(4))
        if not part:
            raise EOFError
        data += part
        for _, _, raw in ancillary:
            fds.frombytes(raw)
    assert len(fds) <= 1
    return struct.unpack("<q", data)[0], fds[0] if fds else None


class Memory:
    """The guest's view of BAR2."""

    def __init__(self, fd):
        self.fd = fd
        self.bytes = os.fstat(fd).st_size
        self.map = mmap.mmap(fd, CHANNELS_OFFSET * 10, mmap.MAP_SHARED)
        self.number = 0

    def word(self, offset, form="I"):
        return struct.unpack_from("<" + form, self.map, offset)[0]

    def store(self, offset, value, form="I"):
        struct.pack_into("<" + form, self.map, offset, value)

    def channel(self, k):
        return CHANNELS_OFFSET + k * 2 * MIB

    def ask(self, k, request, boot=BOOT, protocol=1, address=0x100000000000, pid=0):
        at = self.channel(k) + 448
        self.number += 1
        struct.pack_into("<IIQQQI", self.map, at + 8, request, protocol, *boot, address, pid)
        self.store(at, self.number, "Q")
        return self.number

    def state(self, k):
        return self.word(self.channel(k) + 384), self.word(self.channel(k) + 388)

    def beat(self):
        return self.word(152, "Q")

    def answered(self, k):
        return self.word(self.channel(k) + 384 + 24, "Q")

    def wait(self, k, *states, test=None):
        """`test` is asked before the state is read: claim_answered is what cubard writes last."""
        end = time.monotonic() + LIMIT
        while True:
            holds = test is None or test()
            state, error = self.state(k)
            if holds and state in states:
                return state, error
            if time.monotonic() > end:
                raise AssertionError(f"channel {k} is {state}/{error}, wanted {states}")
            os.sched_yield()


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="cubard-test-")
        self.addCleanup(self.directory.cleanup)
        self.run = self.directory.name
        os.chmod(self.run, 0o755)
        self.socket = self.run + "/vm.sock"
        self.cubard = None
        self.log = open(self.run + "/log", "w+")
        self.addCleanup(self.log.close)
        self.addCleanup(self.stop)

    def command(self, role="good", extra="", store="none", local=None, gpu="soft", host=""):
        """The arguments of a cubard with one VM, whose configuration is written for it."""
        arguments = [CUBARD, "--gpu", gpu, "--driver", self.run + "/" + role, "--worker", WORKER]
        if local is None:
            config = self.run + "/cubard.toml"
            with open(config, "w") as file:
                file.write(f'[host]\nruntime_directory = "{self.run}"\n'
                           f'descriptor_store = "{store}"\n{host}\n[[vm]]\nname = "vm"\n'
                           f'socket = "{self.socket}"\nbar = "64 MiB"\nchannels = 4\n{extra}\n')
            arguments += ["--config", config]
        else:
            arguments += ["--local", self.socket, "--bar", "64MiB", "--channels", "4"] + local
        open(self.run + "/" + role, "w").close()
        return arguments

    def start(self, *settings, check=True, **more):
        arguments = self.command(*settings, **more)
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.run + "/notify"
        if os.path.exists(path):
            os.unlink(path)
        ready.bind(path)
        ready.settimeout(LIMIT)
        environment = dict(os.environ, NOTIFY_SOCKET=path)
        environment.pop("FDSTORE", None)
        self.cubard = subprocess.Popen(arguments, stdout=self.log, stderr=self.log,
                                       env=environment)
        with ready:
            if check:
                self.assertIn(b"READY=1", ready.recv(200), self.text())

    def stop(self, number=signal.SIGTERM):
        if self.cubard is not None:
            self.cubard.send_signal(number)
            code = self.cubard.wait(LIMIT)
            self.cubard = None
            return code

    def wait_for_text(self, wanted):
        end = time.monotonic() + LIMIT
        while wanted not in self.text():
            self.assertLess(time.monotonic(), end, self.text())
            os.sched_yield()

    def text(self):
        with open(self.run + "/log") as file:
            return file.read()

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(LIMIT)
        sock.connect(self.socket)
        self.addCleanup(sock.close)
        return sock

    def guest(self):
        """A QEMU that connects: its socket, the memory, the doorbells by peer."""
        sock = self.connect()
        self.assertEqual(receive(sock), (0, None))  # version
        own, none = receive(sock)
        self.assertIsNone(none)
        minus_one, memory = receive(sock)
        self.assertEqual(minus_one, -1)
        doorbells = {}
        for _ in range(6):
            peer, fd = receive(sock)
            self.assertIsNotNone(fd)
            self.assertNotIn(peer, doorbells)
            doorbells[peer] = fd
        self.assertIn(own, doorbells)
        self.addCleanup(lambda: [os.close(fd) for fd in [memory, *doorbells.values()]])
        return sock, Memory(memory), doorbells

    @staticmethod
    def ring(doorbells):
        os.write(doorbells[1], struct.pack("<Q", 1))

    def ask(self, memory, doorbells, k, request, **words):
        number = memory.ask(k, request, **words)
        self.ring(doorbells)
        return lambda: memory.answered(k) == number

    def claim(self, memory, doorbells, k, **words):
        answered = self.ask(memory, doorbells, k, CLAIM, **words)
        return memory.wait(k, READY, REFUSED, DEAD, test=answered)

    def release(self, memory, doorbells, k):
        return memory.wait(k, FREE, test=self.ask(memory, doorbells, k, RELEASE))
