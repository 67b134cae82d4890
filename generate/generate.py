#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes one output from the API descriptions: generate.py WHAT OUTPUT DESCRIPTION..."""

from __future__ import annotations

import sys
from pathlib import Path

import emit_coverage
import emit_guest
import emit_host
import emit_symbols
import emit_thunks
import emit_wire
from model import ApiError
from parse import parse_files

OUTPUTS = {
    'opcode.h': emit_wire.opcode_header,
    'wire.h': emit_wire.wire_header,
    'driver_functions.h': emit_host.driver_functions,
    'dispatch.h': emit_host.dispatch_header,
    'host_dispatch.cpp': emit_host.dispatch_source,
    'guest_stubs.cpp': emit_guest.stubs,
    'guest_gaps.cpp': emit_guest.gaps,
    'guest_thunks.cpp': emit_thunks.guest_thunks,
    'guest_symbols.cpp': emit_symbols.guest_symbols,
    'libcuda.map': emit_symbols.export_list,
    'softgpu_gaps.cpp': emit_symbols.softgpu_gaps,
    'softgpu_symbols.cpp': emit_symbols.softgpu_symbols,
    'softgpu_thunks.cpp': emit_thunks.softgpu_thunks,
    'api_check.cpp': emit_symbols.check,
    'coverage.md': emit_coverage.coverage,
    'opcodes.lock': emit_coverage.opcode_lock,
    'refusals.txt': emit_coverage.refusals,
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
