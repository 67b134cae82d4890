# SPDX-License-Identifier: Apache-2.0
"""cubarctl against a cubard, and cubard's control socket against whoever may connect.
usage: cubarctl_test.py CUBARD FAKE_WORKER CUBARCTL [unittest arguments]
"""
import json
import os
import socket
import stat
import subprocess
import sys
import unittest

from cubard_case import DEAD, EVICTED, LIMIT, NO_ERROR, READY, Case

CUBARCTL = os.path.abspath(sys.argv[3])


class Ctl(Case):
    def ctl(self, *words):
        result = subprocess.run([CUBARCTL, "--socket", self.run + "/control", *words],
                                capture_output=True, text=True, timeout=LIMIT)
        return result.returncode, result.stdout, result.stderr

    def status(self):
        code, out, wrong = self.ctl("vms", "--json")
        self.assertEqual((code, wrong), (0, ""))
        return json.loads(out)

    def test_what_is_shown(self):
        self.start("greedy", extra='memory = "1 MiB"')
        [vm] = self.status()["vms"]
        self.assertEqual((vm["name"], vm["connected"], vm["sessions"]), ("vm", False, []))
        _, memory, doorbells = self.guest()
        memory.ask(1, 1, pid=77)
        os.eventfd_write(doorbells[1], 1)
        self.assertEqual(memory.wait(1, READY), (READY, NO_ERROR), self.text())
        [vm] = self.status()["vms"]
        [session] = vm["sessions"]
        self.assertTrue(vm["connected"])
        self.assertEqual(vm["boot_id"], f"{0x1111:016x}{0x2222:016x}")
        self.assertEqual((session["channel"], session["guest_pid"], session["state"]),
                         (1, 77, "serving"))
        self.assertEqual(os.path.basename(os.readlink(f"/proc/{session['worker_pid']}/exe")),
                         "fake-worker")
        self.assertEqual(session["memory"], [(1 << 20) // 100 * 100])
        self.assertEqual(vm["devices"], [{"name": "Fake GPU", "used": session["memory"][0],
                                          "quota": 1 << 20, "total": 4 << 30}])
        tables = {name: self.ctl(name)[1].splitlines() for name in ("vms", "sessions", "usage")}
        self.assertEqual({name: len(table) for name, table in tables.items()},
                         {"vms": 2, "sessions": 2, "usage": 2})
        self.assertIn("1/4", tables["vms"][1])
        self.assertTrue(tables["sessions"][1].startswith("vm/1 "), tables)
        self.assertIn("1.0 MiB", tables["usage"][1])

    def test_the_compile_cache_is_shown(self):
        self.start()
        self.assertIsNone(self.status()["vms"][0]["compile_cache"])
        self.stop()
        self.start(gpu="nvidia", host=f'cache_directory = "{self.run}/caches"',
                   extra='compile_cache = "64 MiB"')
        with open(self.run + "/caches/vm/kernel", "wb") as file:
            file.write(os.urandom(3 << 20))
        [vm] = self.status()["vms"]
        self.assertEqual(vm["compile_cache"]["limit"], 64 << 20)
        self.assertEqual(vm["compile_cache"]["used"] >> 20, 3)
        self.assertRegex(self.ctl("usage")[1], r"vm +compile cache on disk +3\.0 MiB +64\.0 MiB +-\n")

    def test_a_session_is_killed(self):
        self.start()
        _, memory, doorbells = self.guest()
        for channel in (0, 2):
            self.assertEqual(self.claim(memory, doorbells, channel), (READY, NO_ERROR))
        self.assertEqual(self.ctl("kill", "vm/1"), (0, "sessions ended: 1\n", ""))
        self.assertEqual(memory.wait(0, DEAD), (DEAD, EVICTED))
        self.assertEqual(memory.state(2), (READY, NO_ERROR))
        code, _, wrong = self.ctl("kill", "vm/1")
        self.assertEqual((code, wrong), (1, "cubarctl: VM vm has no running session 1; "
                                            "cubarctl sessions lists them\n"))
        self.assertEqual(self.claim(memory, doorbells, 1), (READY, NO_ERROR))
        self.assertEqual(self.ctl("reset", "vm"), (0, "sessions ended: 2\n", ""))
        for channel in (1, 2):
            self.assertEqual(memory.wait(channel, DEAD), (DEAD, EVICTED))
        self.release(memory, doorbells, 0)
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))

    def test_errors_say_what_to_do(self):
        code, _, wrong = self.ctl("vms")
        self.assertEqual(code, 1)
        self.assertIn("cubard is not running", wrong)
        self.assertIn("systemctl start cubard", wrong)
        self.start()
        for words in (("kill", "nobody/1"), ("reset", "nobody"), ("sessions", "nobody")):
            self.assertEqual(self.ctl(*words)[::2],
                             (1, "cubarctl: there is no VM 'nobody'; cubarctl vms lists them\n"))
        for session in ("vm", "vm/", "vm/x", "vm/1x", "vm/-1"):
            self.assertIn("write VM/NUMBER", self.ctl("kill", session)[2])

    def test_who_may_ask(self):
        self.start()
        path = self.run + "/control"
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        if os.geteuid() == 0:
            result = subprocess.run([CUBARCTL, "--socket", path, "vms"], user=65534, group=65534,
                                    extra_groups=[], capture_output=True, text=True, timeout=LIMIT)
            self.assertEqual(result.returncode, 1)
            self.assertIn("no permission", result.stderr)
            self.assertIn("as a member of the group root", result.stderr)
        self.stop()
        self.assertFalse(os.path.exists(path))

    def ask_raw(self, data):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(LIMIT)
            sock.connect(self.run + "/control")
            sock.sendall(data)
            answer = b""
            while part := sock.recv(4096):
                answer += part
            return answer

    def test_nonsense_is_answered_and_harms_nobody(self):
        self.start()
        for data in (b"\n", b"{}\n", b"[" * 3000 + b"\n", b'{"command": 3}\n', b"x" * 4096,
                     b'{"command":"kill","vm":"vm","session":-1}\n', b'{"command":"reset"}\n',
                     b'{"command":"\xff"}\n'):
            with self.subTest(data[:40]):
                self.assertIn(b"cubard does not understand", self.ask_raw(data))
        held = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(16)]
        for sock in held:
            sock.connect(self.run + "/control")
        self.assertEqual(self.ask_raw(b""), b"")  # the seventeenth is turned away
        for sock in held:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1), b"")  # cubard has let go of it
            sock.close()
        self.assertEqual(self.status()["vms"][0]["name"], "vm")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
