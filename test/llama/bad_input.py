#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a prebuilt llama.cpp: a model that does not fit, a client that is killed, a
second client, a full quota, NVIDIA's cuBLAS on a software GPU. Prints TAP.

Each case runs on a cubard of its own: this program starts cubar-run, which starts it again with the
case's name, and llama.cpp then is a child of the second. test/vm/generation.py kills llama.cpp in a
guest, and restarts cubard between two requests.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "test" / "conformance"), str(ROOT / "scripts")]

import llama  # noqa: E402
from case import Case  # noqa: E402
from check import QUIET, command_line  # noqa: E402
from program import environment  # noqa: E402

LIMIT = 120
CAUSE_TO_ERROR = 2
HOME = ROOT / "build" / "llama"


class Failure(Exception):
    """A case failed; the text says how."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


class Memory:
    """The device's free memory, as this process, a client of the same cubard, is told."""

    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        context = ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        self.whole = self.free()

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        expect(result == 0, f"{name} returned {result}")

    def free(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def await_whole(self):
        deadline = time.monotonic() + CAUSE_TO_ERROR
        while (free := self.free()) != self.whole:
            expect(time.monotonic() < deadline,
                   f"{self.whole - free} bytes were not free {CAUSE_TO_ERROR} s later")


class Client:
    """One llama.cpp."""

    def __init__(self, shape="small", quantisation="Q4_0", tokens=12, requests=1):
        case = Case("", quantisation, shape=shape, tokens=tokens, requests=requests)
        self.process = subprocess.Popen(command_line(case, HOME, "cuda", "/dev/null"), env=os.environ | QUIET,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.tokens = []

    def read_until(self, count):
        """Reads up to so many tokens; fewer if it ends."""
        for line in self.process.stdout:
            if line.startswith("token "):
                self.tokens.append(line)
                if len(self.tokens) == count:
                    return

    def end(self):
        """Its exit code, and what it complained of."""
        self.read_until(-1)
        errors = self.process.stderr.read()
        return self.process.wait(LIMIT), errors

    def generated(self):
        """All its tokens; it must have ended well."""
        code, errors = self.end()
        expect(code == 0, f"a client ended with {code}: {errors[-600:]}")
        return self.tokens


def model_does_not_fit(memory):
    """19 MB of weights; llama.cpp says so itself."""
    code, errors = Client("medium", "F16").end()
    expect(code == 1, f"it ended with {code}")
    for said in ("cudaMalloc failed: out of memory", "error loading model", "see above"):
        expect(said in errors, f"'{said}' is not in: {errors}")
    memory.await_whole()


def killed_in_mid_generation(memory):
    client = Client("medium", tokens=200)
    client.read_until(4)
    expect(memory.free() < memory.whole, "the model takes no memory")
    client.process.kill()
    expect(client.process.wait(LIMIT) == -9, "it ended before it was killed")
    memory.await_whole()
    expect(len(Client().generated()) == 12, "the next client is disturbed")


def second_client(_):
    """Two at once, each with the tokens that it has alone."""
    alone = [Client().generated(), Client("medium", "Q4_K_M").generated()]
    clients = [Client(), Client("medium", "Q4_K_M")]
    expect([client.generated() for client in clients] == alone, "together they say other tokens than alone")


def quota_reached_by_the_second(memory):
    # Takes longer than another client takes to fail.
    first = Client("medium", tokens=100, requests=8)
    first.read_until(4)
    code, errors = Client("medium", "F16").end()
    expect(code == 1 and "out of memory" in errors, f"the second ended with {code}: {errors}")
    expect(first.process.poll() is None, "the first ended before the second did")
    expect(len(first.generated()) == 800, "the first was disturbed")
    memory.await_whole()


def genuine_cublas(memory):
    """Weights in F16 need cuBLAS, and NVIDIA's has no code that a software GPU could execute."""
    code, errors = Client("small", "F16").end()
    expect(code != 0, "a software GPU executed NVIDIA's cuBLAS")
    for said in ("cublasCreate", " ERROR ", "a fatbin without PTX for this device: the software GPU "
                 "executes PTX alone; build it with PTX", "or use an NVIDIA GPU"):
        expect(said in errors, f"'{said}' is not in: {errors}")
    memory.await_whole()


# With the memory that cubar-run is given for it.
CASES = {
    model_does_not_fit: "16MiB",
    killed_in_mid_generation: "1GiB",
    second_client: "1GiB",
    quota_reached_by_the_second: "40MiB",
    genuine_cublas: "1GiB",
}


def inside(name):
    case = next(case for case in CASES if case.__name__ == name)
    try:
        case(Memory())
    except Failure as failure:
        print(failure)
        return 1
    return 0


def outside(cubar_run, cuda_libraries):
    try:
        llama.prepare()
    except llama.Failed as error:
        print(f"Bail out! {error}")
        return 1
    print(f"1..{len(CASES)}")
    failed = 0
    for number, (case, memory) in enumerate(CASES.items(), 1):
        done = subprocess.run(
            [cubar_run, "--gpu", "soft", "--memory", memory, sys.executable, __file__, "--inside", case.__name__],
            env=environment(cuda_libraries), capture_output=True, text=True, timeout=LIMIT, check=False)
        failed += done.returncode != 0
        print(f"{'not ok' if done.returncode else 'ok'} {number} - {case.__name__}")
        for line in (done.stdout + done.stderr).splitlines() if done.returncode else ():
            print(f"# {line}")
        sys.stdout.flush()
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cubar-run")
    parser.add_argument("--cuda-libraries", default="/usr/local/cuda/lib64",
                        help="directory of cudart and cuBLAS")
    parser.add_argument("--inside", help="under cubar-run: the case to run")
    options = parser.parse_args()
    if options.inside:
        return inside(options.inside)
    return outside(options.cubar_run, options.cuda_libraries)


if __name__ == "__main__":
    sys.exit(main())
