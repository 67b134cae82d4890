# SPDX-License-Identifier: Apache-2.0
"""Writes cubar/opcode.h and cubar/wire.h: what crosses the channel."""

from __future__ import annotations

from layout import Slot, reply_layout, request_layout
from model import HANDLES, SCALARS, Api, Call
from text import HEAD



def opcode_header(api: Api) -> str:
    lines = [HEAD + '#pragma once\n\n#include <cstdint>\n\nnamespace cubar {\n',
             '/// What a record asks for. Numbers are never reused.',
             'enum class Opcode : std::uint32_t {']
    lines += [f'    {call.name} = {call.opcode:#05x},' for call in api.travelling]
    lines += ['};\n', '}  // namespace cubar\n']
    return '\n'.join(lines)


def wire_header(api: Api) -> str:
    blocks = [HEAD + '#pragma once\n\n'
              '#include <cstddef>\n#include <cstdint>\n#include <type_traits>\n\n'
              '#include "cubar/handle.h"\n#include "cubar/opcode.h"\n\n'
              '// Fields are little-endian and lie at the offsets given; padding is zero. Where a\n'
              '// request counts payload_bytes, that many bytes follow it in the record.\n'
              'namespace cubar::wire {\n']
    blocks += [_call(api, call) for call in api.travelling]
    blocks.append('}  // namespace cubar::wire\n')
    return '\n'.join(blocks)


def _call(api: Api, call: Call) -> str:
    request, request_bytes = request_layout(api, call)
    reply, reply_bytes = reply_layout(api, call)
    lines = [f'/// {text}' for text in call.doc]
    if call.payload:
        lines.append(f'/// Payload: {call.payload}.')
    lines += [f'struct {call.name} {{',
              f'    static constexpr Opcode kOpcode = Opcode::{call.name};',
              f'    static constexpr const char* kName = "{call.name}";',
              f'    static constexpr bool kAnswers = {_bool(call.treatment == "sync")};',
              f'    static constexpr bool kOffload = {_bool(call.offload)};',
              f'    static constexpr bool kNeedsContext = {_bool(call.needs_context)};',
              f'    static constexpr bool kHasPayload = {_bool(bool(call.payload))};']
    lines += _struct('Request', request)
    lines += _struct('Reply', reply)
    lines.append('};')
    for name, size in (('Request', request_bytes), ('Reply', reply_bytes)):
        lines.append(f'static_assert(sizeof({call.name}::{name}) == {size} &&'
                     f' std::is_trivially_copyable_v<{call.name}::{name}>);')
    for name, slots in (('Request', request), ('Reply', reply)):
        for slot in slots:
            if slot.offset:
                lines.append(f'static_assert(offsetof({call.name}::{name}, {slot.field.name})'
                             f' == {slot.offset});')
    return '\n'.join(lines) + '\n'


def _struct(name: str, slots: list[Slot]) -> list[str]:
    return [f'    struct {name} {{', *[f'        {_field(slot)}' for slot in slots], '    };']


def _field(slot: Slot) -> str:
    item = slot.field
    note = f'  // {slot.offset}' + (f': {item.doc}' if item.doc else '')
    if not item.kind:
        return f'std::byte {item.name}[{slot.bytes}];{note}'
    if item.kind in SCALARS:
        declared = SCALARS[item.kind][0]
    elif item.kind in HANDLES:
        declared = HANDLES[item.kind][1]
    else:
        return f'std::byte {item.name}[{slot.bytes}];{note}: {item.kind}'
    return f'{declared} {item.name}{f"[{item.count}]" if item.count else ""};{note}'


def _bool(value: bool) -> str:
    return 'true' if value else 'false'
