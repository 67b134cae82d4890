# SPDX-License-Identifier: Apache-2.0
"""When two runs of one model are the same: what was chosen, and what it was chosen from."""

import math
from array import array
from dataclasses import dataclass

NMSE = 5e-4


@dataclass
class Sent:
    """What one token sent: records, those that wait for an answer, their bytes, records by opcode; and
    the bytes that were copied to and from the device, and those of answers."""

    records: int
    round_trips: int
    length: int
    opcodes: dict
    copied: int = 0
    answered: int = 0

    def bytes(self):
        return self.length + self.copied + self.answered


@dataclass
class Generated:
    """What a run of generate printed: its tokens with their places, the logits before each, and what
    was sent to the device for each, if that was counted."""

    places: list
    tokens: list
    logits: list
    seconds: dict
    offloaded: str
    sent: list


def sent(text):
    """Parses a line "sent", without that word."""
    _, _, records, round_trips, length, *opcodes = text.split()
    counts = dict(pair.split(":") for pair in opcodes)
    payload = {name: int(counts.pop(name, 0)) for name in ("copied", "answered")}
    by_opcode = {int(o, 16): int(n) for o, n in counts.items()}
    return Sent(int(records), int(round_trips), int(length), by_opcode, **payload)


def read(stdout, logits_path):
    """Parses a run's output. Raises ValueError if tokens and logits do not belong together."""
    places, tokens, seconds, offloaded, counted = [], [], {}, "", []
    for line in stdout.decode(errors="replace").splitlines():
        word, _, rest = line.partition(" ")
        if word == "token":
            *place, token = map(int, rest.split())
            places.append(tuple(place))
            tokens.append(token)
        elif word == "seconds":
            name, value = rest.split()
            seconds.setdefault(name, []).append(float(value))
        elif word == "sent":
            counted.append(sent(rest))
        elif word == "offloaded":
            offloaded = rest.split()[0]
    values = array("f", logits_path.read_bytes())
    if not tokens or len(values) % len(tokens):
        raise ValueError(f"{len(tokens)} tokens, but {len(values)} logits")
    width = len(values) // len(tokens)
    rows = [values[i:i + width] for i in range(0, len(values), width)]
    return Generated(places, tokens, rows, seconds, offloaded, counted)


def nmse(reference, other):
    """The error's energy by the reference's."""
    error = sum((a - b) ** 2 for a, b in zip(reference, other))
    return error / sum(a * a for a in reference)


def partings(reference, other):
    """Compares runs of which the second followed the first's tokens. Returns the places where they
    chose differently, the largest error, and what is wrong.

    The logits must agree at every place. Where the choices differ, the error must explain it: neither
    run may prefer its own by more than twice the root of what NMSE allows, for each of the two logits.
    """
    if reference.places != other.places:
        return [], math.inf, ["the runs generated at different places"]
    parted, worst, wrong = [], 0.0, []
    for place, a, b, mine, yours in zip(reference.places, reference.logits, other.logits,
                                        reference.tokens, other.tokens):
        error = nmse(a, b)
        # NaN is no number to compare with.
        if not error <= NMSE:
            wrong.append(f"NMSE {error:.1e} at {place}, with {mine} and {yours} chosen")
        worst = max(worst, error)
        if mine != yours:
            parted.append(place)
            allowed = 4 * math.sqrt(NMSE * sum(v * v for v in a) / len(a))
            if max(a[mine] - a[yours], b[yours] - b[mine]) > allowed:
                wrong.append(f"{mine} and {yours} at {place} differ by more than {allowed:.3g} in logits")
    return parted, worst, wrong
