#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps opcodes.lock, which says that a number once given means the same for ever.

lock.py               adds the lines of new opcodes; refuses whatever else differs
lock.py --unreleased  also replaces lines that no release has promised to anybody yet
"""

from __future__ import annotations

import sys
from pathlib import Path

HEADING = '''# SPDX-License-Identifier: Apache-2.0
# Opcode, name, and the fields of request and reply as TYPE@OFFSET. A test fails when a line no
# longer holds: a number keeps its meaning for ever. generate/README.md says how to add one.
'''


def content(text: str) -> list[str]:
    """The lines of a lock file, without its comments."""
    return [line for line in text.splitlines() if line and not line.startswith('#')]


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


def main(arguments: list[str]) -> int:
    if arguments not in ([], ['--unreleased']):
        print(__doc__, file=sys.stderr)
        return 2
    from emit_coverage import opcode_lock
    from parse import parse_files
    directory = Path(__file__).resolve().parent.parent / 'include/cubar/api'
    path = directory / 'opcodes.lock'
    locked = content(path.read_text(encoding='utf-8'))
    described = opcode_lock(parse_files(sorted(directory.glob('*.api')))).splitlines()
    retired = [line for line in locked if line.startswith('retired ')]
    if arguments:
        locked = retired
    wrong = [text for text in breaches(locked, described) if ' is new; ' not in text]
    if wrong:
        print('\n'.join(wrong), file=sys.stderr)
        return 1
    path.write_text(HEADING + '\n'.join([*described, *retired]) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
