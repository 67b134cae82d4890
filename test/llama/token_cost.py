# SPDX-License-Identifier: Apache-2.0
"""What one decoded token may send to the device once everything is warm."""

import re
import statistics

# The wait for the token, and a look at what its kernels printed: ggml's could.
WAITS = 2
WAIT = "cuStreamSynchronize"
# A token copies its inputs in and its logits out, launches one graph and waits for it. What else copies
# is not among them, because its bytes would not be counted.
NEEDED = re.compile(r"cuMemcpyAsync|copy_in|copy_out|copy_inline|cuEventRecord|cuStreamWaitEvent|"
                    r"cuStreamSynchronize|output")

# Of the models that model.cpp makes.
WIDTH = {"small": 256, "medium": 512}
HEAD = {"small": 64, "medium": 128}
VOCABULARY = 3 + 256 + 1 + 26
# The attention mask's columns: llama.cpp looks at so many cells of its cache at a time.
CELLS = 256
COPY_RECORD = 64
OTHER_RECORD = 48


def names(lock):
    """Opcodes and their names, from opcodes.lock."""
    return {int(number, 16): name for number, name in re.findall(r"^(0x\w+) (\w+)", lock, re.MULTILINE)}


def needed_bytes(case, waits):
    """Inputs, logits and parameters of one token of each sequence.

    llama.cpp looks the token up in its embedding on the CPU, so the inputs are the embedding (F32), the
    position, the places of its key and of its value in the cache (64 bits each), the number of the row
    whose logits are wanted, and a row of the mask (F16, as flash attention takes it). For a cache that is
    quantised it brings two matrices that rotate keys and values (F32), for all sequences. Parameters are
    what says where all that goes: a record for each input, one for the logits, one graph launch, one
    `output`, and the waits.
    """
    rotations = 2 if case.kv == "q8_0" else 0
    cells = -(-(case.prompt + case.tokens) // CELLS) * CELLS
    inputs = 4 * WIDTH[case.shape] + 4 + 8 + 8 + 4 + 2 * cells
    logits = 4 * VOCABULARY
    parameters = (7 + rotations) * COPY_RECORD + (2 + waits) * OTHER_RECORD
    return case.sequences * (inputs + logits) + rotations * 4 * HEAD[case.shape] ** 2 + parameters


def excess(sent, name_of, case):
    """What this token sent and should not have. Its waits are for excess_waits()."""
    wrong = []
    by_name = {name_of.get(opcode, hex(opcode)): count for opcode, count in sent.opcodes.items()}
    launches = by_name.pop("cuGraphLaunch", 0)
    if launches != 1:
        wrong.append(f"{launches} graph launches")
    wrong += [f"{count} {name}" for name, count in by_name.items() if not NEEDED.fullmatch(name)]
    waits = by_name.get(WAIT, 0)
    others = sent.round_trips - waits
    if others > WAITS - 1:
        wrong.append(f"{others} round trips that are no waits")
    needed = needed_bytes(case, waits)
    if not 0.9 * needed <= sent.bytes() <= 1.1 * needed:
        wrong.append(f"{sent.length} bytes of records, {sent.copied} copied and {sent.answered} of answers, "
                     f"where {needed} are needed")
    return wrong


def excess_waits(warm):
    """Complains if warm tokens take more round trips than they should.

    After each input ggml waits, and a wait whose fence is not seen within 1 ms is completed by the host.
    On a busy machine that happens to one wait or another: so it is the median token that must not.
    """
    median = statistics.median(sent.round_trips for sent in warm)
    return [f"the median of {len(warm)} warm tokens took {median} round trips"] if median > WAITS else []
