# SPDX-License-Identifier: Apache-2.0
"""What cubard does about the compile cache of NVIDIA's driver, which a worker writes.
usage: compile_cache_test.py CUBARD FAKE_WORKER [unittest arguments]
"""
import os
import stat
import sys
import tempfile
import unittest

from cubard_case import DEAD, EVICTED, NO_ERROR, READY, Case

FIRST_UID = 1879048192


class CompileCache(Case):
    def setUp(self):
        super().setUp()
        # In what workers do not see: they are shown their own directory alone.
        directory = tempfile.TemporaryDirectory(prefix="cubar-cache-", dir="/var/tmp")
        self.addCleanup(directory.cleanup)
        self.caches = directory.name + "/caches"
        os.chmod(directory.name, 0o755)

    def serve(self, role, extra=""):
        self.start(role, gpu="nvidia", extra=extra, host=f'cache_directory = "{self.caches}"')

    def kept(self):
        with open(self.caches + "/vm/kept") as file:
            return [line.split() for line in file]

    def owner(self):
        own = os.geteuid() == 0 and "own uid" not in self.text()
        return FIRST_UID + 1 if own else os.geteuid()

    def test_workers_of_a_vm_share_one_and_it_outlives_cubard(self):
        for time in (1, 2):
            self.serve("keeps")
            sock, memory, doorbells = self.guest()
            for channel in (0, 1):
                self.assertEqual(self.claim(memory, doorbells, channel), (READY, NO_ERROR))
            line = [str(self.owner()), self.caches + "/vm", str(1 << 30), "(none)"]
            self.assertEqual(self.kept(), [line] * 2 * time)
            status = os.stat(self.caches + "/vm")
            self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (self.owner(), 0o700))
            sock.close()
            self.stop()

    def test_a_vm_can_do_without(self):
        self.serve("good", extra='compile_cache = "none"')
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        self.assertFalse(os.path.exists(self.caches))

    def test_softgpu_has_none(self):
        self.start(host=f'cache_directory = "{self.caches}"')
        self.assertFalse(os.path.exists(self.caches))

    def test_one_that_fills_the_disk_is_ended_and_all_that_it_wrote_is_gone(self):
        self.serve("hoards", extra='compile_cache = "32 MiB"')
        _, memory, doorbells = self.guest()
        self.claim(memory, doorbells, 0)
        self.assertEqual(memory.wait(0, DEAD), (DEAD, EVICTED))
        self.wait_for_text("vm: the compile cache has been emptied")
        self.assertIn("vm: its compile cache has grown beyond 32 MiB", self.text())
        self.assertEqual(os.listdir(self.caches + "/vm"), [])
        self.release(memory, doorbells, 0)

    def test_files_of_somebody_else_are_left_alone(self):
        os.mkdir(self.caches)
        os.mkdir(self.caches + "/vm")
        open(self.caches + "/thesis.tex", "w").close()
        self.serve("good")
        self.assertIn(f"{self.caches} holds files that are not cubard's", self.text())
        _, memory, doorbells = self.guest()
        self.assertEqual(self.claim(memory, doorbells, 0), (READY, NO_ERROR))
        self.assertEqual(sorted(os.listdir(self.caches)), ["thesis.tex", "vm"])

    def test_that_of_a_vm_that_is_gone_goes(self):
        self.serve("good")
        self.stop()
        os.makedirs(self.caches + "/old/0/a")
        self.serve("good")
        self.assertEqual(sorted(os.listdir(self.caches)), ["CACHEDIR.TAG", "vm"])
        self.assertIn("old: is not configured any more; its compile cache is removed", self.text())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
