# SPDX-License-Identifier: Apache-2.0
"""What one decoded token may send to the device once everything is warm."""

import re

ROUND_TRIPS = 2
# Records only: what they copy lies in pinned memory or in the arena. A warm token takes 592, with two
# sequences 720, and 48 more for each wait that the host completed.
BYTES = 1536
# A wait whose fence is not seen within 0.2 ms is completed by the host. How many are depends on the
# machine's load, up to the copies of inputs, after each of which ggml waits.
WAIT = "cuStreamSynchronize"
# A token copies its inputs in and its logits out, launches one graph and waits for it. `output` asks
# what kernels printed, after a wait.
NEEDED = re.compile(r"cuMemcpy\w+|cuMemset\w+Async|cuEventRecord|cuStreamWaitEvent|cuStreamSynchronize|output")


def names(lock):
    """Opcodes and their names, from opcodes.lock."""
    return {int(number, 16): name for number, name in re.findall(r"^(0x\w+) (\w+)", lock, re.MULTILINE)}


def excess(sent, name_of):
    """What this token sent and should not have."""
    wrong = []
    by_name = {name_of.get(opcode, hex(opcode)): count for opcode, count in sent.opcodes.items()}
    launches = by_name.pop("cuGraphLaunch", 0)
    if launches != 1:
        wrong.append(f"{launches} graph launches")
    wrong += [f"{count} {name}" for name, count in by_name.items() if not NEEDED.fullmatch(name)]
    others = sent.round_trips - by_name.get(WAIT, 0)
    if others > ROUND_TRIPS:
        wrong.append(f"{others} round trips that are no waits")
    if sent.length > BYTES:
        wrong.append(f"{sent.length} bytes of records")
    return wrong
