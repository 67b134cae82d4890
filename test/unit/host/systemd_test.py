# SPDX-License-Identifier: Apache-2.0
"""cubard under a systemd that keeps its descriptors across restarts: FDSTORE, LISTEN_FDS.
usage: systemd_test.py CUBARD FAKE_WORKER [unittest arguments]
"""
import array
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import unittest

from cubard_case import CLAIM, DEAD, FREE, LIMIT, NO_ERROR, READY, REFUSED, QUOTA, RESTARTED, Case

# Puts the descriptors that it inherits in their places, as systemd does, and becomes cubard.
BECOME = """
import os, sys
names, numbers = sys.argv[1].split(":"), [int(word) for word in sys.argv[2].split(",")]
high = [os.dup2(fd, 500 + i) for i, fd in enumerate(numbers)]
for place, fd in enumerate(high, 3):
    os.dup2(fd, place)
os.closerange(3 + len(high), 600)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[3], sys.argv[3:])
"""
SYS_KCMP = 312


def same_file(one, other):
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.getpid()
    return libc.syscall(SYS_KCMP, pid, pid, 0, one, other) == 0


class Systemd:
    """The receiver of sd_notify: keeps what is sent with FDSTORE=1, by sd_pid_notify_with_fds(3)."""

    def __init__(self, path):
        self.path = path
        self.kept = []  # (name, descriptor), in the order in which they came
        self.refused = []
        self.ready = threading.Semaphore(0)
        self.changed = threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.stop, self.stopped = os.pipe()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def close(self):
        os.close(self.stopped)
        self.thread.join()
        self.socket.close()
        os.close(self.stop)
        for _, fd in self.kept:
            os.close(fd)

    def listen(self):
        while True:
            readable, _, _ = select.select([self.socket, self.stop], [], [])
            if self.stop in readable:
                return
            data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            fds = array.array("i")
            for _, _, raw in ancillary:
                fds.frombytes(raw)
            with self.changed:
                self.take(dict(line.split("=", 1) for line in data.decode().splitlines()), list(fds))
                self.changed.notify_all()

    def take(self, message, fds):
        name = message.get("FDNAME", "stored")
        # systemd.exec(5): no control characters, no colon, at most 255 characters.
        if len(name) > 255 or ":" in name or not name.isprintable():
            self.refused.append(name)
        elif message.get("FDSTORE") == "1":
            for fd in fds:
                if any(same_file(fd, other) for _, other in self.kept):
                    os.close(fd)  # it has this one
                else:
                    self.kept.append((name, fd))
            fds = []
        elif message.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.kept if entry[0] == name]:
                self.kept.remove(entry)
                os.close(entry[1])
        for fd in fds:
            os.close(fd)
        if message.get("READY") == "1":
            self.ready.release()

    def hang_ups(self):
        """While the service is down, what has hung up goes, as systemd's own poll would see."""
        poll = select.poll()
        for _, fd in self.kept:
            poll.register(fd, 0)
        gone = {fd for fd, events in poll.poll(0) if events & (select.POLLHUP | select.POLLERR)}
        for entry in [entry for entry in self.kept if entry[1] in gone]:
            self.kept.remove(entry)
            os.close(entry[1])

    def names(self):
        with self.changed:
            return sorted(name for name, _ in self.kept)

    def wait(self, names):
        with self.changed:
            if not self.changed.wait_for(lambda: sorted(name for name, _ in self.kept) == sorted(names), LIMIT):
                raise AssertionError(f"kept are {self.kept}, wanted {names}")


class Store(Case):
    def setUp(self):
        super().setUp()
        self.systemd = Systemd(self.run + "/systemd")
        self.addCleanup(self.systemd.close)
        self.listening = []  # (name, descriptor) of socket units

    def socket_unit(self, name, path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        self.listening.append((name, listener.fileno()))

    def start_service(self, **settings):
        command = self.command(store="systemd", **settings)
        environment = dict(os.environ, NOTIFY_SOCKET=self.systemd.path, FDSTORE="512")
        kept = [*self.listening, *self.systemd.kept]
        if kept:
            names, fds = ":".join(name for name, _ in kept), [fd for _, fd in kept]
            command = [sys.executable, "-c", BECOME, names, ",".join(map(str, fds)), *command]
        self.cubard = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment,
                                       pass_fds=[fd for _, fd in kept])
        self.assertTrue(self.systemd.ready.acquire(timeout=LIMIT), self.text())

    GUEST = ["vm/qemu", "vm/memory", "vm/book", *(f"vm/doorbell.{i}" for i in range(5))]

    def test_what_a_guest_needs_is_kept_and_goes_with_it(self):
        self.start_service()
        sock, memory, doorbells = self.guest()
        self.systemd.wait(self.GUEST)
        self.assertEqual(self.claim(memory, doorbells, 2), (READY, NO_ERROR))
        self.systemd.wait([*self.GUEST, "vm/worker.2"])
        self.release(memory, doorbells, 2)
        self.systemd.wait(self.GUEST)
        sock.close()
        self.systemd.wait([])
        self.assertEqual(self.systemd.refused, [])

    def test_a_running_guest_is_served_again(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(number):
                self.start_service()
                sock, memory, doorbells = self.guest()
                self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
                self.systemd.wait([*self.GUEST, "vm/worker.1"])
                epoch = memory.word(128, "Q")
                self.stop(number)
                self.systemd.hang_ups()
                memory.ask(2, CLAIM)  # nobody hears it now
                self.start_service()
                self.assertEqual(memory.wait(1, DEAD), (DEAD, RESTARTED), self.text())
                self.assertEqual(memory.wait(2, READY), (READY, NO_ERROR))
                self.assertNotEqual(memory.word(128, "Q"), epoch)
                self.release(memory, doorbells, 1)
                self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
                # Nothing is kept twice, so a third cubard finds it as the second did.
                self.systemd.wait([*self.GUEST, "vm/worker.1", "vm/worker.2"])
                self.stop(number)
                self.systemd.hang_ups()
                self.start_service()
                self.assertEqual(memory.wait(1, DEAD), (DEAD, RESTARTED))
                self.release(memory, doorbells, 1)
                sock.close()
                self.systemd.wait([])
                self.stop()

    def test_sockets_of_units_are_served_and_stay(self):
        self.socket_unit("vm/socket", self.socket)
        self.socket_unit("control", self.run + "/control")
        early = self.connect()  # a QEMU that is there before cubard, and waits
        for _ in range(2):
            self.start_service()
            self.assertEqual(len(early.recv(8, socket.MSG_PEEK)), 8, self.text())
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ctl:
                ctl.settimeout(LIMIT)
                ctl.connect(self.run + "/control")
                ctl.sendall(b'{"command": "status"}\n')
                self.assertIn(b'"connected":true', ctl.recv(4096))
            self.stop()
            self.systemd.hang_ups()
            self.assertTrue(os.path.exists(self.socket) and os.path.exists(self.run + "/control"))

    def test_a_guest_that_ended_meanwhile_is_let_go(self):
        self.start_service()
        sock, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.systemd.wait([*self.GUEST, "vm/worker.0"])
        self.stop(signal.SIGKILL)
        sock.close()
        self.systemd.hang_ups()
        self.assertNotIn("vm/qemu", self.systemd.names())
        self.start_service()
        self.systemd.wait([])
        _, new, doorbells = self.guest()
        self.assertEqual(new.state(0), (FREE, NO_ERROR))
        self.assertEqual(self.claim(new, doorbells, 0), (READY, NO_ERROR))

    def test_what_was_refused_before_is_free_afterwards(self):
        self.start_service(extra="sessions = 1")
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        self.assertEqual(self.claim(memory, doorbells, 1), (REFUSED, QUOTA))
        self.systemd.wait([*self.GUEST, "vm/worker.0"])
        self.stop(signal.SIGKILL)
        self.systemd.hang_ups()
        self.start_service(extra="sessions = 1")
        self.assertEqual(memory.wait(0, DEAD), (DEAD, RESTARTED))
        self.release(memory, doorbells, 1)
        self.assertEqual(self.claim(memory, doorbells, 1), (REFUSED, QUOTA))  # the dead one counts
        self.release(memory, doorbells, 1)
        self.release(memory, doorbells, 0)
        self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
        self.assertEqual(memory.word(144, "Q"), 1 << 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
