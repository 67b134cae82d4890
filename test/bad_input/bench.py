# SPDX-License-Identifier: Apache-2.0
"""What a case works with: programs whose device is named to them, and a cubard where they need one."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from host import Cubard

CAUSE_TO_ERROR = 2.0  # seconds from a cause to its error, as promised
LIMIT = 30.0  # for whatever has no promise; a hang ends so
CLIENT = Path(__file__).resolve().parent / "client.py"
# What would change an answer is left out of a program's environment.
DROPPED = ("LD_LIBRARY_PATH", "CUDA_", "CUBAR_")


class Failure(Exception):
    """What a case expected and did not find."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


class Program:
    """client.py as a process, with a log of its own."""

    def __init__(self, bench, device, number):
        self.log_path = bench.directory / f"program{number}.log"
        variables = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED)}
        variables |= {"LD_LIBRARY_PATH": str(bench.arguments.libcuda.parent), "CUBAR_LOG": str(self.log_path)}
        if device is not None:
            variables["CUBAR_DEVICE"] = device
        self.process = subprocess.Popen([sys.executable, str(CLIENT)], env=variables, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def send(self, command):
        self.process.stdin.write(command + "\n")

    def answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        expect(ready, "the program does not answer")
        line = self.process.stdout.readline()
        expect(line, f"the program has ended with {self.process.poll()}: {self.log()}")
        return json.loads(line)

    def ask(self, command):
        self.send(command)
        return self.answer()

    def succeed(self, command):
        answer = self.ask(command)
        expect(answer["error"] == "CUDA_SUCCESS", f"{command}: {answer}: {self.log()}")
        return answer

    def fail(self, command, *errors, log=""):
        """The command fails in time with one of these errors, and the log explains."""
        answer = self.ask(command)
        expect(answer["error"] in errors, f"{command}: {answer}, not one of {errors}: {self.log()}")
        expect(answer["seconds"] < CAUSE_TO_ERROR, f"{command}: the error took {answer['seconds']:.1f} s")
        expect(log in self.log(), f"{command}: the log does not say '{log}': {self.log()}")
        return answer

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def end(self):
        self.process.stdin.close()
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure("the program does not end") from None
        finally:
            self.process.stdout.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()


class Bench:
    def __init__(self, arguments, directory):
        self.arguments = arguments
        self.directory = directory
        self.cubard = None
        self.programs = []

    def serve(self, **settings):
        """Starts the case's cubard, with settings of --local."""
        options = {f"--{name}": value for name, value in settings.items()}
        self.cubard = Cubard(self.directory, self.arguments.cubard, self.arguments.softgpu, options)
        self.cubard.start()
        return self.cubard

    def program(self, device="served"):
        """A program on the case's cubard, or on a device of its own; None leaves it to find one."""
        device = self.cubard.device if device == "served" else device
        self.programs.append(Program(self, device, len(self.programs)))
        return self.programs[-1]

    def computing(self):
        """A program that has computed something."""
        program = self.program()
        program.succeed("begin")
        program.succeed(f"load {self.arguments.fatbin}")
        expect(program.succeed("compute")["right"], "a wrong result")
        return program

    def altered(self, name, data):
        path = self.directory / name
        path.write_bytes(data)
        return path

    def no_worker_stays(self):
        """Everybody's memory has come back with the last worker, which must be gone in time."""
        deadline = time.monotonic() + CAUSE_TO_ERROR
        while self.cubard.workers():
            expect(time.monotonic() < deadline, f"workers stay: {self.cubard.workers()}")
            os.sched_yield()

    def close(self):
        for program in self.programs:
            if program.process.poll() is None:
                program.kill()
        if self.cubard is not None:
            self.cubard.stop()
