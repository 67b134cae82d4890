# SPDX-License-Identifier: Apache-2.0
"""Compares opcodes with opcodes.lock: a number once given means the same for ever."""

from __future__ import annotations


def breaches(locked: list[str], described: list[str]) -> list[str]:
    """What is wrong, a sentence each. Lines are `OPCODE NAME SHAPE`; a locked one may begin with
    `retired`."""
    found = []
    retired = {line.split()[1] for line in locked if line.startswith('retired ')}
    was = {line.split()[0]: line.split() for line in locked if not line.startswith('retired ')}
    now = {line.split()[0]: line.split() for line in described}
    for opcode, (_, name, shape) in now.items():
        if opcode in retired:
            found.append(f'{opcode} is retired, and now {name}: take a free number')
        elif opcode not in was:
            found.append(f'{opcode} is new; add the line: {opcode} {name} {shape}')
        elif was[opcode][1] != name:
            found.append(f'{opcode} is {was[opcode][1]}, and now {name}: take a free number')
        elif was[opcode][2] != shape:
            found.append(f'{opcode} {name} has changed from {was[opcode][2]} to {shape}: '
                         'take a free number')
    for opcode, (_, name, _) in was.items():
        if opcode not in now:
            found.append(f'{opcode} {name} is gone; its line becomes: retired {opcode} {name} …')
    return found
