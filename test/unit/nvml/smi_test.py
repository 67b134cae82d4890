# SPDX-License-Identifier: Apache-2.0
"""cubar-smi beside a CUDA program that holds memory.

Called as: smi_test.py CUBARD LIBNVIDIA-ML LIBCUDA CUBAR-SMI [unittest arguments]
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

SMI = os.path.abspath(sys.argv.pop(4))
COMPLETION = Path(__file__).resolve().parents[3] / "packaging" / "completion" / "cubar-smi.bash"

from nvml_test import MIB, QUOTA, Cubard, Cuda  # noqa: E402  (takes its own arguments first)


def smi(*arguments, **environment):
    return subprocess.run([SMI, *arguments], capture_output=True, text=True, timeout=20,
                          env=dict(os.environ, **environment))


class Smi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cubard = Cubard("--memory", str(QUOTA))
        cls.addClassCleanup(cls.cubard.close)

    def setUp(self):
        self.cuda = Cuda(self)
        self.cuda.context()

    def good(self, *arguments):
        result = smi(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_what_is_used(self):
        block = self.cuda.allocate(48 * MIB)
        free, total = self.cuda.memory()
        told = json.loads(self.good("--json"))
        gpu, = told["gpus"]
        self.assertEqual((gpu["memory_total_bytes"], gpu["memory_free_bytes"]), (total, free))
        self.assertGreaterEqual(gpu["memory_used_bytes"], 48 * MIB)
        self.assertEqual([(process["pid"], process["memory_bytes"])
                          for process in gpu["processes"]],
                         [(os.getpid(), gpu["memory_used_bytes"])])
        self.assertIsNone(gpu["temperature_celsius"])
        table = self.good()
        self.assertIn(f"{gpu['memory_used_bytes'] // MIB} MiB of {QUOTA // MIB} MiB used", table)
        self.assertIn(str(os.getpid()), table)
        self.assertIn(gpu["uuid"], self.good("-L"))
        self.cuda.call("cuMemFree_v2", block)
        self.assertIn("\n%d MiB\n" % (gpu["memory_used_bytes"] // MIB - 48),
                      self.good("--query-gpu=memory.used", "--format=csv"))

    def test_query(self):
        self.assertEqual(self.good("--query-gpu=index,memory.total, power.draw", "--format=csv"),
                         "index, memory.total [MiB], power.draw [W]\n0, 1024 MiB, [N/A]\n")
        self.assertEqual(self.good("--query-gpu=memory.total,count",
                                   "--format=csv,noheader,nounits"), "1024, 1\n")
        fields = self.good("--help-query-gpu").split()
        line = self.good("--query-gpu=" + ",".join(fields), "--format=csv,noheader")
        self.assertEqual(line.count(", "), len(fields) - 1)

    def test_bash_completes(self):
        for words, wanted in (("--js", ["--json"]), ("--query-gpu = utilization.g", ["utilization.gpu"]),
                              ("--query-gpu = name,memory.t", ["name,memory.total"]),
                              ("--format = csv,nou", ["csv,nounits"])):
            script = (f"source {COMPLETION}; compopt() {{ :; }}; COMP_WORDS=(cubar-smi {words}); "
                      "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cubar_smi; echo \"${COMPREPLY[@]}\"")
            result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20,
                                    env=dict(os.environ, PATH=f"{os.path.dirname(SMI)}:{os.environ['PATH']}"))
            self.assertEqual(result.stdout.split(), wanted, result.stderr)

    def test_misuse(self):
        for arguments in (["--query-gpu=colour", "--format=csv"], ["--query-gpu=name"],
                          ["--format=csv"], ["--format=xml"], ["-q"]):
            result = smi(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertIn("cubar-smi: ", result.stderr)

    def test_no_device(self):
        result = smi(CUBAR_DEVICE="local:/nobody")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("cubar-doctor", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
