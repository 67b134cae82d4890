# SPDX-License-Identifier: Apache-2.0
"""cubard --check: what is wrong with a configuration, and that the one we ship is not.
usage: check_test.py CUBARD FAKE_WORKER SHIPPED [unittest arguments]
"""
import os
import re
import subprocess
import sys
import unittest

from cubard_case import CUBARD, LIMIT, WORKER, Case

SHIPPED = sys.argv[3]


class Check(Case):
    def check(self, text, *options):
        path = self.run + "/checked.toml"
        with open(path, "w") as file:
            file.write(text)
        result = subprocess.run([CUBARD, "--check", "--worker", WORKER, "--config", path, *options],
                                capture_output=True, text=True, timeout=LIMIT)
        return result.returncode, result.stdout, result.stderr.replace(path, "FILE")

    def test_check_tells_every_mistake_with_its_line(self):
        code, out, wrongs = self.check("[[vm]]\nname = 3\nsocket = 'a'\nbars = 1\n")
        self.assertEqual((code, out), (2, ""))
        self.assertEqual([line.split(": ")[0] for line in wrongs.splitlines()],
                         ["FILE:2", "FILE:3", "FILE:4"])
        self.assertIn("FILE:2: 'name' must be a string", wrongs)

    def test_check_looks_at_the_machine(self):
        code, _, wrongs = self.check(
            f"[host]\nadmin_group = 'no-such-group'\nruntime_directory = '{self.run}/no/such'\n"
            f"[[vm]]\nname = 'a'\nsocket = '{self.run}/missing/a'\nsocket_group = 'nor-this'\n")
        self.assertEqual(code, 2)
        for wanted in ("FILE:2: there is no group 'no-such-group'", "FILE:3: there is no directory",
                       "FILE:6: VM a: there is no directory", "FILE:7: there is no group 'nor-this'"):
            self.assertIn(wanted, wrongs)

    def test_check_looks_at_the_caches(self):
        open(self.run + "/thesis.tex", "w").close()
        code, _, wrongs = self.check(f"[host]\nruntime_directory = '{self.run}'\n"
                                     f"cache_directory = '{self.run}'\n")
        self.assertEqual(code, 2)
        self.assertIn(f"FILE:3: {self.run} holds files that are not cubard's", wrongs)
        self.assertFalse(os.path.exists(self.run + "/CACHEDIR.TAG"))
        code, _, wrongs = self.check(f"[host]\nruntime_directory = '{self.run}'\n"
                                     f"cache_directory = '{self.run}/no/such'\n")
        self.assertEqual(code, 2)
        self.assertIn(f"FILE:3: there is no directory {self.run}/no for", wrongs)

    def test_check_tries_the_driver(self):
        text = f"[host]\nruntime_directory = '{self.run}'\n"
        for role in ("no-driver", "good"):
            open(self.run + "/" + role, "w").close()
        self.assertEqual(self.check(text, "--gpu", "soft", "--driver", self.run + "/no-driver"), (
            2, "", f"FILE: {self.run}/no-driver cannot be used: no driver is here\n"))
        code, out, wrongs = self.check(text, "--gpu", "soft", "--driver", self.run + "/good")
        self.assertEqual((code, wrongs), (0, ""))
        self.assertIn("good; VMs: 0", out)
        code, _, wrongs = self.check(text + "[[vm]]\nname = 'a'\ndevices = [0, 1]\n"
                                     f"socket = '{self.run}/a'\n",
                                     "--gpu", "soft", "--driver", self.run + "/good")
        self.assertEqual((code, wrongs), (2, "FILE:5: VM a: the driver shows 1 of the 2 devices\n"))


class Shipped(Case):
    """The file that is installed says nothing but the defaults, in comments."""

    def setUp(self):
        super().setUp()
        with open(SHIPPED) as file:
            self.shipped = file.read()
        self.role = self.run + "/good"
        open(self.role, "w").close()

    def check(self, path):
        result = subprocess.run([CUBARD, "--check", "--worker", WORKER, "--gpu", "soft", "--driver",
                                 self.role, "--config", path], capture_output=True, text=True,
                                timeout=LIMIT)
        return result.returncode, result.stderr

    def test_it_is_accepted(self):
        self.assertEqual(self.check(SHIPPED), (0, ""))

    def test_every_key_in_it_is_known_and_none_is_forgotten(self):
        # With the comment signs of its keys taken away it is a configuration with a VM.
        text = re.sub(r"(?m)^#(\w+ = |\[)", r"\1", self.shipped)
        text = text.replace("/run/cubar", self.run).replace("/var/cache/cubar", self.run + "/cache")
        path = self.run + "/whole.toml"
        with open(path, "w") as file:
            file.write(re.sub(r'(?m)^\w*group = .*|^driver = .*', "", text))
        self.assertEqual(self.check(path), (0, ""))
        keys = {"[host]": "gpu driver runtime_directory cache_directory descriptor_store admin_group",
                "[workers]": "first_uid group",
                "[[vm]]": "name socket socket_mode socket_group bar channels sessions memory devices "
                          "priority compile_cache"}
        parts = dict(zip(keys, re.split(r"(?m)^\[+\w+\]+$", text)[1:], strict=True))
        for part, names in keys.items():
            self.assertEqual(re.findall(r"(?m)^(\w+) = ", parts[part]), names.split(), part)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
