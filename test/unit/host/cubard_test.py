# SPDX-License-Identifier: Apache-2.0
"""cubard as its peers see it: a QEMU (ivshmem), a local program, a guest that claims channels.
usage: cubard_test.py CUBARD FAKE_WORKER [unittest arguments]
"""
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from cubard_case import (ACCEPTED, ADDRESS, BROKEN, CHANNELS_OFFSET, CLAIM, CUBARD, DEAD, DRIVER, FREE,
                         LIMIT, MIB, NO_ERROR, PROTOCOL, QUOTA, READY, REFUSED,
                         RESTARTED, SERVING, STOPPING, WORKER_DIED, Case, Memory)


class Ivshmem(Case):
    def test_handshake_and_header(self):
        self.start()
        sock, memory, doorbells = self.guest()
        self.assertEqual(sorted(doorbells), [0, 1, 2, 3, 4, 5])
        self.assertEqual(memory.bytes, 64 * MIB)
        self.assertEqual(bytes(memory.map[:8]), b"CUBARBAR")
        self.assertEqual((memory.word(8), memory.word(12)), (1, 1))
        self.assertEqual(memory.word(16, "Q"), 64 * MIB)
        self.assertEqual(memory.word(24, "Q"), 4096)
        self.assertEqual(memory.word(40, "Q"), CHANNELS_OFFSET)
        self.assertEqual(memory.word(48, "Q"), 2 * MIB)
        self.assertEqual((memory.word(56), memory.word(60), memory.word(64)), (4, 1, 2))
        self.assertEqual(memory.word(68), 2 * MIB)
        self.assertEqual((memory.word(72, "Q"), memory.word(80, "Q")), (10 * MIB, 54 * MIB))
        self.assertNotEqual(memory.word(128, "Q"), 0)
        self.assertEqual(memory.word(136), SERVING)
        self.assertEqual((memory.word(4096), memory.word(4100)), (13000, 1))
        sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            sock.recv(1)
        for request in (fcntl.F_ADD_SEALS,):
            with self.assertRaises(PermissionError):
                fcntl.fcntl(memory.fd, request, fcntl.F_SEAL_WRITE)
        with self.assertRaises(PermissionError):
            os.ftruncate(memory.fd, MIB)

    def test_second_connection_is_refused_and_the_first_lives(self):
        self.start()
        _, memory, doorbells = self.guest()
        second = self.connect()
        self.assertEqual(second.recv(8), b"")
        self.assertIn("refused", self.text())
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))

    def test_rubbish_ends_the_connection_only(self):
        self.start()
        sock, memory, _ = self.guest()
        sock.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(sock.recv(8), b"")
        self.assertEqual(memory.word(136), STOPPING)
        self.guest()

    def test_clients_that_leave_at_once_make_way(self):
        self.start()
        for _ in range(20):
            self.connect().close()
        self.guest()

    def test_a_new_qemu_gets_clean_memory_and_a_new_epoch(self):
        self.start()
        sock, old, doorbells = self.guest()
        self.assertEqual(self.claim(old, doorbells, 2), (READY, NO_ERROR))
        epoch = old.word(128, "Q")
        sock.close()
        old.wait(2, DEAD)
        _, new, doorbells = self.guest()
        self.assertNotEqual(new.word(128, "Q"), epoch)
        self.assertEqual(new.state(2), (FREE, NO_ERROR))
        self.assertEqual(self.claim(new, doorbells, 2), (READY, NO_ERROR))


class Claims(Case):
    def test_claim_and_release(self):
        self.start()
        _, memory, doorbells = self.guest()
        for _ in range(3):
            self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
            self.assertEqual(memory.word(144, "Q"), 1 << 1)
            self.release(memory, doorbells, 1)
            self.assertEqual(memory.word(144, "Q"), 0)
        self.assertEqual(self.text().count("3 launches, 2 copies (5.0 MiB)"), 3, self.text())

    def test_refusals_name_the_reason(self):
        self.start()
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0, protocol=2), (REFUSED, PROTOCOL))
        self.release(memory, doorbells, 0)
        self.assertEqual(self.claim(memory, doorbells, 0, address=123), (REFUSED, ADDRESS))
        self.assertEqual(self.claim(memory, doorbells, 0, address=(1 << 64) - 4096),
                         (REFUSED, ADDRESS))
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))

    def test_quota_of_sessions(self):
        self.start(extra="sessions = 2")
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
        self.assertEqual(self.claim(memory, doorbells, 2), (REFUSED, QUOTA))
        self.release(memory, doorbells, 0)
        self.release(memory, doorbells, 2)
        self.assertEqual(self.claim(memory, doorbells, 2), (READY, NO_ERROR))

    def test_a_worker_that_refuses(self):
        self.start("refuses")
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (REFUSED, DRIVER))
        self.release(memory, doorbells, 0)

    def test_a_worker_that_ends_the_session_of_a_guest_that_breaks_the_protocol(self):
        self.start("offended")
        _, memory, doorbells = self.guest()
        self.ask(memory, doorbells, 0, CLAIM)
        self.assertEqual(memory.wait(0, DEAD), (DEAD, BROKEN))
        self.wait_for_text("3 launches")  # it has ended before anybody releases the channel
        self.assertEqual(memory.state(0), (DEAD, BROKEN))
        self.release(memory, doorbells, 0)

    def test_cubard_beats_while_a_worker_starts_and_not_afterwards(self):
        self.start("slow")
        _, memory, doorbells = self.guest()
        answered = self.ask(memory, doorbells, 0, CLAIM)
        memory.wait(0, ACCEPTED, test=answered)
        beat = memory.beat()
        memory.wait(0, ACCEPTED, test=lambda: memory.beat() >= beat + 3)
        self.release(memory, doorbells, 0)
        beat = memory.beat()
        time.sleep(0.6)  # two beats: that nothing comes has no event
        self.assertEqual(memory.beat(), beat)

    def test_a_worker_that_dies(self):
        self.start("dies")
        _, memory, doorbells = self.guest()
        self.ask(memory, doorbells, 0, CLAIM)
        self.assertEqual(memory.wait(0, DEAD), (DEAD, WORKER_DIED))
        self.release(memory, doorbells, 0)

    def test_a_worker_that_talks_nonsense_is_killed(self):
        self.start("babbles")
        _, memory, doorbells = self.guest()
        self.ask(memory, doorbells, 0, CLAIM)
        self.assertEqual(memory.wait(0, DEAD), (DEAD, WORKER_DIED))
        self.assertIn("what no worker says", self.text())

    def test_a_worker_that_does_not_go_is_killed(self):
        self.start("stubborn")
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        begin = time.monotonic()
        self.release(memory, doorbells, 0)
        self.assertLess(time.monotonic() - begin, 2)

    def test_charges_go_with_the_worker(self):
        self.start("greedy", extra='memory = "64 KiB"')
        _, memory, doorbells = self.guest()
        for _ in range(2):
            self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
            self.release(memory, doorbells, 0)

    def test_a_strangers_claim_does_not_end_a_session(self):
        self.start()
        _, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        session = memory.word(memory.channel(0) + 392, "Q")
        self.ask(memory, doorbells, 0, CLAIM)
        self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))  # the scan is over
        self.assertEqual(memory.state(0), (READY, NO_ERROR))
        self.assertEqual(memory.word(memory.channel(0) + 392, "Q"), session)

    def test_a_reboot_releases_what_was_claimed(self):
        self.start()
        _, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.claim(memory, doorbells, 1)
        self.assertEqual(self.claim(memory, doorbells, 1, boot=(3, 4)), (READY, NO_ERROR))
        memory.wait(0, FREE)

    def test_rubbish_in_the_memory_harms_nobody(self):
        self.start()
        _, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        for value in (0, 0xff, 0x5a):
            memory.map[:4096] = bytes([value]) * 4096
            for k in range(1, 4):
                at = memory.channel(k)
                memory.map[at:at + 3 * 4096] = bytes([value]) * (3 * 4096)
            self.ring(doorbells)
        for k in range(1, 4):
            self.release(memory, doorbells, k)
            self.assertEqual(self.claim(memory, doorbells, k), (READY, NO_ERROR))
        self.assertIsNone(self.cubard.poll())


class Ends(Case):
    def test_sigterm(self):
        self.start()
        _, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.assertEqual(self.stop(), 0)
        self.assertEqual(memory.word(136), STOPPING)
        self.assertEqual(memory.state(0), (DEAD, RESTARTED))
        self.assertFalse(os.path.exists(self.socket))

    def test_killed_and_started_again(self):
        self.restart(signal.SIGKILL)

    def test_stopped_and_started_again(self):
        self.restart(signal.SIGTERM)

    def restart(self, number):
        self.start(store="keeper")
        sock, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.claim(memory, doorbells, 1)
        epoch = memory.word(128, "Q")
        self.stop(number)
        memory.ask(2, CLAIM)  # nobody hears it now
        self.start(store="keeper")
        self.assertEqual(memory.wait(0, DEAD), (DEAD, RESTARTED), self.text())
        self.assertEqual(memory.wait(1, DEAD), (DEAD, RESTARTED))
        self.assertEqual(memory.wait(2, READY), (READY, NO_ERROR))
        self.assertNotEqual(memory.word(128, "Q"), epoch)
        self.assertEqual(memory.word(136), SERVING)
        self.release(memory, doorbells, 0)
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        second = self.connect()  # the old QEMU still counts as connected
        self.assertEqual(second.recv(8), b"")
        sock.close()
        memory.wait(0, DEAD)
        self.guest()[0].close()

    def test_a_guest_that_ended_meanwhile_is_let_go(self):
        self.start(store="keeper")
        sock, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.stop(signal.SIGKILL)
        sock.close()
        self.start(store="keeper")
        _, new, doorbells = self.guest()
        self.assertEqual(new.state(0), (FREE, NO_ERROR))
        self.assertEqual(self.claim(new, doorbells, 0), (READY, NO_ERROR))

    def test_a_driver_that_does_not_work(self):
        self.start("no-driver", check=False)
        self.assertEqual(self.cubard.wait(LIMIT), 1)
        self.assertIn("no driver is here", self.text())
        self.cubard = None

    def test_two_cubards_do_not_share_a_socket(self):
        self.start()
        first = self.cubard
        self.start(check=False)
        self.assertEqual(self.cubard.wait(LIMIT), 1)
        self.assertIn("is served by another process", self.text())
        self.cubard = first


class Local(Case):
    def hello(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(LIMIT)
        sock.connect(self.socket)
        data, fds, _, _ = socket.recv_fds(sock, 100, 66)
        sock.close()
        self.assertEqual(data, struct.pack("<4sIII", b"CUBL", 1, 6, 0))
        return Memory(fds[0]), {1 + i: fd for i, fd in enumerate(fds[1:])}

    def test_session(self):
        self.start(local=[])
        memory, doorbells = self.hello()
        self.assertEqual(self.claim(memory, doorbells, 3), (READY, NO_ERROR))
        self.release(memory, doorbells, 3)

    def test_what_a_dead_program_held_is_released(self):
        self.start(local=[])
        memory, doorbells = self.hello()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            theirs, bells = self.hello()
            self.claim(theirs, bells, 0, pid=os.getpid())
            os.write(write, b"x")
            signal.pause()
        os.read(read, 1)
        self.assertEqual(memory.state(0), (READY, NO_ERROR))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        memory.wait(0, FREE)
        os.close(read)
        os.close(write)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
