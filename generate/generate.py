#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes one output from the API descriptions: generate.py WHAT OUTPUT DESCRIPTION..."""

from __future__ import annotations

import sys
from pathlib import Path

import emit_wire
from model import ApiError
from parse import parse_files

OUTPUTS = {
    'opcode.h': emit_wire.opcode_header,
    'wire.h': emit_wire.wire_header,
}


def main(arguments: list[str]) -> int:
    if len(arguments) < 3 or arguments[0] not in OUTPUTS:
        print(f'usage: generate.py {"|".join(OUTPUTS)} OUTPUT DESCRIPTION...', file=sys.stderr)
        return 2
    what, output, *descriptions = arguments
    try:
        text = OUTPUTS[what](parse_files([Path(d) for d in descriptions]))
    except (ApiError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    Path(output).write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
