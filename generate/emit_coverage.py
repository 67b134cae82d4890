# SPDX-License-Identifier: Apache-2.0
"""Writes docs/coverage.md, and what opcodes.lock and refusals.txt are compared with."""

from __future__ import annotations

from collections import Counter

from layout import reply_layout, request_layout
from model import Api, Call

_MEANING = {
    'local': 'answered in the guest',
    'async': 'one record, no answer',
    'sync': 'one record and its answer',
    'bespoke': 'hand-written, sends the records of others',
    'refused': 'never: returns CUDA_ERROR_NOT_SUPPORTED',
    'later': 'not yet remoted: returns CUDA_ERROR_NOT_SUPPORTED',
}


def coverage(api: Api) -> str:
    """A table of every exported symbol."""
    rows = sorted((symbol, call) for call in api.functions for symbol, _, _ in call.symbols)
    counts = Counter(call.treatment for _, call in rows)
    lines = ['<!-- SPDX-License-Identifier: Apache-2.0 -->', '# Coverage of the driver API', '',
             'Written by `generate/` from `include/cubar/api`; a test keeps it current.', '',
             '| treatment | symbols | meaning |', '|---|---|---|']
    lines += [f'| {treatment} | {counts[treatment]} | {meaning} |'
              for treatment, meaning in _MEANING.items()]
    lines += [f'| all | {len(rows)} | what the stub of CUDA Toolkit 13.0 exports |', '',
              'What is refused or not yet remoted is not found by cuGetProcAddress.', '',
              '| symbol | subject | treatment | opcode | host |', '|---|---|---|---|---|']
    for symbol, call in rows:
        opcode = f'{call.opcode:#05x}' if call.travels else ''
        execution = ('offload' if call.offload else 'inline') if call.travels else ''
        lines.append(f'| {symbol} | {call.subject} | {call.treatment} | {opcode} | {execution} |')
    records = [c for c in api.travelling if c.internal]
    if records:
        lines += ['', 'Records of cubar\'s own:', '', '| record | treatment | opcode | host |',
                  '|---|---|---|---|']
        lines += [f'| {c.name} | {c.treatment} | {c.opcode:#05x} | '
                  f'{"offload" if c.offload else "inline"} |' for c in records]
    return '\n'.join(lines) + '\n'


def refusals(api: Api) -> str:
    """The names that refusals.txt has to permit."""
    return ''.join(f'{c.name}\n' for c in sorted(api.functions, key=lambda c: c.name)
                   if c.treatment == 'refused')


def opcode_lock(api: Api) -> str:
    """One line for each opcode: number, name, and a word for the shape of what crosses."""
    return ''.join(f'{c.opcode:#05x} {c.name} {shape(api, c)}\n' for c in api.travelling)


def shape(api: Api, call: Call) -> str:
    """The request's and the reply's fields as types at offsets: it is the same while both sides
    read the same bytes in the same way."""
    def spell(slots) -> str:
        return ','.join(f'{s.field.kind}{f"[{s.field.count}]" if s.field.count else ""}@{s.offset}'
                        for s in slots if s.field.kind) or '-'
    answer = spell(reply_layout(api, call)[0]) if call.treatment == 'sync' else '-'
    return f'{spell(request_layout(api, call)[0])}>{answer}'
