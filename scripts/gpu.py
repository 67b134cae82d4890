#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the conformance programs natively and through cubar on this machine's GPU.

With --gpu soft the same happens on the software GPU, so that the command itself can be tried
anywhere.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from build import ROOT


def conformance_programs(build):
    targets = json.loads((build / "meson-info" / "intro-targets.json").read_text(encoding="utf-8"))
    return sorted(target["filename"][0] for target in targets
                  if target["name"].startswith("conformance-") and target["name"] != "conformance-broken")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--gpu", choices=("nvidia", "soft"), default="nvidia")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text(encoding="utf-8"))
    cuda = next(option["value"] for option in options if option["name"] == "cuda")
    library = str(build / "softgpu") if arguments.gpu == "soft" else ""
    wrapper = f"{build / 'host' / 'cubar-run' / 'cubar-run'} --gpu {arguments.gpu}"
    return subprocess.run(
        [sys.executable, ROOT / "test" / "conformance" / "run.py", "--library", library,
         "--cuda-libraries", f"{cuda}/lib64", "--wrapper", wrapper, *conformance_programs(build)],
        check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
