#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the path of one call through the source: where.py SYMBOL

From its description through the guest library, the transport and the worker to the software GPU,
one line for each station: what it is, file:line, and the name that is defined there.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from model import Api, ApiError, Call, base_name
from parse import parse_files

# How a record travels: the file, and what to find in it.
_TRANSPORT = {
    'sync': [('transport/channel.cpp', r'\bChannel::call\('),
             ('transport/ring_producer.h', r'\bpost\('),
             ('transport/ring_consumer.cpp', r'\bRingConsumer::next\('),
             ('transport/reply.cpp', r'\bReplySlots::Slot::wait\(')],
    'async': [('transport/ring_producer.h', r'\bpost\('),
              ('transport/ring_consumer.cpp', r'\bRingConsumer::next\(')],
}
# Records that speak of bytes in the arena, which another function has put there or fetches.
_BULK = {
    'copy_in': [('transport/bulk_copy.cpp', r'\bbulk_write\(')],
    'copy_out': [('transport/bulk_copy.cpp', r'\bbulk_read\(')],
    'copy_3d': [('transport/bulk_copy.cpp', r'\bbulk_write\('),
                ('transport/bulk_copy.cpp', r'\bbulk_read\(')],
    'copy_array': [('transport/bulk_copy.cpp', r'\bbulk_write\('),
                   ('transport/bulk_copy.cpp', r'\bbulk_read\(')],
    'image_part': [('transport/bulk_copy.cpp', r'\bbulk_write\(')],
}
_DRIVER_CALL = re.compile(r'\bdriver(?:_|\(\))?(?:\.|->)(cu[A-Z]\w*)')


@dataclass(frozen=True)
class Station:
    """One line of the answer."""
    side: str
    place: str
    name: str


@dataclass(frozen=True)
class Definition:
    path: Path
    line: int
    body: str


def _body(lines: list[str], start: int) -> str:
    """The definition that begins at a line, to its last brace; '' for a mere declaration."""
    opened = False
    for at in range(start, len(lines)):
        opened = opened or '{' in lines[at]
        if not opened and lines[at].endswith(';'):
            return ''
        if opened and (lines[at].startswith('}') or at == start and lines[at].endswith('}')):
            return '\n'.join(lines[start:at + 1])
    return ''


class Source:
    """The tree that is searched."""

    def __init__(self, root: Path):
        self.root = root
        self.definitions = cache(self._definitions)
        self.lines = cache(lambda path: path.read_text(encoding='utf-8').splitlines())

    def _definitions(self, directory: str) -> dict[str, Definition]:
        """The functions that the C++ files of a directory define at the start of a line."""
        found: dict[str, Definition] = {}
        for path in sorted((self.root / directory).rglob('*.cpp')):
            lines = self.lines(path)
            for index, line in enumerate(lines):
                match = re.match(r'[A-Za-z_][^;=({]*?\b(\w+)\(', line)
                body = _body(lines, index) if match else ''
                if body:
                    found.setdefault(match[1], Definition(path, index + 1, body))
        return found

    def place(self, path: Path, line: int) -> str:
        return f'{path.relative_to(self.root)}:{line}'

    def search(self, file: str, pattern: str) -> str:
        path = self.root / file
        if path.is_file():
            for number, line in enumerate(self.lines(path), 1):
                if re.search(pattern, line):
                    return self.place(path, number)
        return ''


def resolve(api: Api, symbol: str) -> Call | None:
    """The call that a name means: that very ABI, or for a name without _v2 the newest one."""
    plain = re.sub(r'_pt[sd][sz]$', '', symbol)
    exact = api.find(plain)
    ages = [call for call in api.functions if base_name(call.name) == plain]
    if plain != base_name(plain) or not ages:
        return exact
    return max(ages, key=lambda call: call.since)


def path_of(source: Source, api: Api, call: Call, symbol: str) -> list[Station]:
    """The stations of a call, in its own order."""
    where = str(call.where)
    stations = [Station('described', where, _treatment(call))]
    if not call.there:
        return stations
    if symbol.endswith(('_ptsz', '_ptds')):
        stations.append(Station('guest', f'generated from {call.where.path}', symbol))
    if not call.internal:
        stations.append(_guest(source, call))
    travelling = [call] if call.travels else [api.find(name) for name in call.via]
    for record in travelling:
        if record is not call:
            stations.append(Station('sends', str(record.where), _treatment(record)))
        stations += _crossing(source, record)
        stations += _host(source, api, record)
    return stations


def _treatment(call: Call) -> str:
    text = f'{call.name}: {call.treatment}'
    if call.travels:
        text += f' {call.opcode:#05x}, {"offload" if call.offload else "inline"}'
    if call.via:
        text += ' via ' + ', '.join(call.via)
    return text + (f' ({call.reason})' if call.reason else '')


def _defined(source: Source, side: str, directory: str, names: list[str]) -> Station:
    definitions = source.definitions(directory)
    for name in names:
        if name in definitions:
            found = definitions[name]
            return Station(side, source.place(found.path, found.line), name)
    return Station(side, 'not found', names[0])


def _guest(source: Source, call: Call) -> Station:
    if call.generated:
        return Station('guest', f'generated from {call.where.path}', call.name)
    return _defined(source, 'guest', 'libcuda', _spellings(call))


def _spellings(call: Call) -> list[str]:
    """What the hand-written function is called: see emit_thunks.py."""
    return [f'body_{call.name}', call.name] if call.ptds else [call.name]


def _crossing(source: Source, record: Call) -> list[Station]:
    steps = _BULK.get(record.name, []) + _TRANSPORT[record.treatment]
    return [Station('transport', source.search(file, pattern) or 'not found',
                    re.sub(r'\\b|\\\($', '', pattern)) for file, pattern in steps]


def _host(source: Source, api: Api, record: Call) -> list[Station]:
    """The handler, and what of the driver it calls, as softgpu has it."""
    if not record.host_bespoke:
        called = [record.name]
        stations = [Station('host', f'generated from {record.where.path}', f'plain_{record.name}')]
    else:
        handler = f'handle_{record.name}'
        stations = [_defined(source, 'host', 'host/worker', [handler])]
        found = source.definitions('host/worker').get(handler)
        called = list(dict.fromkeys(_DRIVER_CALL.findall(found.body))) if found else []
    driver = [api.find(name) for name in called]
    return stations + [_defined(source, 'softgpu', 'softgpu/api', _spellings(call))
                       for call in driver if call]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print('usage: where.py SYMBOL', file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent.parent
    try:
        api = parse_files([p.relative_to(Path.cwd()) if p.is_relative_to(Path.cwd()) else p
                           for p in sorted((root / 'include/cubar/api').glob('*.api'))])
    except (ApiError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    call = resolve(api, arguments[0])
    if call is None:
        print(f'error: no function of the driver API is called {arguments[0]}', file=sys.stderr)
        return 1
    source = Source(root)
    for station in path_of(source, api, call, arguments[0]):
        print(f'{station.side:10} {station.place:44} {station.name}'.rstrip())
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
