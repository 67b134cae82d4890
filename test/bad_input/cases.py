# SPDX-License-Identifier: Apache-2.0
"""The cases. Each gets the bench and raises on failure."""

import os
import signal
import threading
import time

from bench import CAUSE_TO_ERROR, expect
from host import MIB, FalseDevice, header

LOST = ("CUDA_ERROR_DEVICE_UNAVAILABLE",)


# --- the device ----------------------------------------------------------------------------------

def no_device_at_all(bench):
    program = bench.program(device=None)
    program.fail("begin", "CUDA_ERROR_NO_DEVICE", log="no PCI device with id 1af4:1110")
    expect(program.end() == 0, "the program did not go on")


def false_device(bench, error, log, **fields):
    device = FalseDevice(bench.directory, header(**fields))
    greeter = threading.Thread(target=device.greet)
    greeter.start()
    try:
        program = bench.program(device.device)
        program.fail("begin", error, log=log)
        expect(program.end() == 0, "the program did not go on")
    finally:
        greeter.join()
        device.close()


def another_layout_version(bench):
    false_device(bench, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "install the matching package", layout=2)


def another_magic(bench):
    false_device(bench, "CUDA_ERROR_NO_DEVICE", "does not begin with cubar's magic", magic=b"IVSHMEM?")


def memory_too_small(bench):
    false_device(bench, "CUDA_ERROR_NO_DEVICE", "give the device the size that cubard is configured for",
                 bar=1 << 30)


def cubard_stopping(bench):
    false_device(bench, "CUDA_ERROR_NO_DEVICE", "cubard is stopping", state=2)


# --- cubard --------------------------------------------------------------------------------------

def cubard_absent(bench):
    program = bench.program(f"local:{bench.directory}/nobody")
    program.fail("begin", "CUDA_ERROR_NO_DEVICE", log="is cubard running?")


def memory_that_nobody_serves(bench):
    """The device is there, as QEMU keeps it, and no cubard answers a claim."""
    device = FalseDevice(bench.directory, header())
    greeter = threading.Thread(target=device.greet)
    greeter.start()
    try:
        os.pwrite(device.memory, (13000).to_bytes(4, "little") + (1).to_bytes(4, "little"), 4096)
        program = bench.program(device.device)
        program.fail("begin", *LOST, log="is cubard running?")
    finally:
        greeter.join()
        device.close()


def cubard_killed(bench):
    cubard = bench.serve()
    waiting, idle = bench.computing(), bench.computing()
    waiting.send("hang")
    expect(waiting.answer() == {"hangs": True}, "no kernel hangs")
    begin = time.monotonic()
    cubard.kill()
    for answer in (waiting.answer(), idle.ask("compute")):
        expect(answer["error"] in LOST, f"{answer}")
    expect(time.monotonic() - begin < CAUSE_TO_ERROR, "the errors took too long")
    for program in (waiting, idle):
        expect("the host ended the session" in program.log(), f"the log does not explain: {program.log()}")
        expect(program.end() == 0, "the program did not go on")
    (bench.directory / "socket").unlink()
    cubard.start()
    bench.computing()


def worker_killed(bench):
    cubard = bench.serve(memory="64 MiB")
    survivor = bench.computing()
    before = survivor.succeed(f"alloc {MIB}")["free"]
    others = set(cubard.workers())
    victim = bench.computing()
    victim.succeed(f"alloc {32 * MIB}")
    victim.send("hang")
    expect(victim.answer() == {"hangs": True}, "no kernel hangs")
    (worker,) = set(cubard.workers()) - others
    begin = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    answer = victim.answer()
    expect(answer["error"] in LOST, f"{answer}")
    expect(time.monotonic() - begin < CAUSE_TO_ERROR, "the error took too long")
    expect("the host ended the session" in victim.log(), f"the log does not explain: {victim.log()}")
    victim.fail("compute", *LOST)
    # Its memory has come back, the other session goes on, and a new one can begin.
    free = survivor.succeed(f"alloc {MIB}")["free"]
    expect(free >= before - 2 * MIB, f"{before} bytes were free, now {free}")
    expect(survivor.succeed("compute")["right"], "the survivor is disturbed")
    bench.computing()


def worker_stopped(bench):
    """A worker that the kernel does not run any more: the host fell silent."""
    cubard = bench.serve()
    program = bench.computing()
    (worker,) = cubard.workers()
    os.kill(worker, signal.SIGSTOP)
    program.fail("compute", *LOST, log="the host fell silent")
    program.fail("compute", *LOST)
    expect(program.end() == 0, "the program did not go on")
    bench.no_worker_stays()


# --- what is shared ------------------------------------------------------------------------------

def all_channels_taken(bench):
    bench.serve(channels="1")
    holder = bench.computing()
    bench.program().fail("begin", *LOST, log="1 channels, 1 in use")
    expect(holder.end() == 0, "the holder did not end")
    bench.computing()


def all_sessions_taken(bench):
    bench.serve(sessions="2")
    holders = [bench.computing(), bench.computing()]
    bench.program().fail("begin", *LOST, log="no more sessions for this VM")
    holders[0].kill()  # without a word of its own
    bench.computing()


def device_memory_exhausted(bench):
    """The GPU is full: softgpu has as much memory as it is told."""
    os.environ["CUBAR_SOFTGPU_MEMORY"] = str(64 * MIB)
    try:
        bench.serve()
    finally:
        del os.environ["CUBAR_SOFTGPU_MEMORY"]
    program = bench.computing()
    memory_full(program)
    expect(program.end() == 0, "the program did not end")
    bench.no_worker_stays()


def quota_full(bench):
    """The VM's quota is, though the GPU is not: also by what another program holds."""
    bench.serve(memory="64 MiB")
    holder, program = bench.computing(), bench.computing()
    memory_full(program)
    holder.succeed(f"alloc {48 * MIB}")
    program.fail(f"alloc {32 * MIB}", "CUDA_ERROR_OUT_OF_MEMORY", log="device memory")
    holder.kill()
    deadline = time.monotonic() + CAUSE_TO_ERROR
    while program.ask(f"alloc {32 * MIB}")["error"] != "CUDA_SUCCESS":
        expect(time.monotonic() < deadline, "what a killed program held does not come back")
    ptx = bench.arguments.ptx.read_text(encoding="utf-8")
    large = ptx.replace(".address_size 64", f".address_size 64\n.global .b8 large[{128 * MIB}];", 1)
    program.fail(f"load {bench.altered('large.ptx', text_of([large]))}", "CUDA_ERROR_OUT_OF_MEMORY",
                 log="raise the quota on the host")


def memory_full(program):
    program.fail(f"alloc {1 << 50}", "CUDA_ERROR_OUT_OF_MEMORY", log="device memory")
    for _ in range(3):  # and again after it was freed: nothing leaks
        taken = 0
        while (answer := program.ask(f"alloc {8 * MIB}"))["error"] == "CUDA_SUCCESS":
            taken += 8 * MIB
        expect(answer["error"] == "CUDA_ERROR_OUT_OF_MEMORY", f"{answer}")
        expect(48 * MIB <= taken <= 64 * MIB, f"{taken} bytes could be had")
        program.succeed("release")
        expect(program.succeed("compute")["right"], "a wrong result")


def arena_exhausted(bench):
    bench.serve()
    program = bench.computing()
    program.fail(f"pin {1 << 40}", "CUDA_ERROR_OUT_OF_MEMORY", log="give the virtual machine a larger BAR")
    for _ in range(3):
        taken = 0
        while (answer := program.ask(f"pin {4 * MIB}"))["error"] == "CUDA_SUCCESS":
            taken += 4 * MIB
        expect(answer["error"] == "CUDA_ERROR_OUT_OF_MEMORY", f"{answer}")
        expect(32 * MIB <= taken <= 64 * MIB, f"{taken} bytes could be had")
        expect(program.succeed("compute")["right"], "a wrong result")
        program.succeed("release")
    # What another program may lease then is as much as before.
    other = bench.computing()
    other.succeed(f"pin {16 * MIB}")


# --- images --------------------------------------------------------------------------------------

BAD_IMAGE = ("CUDA_ERROR_INVALID_IMAGE", "CUDA_ERROR_INVALID_PTX", "CUDA_ERROR_NO_BINARY_FOR_GPU",
             "CUDA_ERROR_UNSUPPORTED_PTX_VERSION")


def shortened(data):
    """Every way of cutting an image off is too many; these are spread over it and its headers."""
    steps = {1, 4, 8, 15, 16, 17, 24, 40, 63, 64, 65, 80, 100, 128, len(data) - 1, len(data) - 4}
    steps |= {len(data) * k // 16 for k in range(1, 16)}
    return sorted(step for step in steps if 0 < step < len(data))


def bad_images(bench, path, broken):
    """`broken`: (name, bytes) of images that cannot be loaded."""
    bench.serve()
    program = bench.computing()
    for name, data in broken:
        program.fail(f"load {bench.altered(name, data)}", *BAD_IMAGE, log="image")
    program.succeed(f"load {bench.arguments.fatbin}")
    expect(program.succeed("compute")["right"], "a wrong result")
    expect(len(bench.cubard.workers()) == 1, "the worker did not live through it")
    expect(path.stat().st_size > 0, "there was nothing to break")


def truncated_fatbin(bench):
    path = bench.arguments.fatbin
    data = path.read_bytes()
    bad_images(bench, path, [(f"cut{at}", data[:at]) for at in shortened(data)])


def corrupt_fatbin(bench):
    """Its headers, where each field lies; the code in it is compressed and says so itself."""
    path = bench.arguments.fatbin
    data = path.read_bytes()
    altered = []
    for name, at, value in (("magic", 0, b"\0\0\0\0"), ("version", 4, b"\xff\xff"), ("header bytes", 6, b"\xff\xff"),
                            ("length", 8, b"\xff" * 8), ("kind", 16, b"\x77\x77"),
                            ("entry header bytes", 20, b"\xff" * 4), ("entry length", 24, b"\xff" * 8)):
        altered.append((name.replace(" ", "-"), data[:at] + value + data[at + len(value):]))
    altered += [(f"zeros{at}", data[:at] + bytes(len(data) - at)) for at in (64, 96, len(data) // 2)]
    bad_images(bench, path, altered)


def truncated_cubin(bench):
    path = bench.arguments.cubin
    data = path.read_bytes()
    bad_images(bench, path, [(f"cut{at}", data[:at]) for at in shortened(data)])


def corrupt_cubin(bench):
    path = bench.arguments.cubin
    data = path.read_bytes()
    altered = [(f"at{at}", data[:at] + b"\xff" * 8 + data[at + 8:]) for at in (0, 32, 40, 52, 58)]
    bad_images(bench, path, altered)


END = b"\0"


def text_of(lines):
    return "\n".join(lines).encode() + END


def corrupt_ptx(bench):
    """The JIT's log names the line and the reason."""
    bench.serve()
    program = bench.computing()
    lines = bench.arguments.ptx.read_text(encoding="utf-8").split("\n")
    body = next(number for number, line in enumerate(lines) if line.startswith("{"))
    for name, bad in (("unknown", "\tno.such.instruction %r1, %r2;"), ("operand", "\tadd.u32 %r1, %r2;"),
                      ("character", "\t`")):
        path = bench.altered(f"{name}.ptx", text_of([*lines[:body + 1], bad, *lines[body + 1:]]))
        answer = program.fail(f"load {path}", "CUDA_ERROR_INVALID_PTX", log=f"line {body + 2}")
        expect(f"line {body + 2}" in answer["log"], f"the JIT's log names no line: {answer['log']}")
        reason = answer["log"].split(f"line {body + 2}", 1)[1]
        expect(len(reason) > 10, f"the JIT's log gives no reason: {answer['log']}")
    whole = text_of(lines)
    for at in (10, whole.index(b"{") + 1, len(whole) * 3 // 4):
        program.fail(f"load {bench.altered(f'cut{at}.ptx', whole[:at] + END)}", *BAD_IMAGE, log="image")
    program.succeed(f"load {bench.altered('whole.ptx', text_of(lines))}")
    expect(program.succeed("compute")["right"], "a wrong result")


def no_such_kernel(bench):
    bench.serve()
    program = bench.computing()
    program.fail("function nobody", "CUDA_ERROR_NOT_FOUND", log="nobody")
    program.fail(f"function {'n' * 5000}", "CUDA_ERROR_NOT_FOUND")
    program.fail(f"load {bench.arguments.cubin}", *BAD_IMAGE)  # for another GPU than softgpu is
    program.succeed(f"load {bench.arguments.fatbin}")
    expect(program.succeed("compute")["right"], "a wrong result")


ALL = (
    no_device_at_all,
    another_layout_version,
    another_magic,
    memory_too_small,
    cubard_stopping,
    cubard_absent,
    memory_that_nobody_serves,
    cubard_killed,
    worker_killed,
    worker_stopped,
    all_channels_taken,
    all_sessions_taken,
    device_memory_exhausted,
    quota_full,
    arena_exhausted,
    truncated_fatbin,
    corrupt_fatbin,
    truncated_cubin,
    corrupt_cubin,
    corrupt_ptx,
    no_such_kernel,
)
