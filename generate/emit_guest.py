# SPDX-License-Identifier: Apache-2.0
"""Writes the guest library's exported functions that need no hand: plain calls, and the absent."""

from __future__ import annotations

from model import HANDLES, Api, Call, Field, Parameter
from text import CUDA, EXPORT, HEAD, parameter_list


def stubs(api: Api) -> str:
    lines = [HEAD + CUDA + '\n#include <cstdint>\n#include <cstring>\n\n'
             '#include "cubar/wire.h"\n#include "libcuda/call.h"\n\n'
             'namespace guest = cubar::guest;\nnamespace wire = cubar::wire;\n']
    lines += [_stub(api, call) for call in api.functions if call.generated]
    return '\n'.join(lines)


def _stub(api: Api, call: Call) -> str:
    parameters = {p.name: p for p in call.parameters}
    pointers = [p.name for p in call.parameters if p.direction in ('in', 'out')]
    body = []
    if pointers:
        test = ' || '.join(f'{name} == nullptr' for name in pointers)
        body.append(f'if ({test}) return CUDA_ERROR_INVALID_VALUE;')
    body.append(f'wire::{call.name}::Request request{{}};')
    for item in call.request:
        body += _fill(api, parameters[item.name], item)
    if call.treatment == 'async':
        body += ['cubar::StreamHandle stream;',
                 f'if (const CUresult bad = guest::handle_of({call.stream.name}, stream);'
                 f' bad != CUDA_SUCCESS) return bad;',
                 f'return guest::post<wire::{call.name}>(stream, request);']
    else:
        body.append(f'wire::{call.name}::Reply reply{{}};')
        send = f'guest::call<wire::{call.name}>(request, reply)'
        if call.reply:
            body.append(f'const CUresult result = {send};')
            body.append('if (result != CUDA_SUCCESS) return result;')
            body += [_give(api, parameters[item.name], item) for item in call.reply]
            body.append('return CUDA_SUCCESS;')
        else:
            body.append(f'return {send};')
    text = '\n'.join('    ' + line for line in body)
    return f'{EXPORT} {call.name}({parameter_list(call)}) {{\n{text}\n}}\n'


def _fill(api: Api, parameter: Parameter, item: Field) -> list[str]:
    name = parameter.name
    if item.kind in api.structs:
        return [f'std::memcpy(request.{name}, {name}, sizeof request.{name});']
    if item.kind in HANDLES or item.kind == 'device':
        check = 'device_of' if item.kind == 'device' else 'handle_of'
        return [f'if (const CUresult bad = guest::{check}({name}, request.{name});'
                f' bad != CUDA_SUCCESS) return bad;']
    return [f'request.{name} = static_cast<decltype(request.{name})>({name});']


def _give(api: Api, parameter: Parameter, item: Field) -> str:
    name = parameter.name
    if item.kind in api.structs:
        return f'std::memcpy({name}, reply.{name}, sizeof reply.{name});'
    return f'*{name} = static_cast<{parameter.pointee}>(reply.{name});'


def gaps(api: Api) -> str:
    """The functions that the library does not have: each says so, and logs its name once."""
    absent = [(symbol, call) for call in api.functions if not call.there
              for symbol, _, _ in call.symbols]
    lines = [HEAD + CUDA + '\n#include <atomic>\n#include <cstddef>\n\n#include "driver/log.h"\n\n'
             'namespace {\n',
             'struct Gap {\n    const char* name;\n    const char* reason;\n};\n',
             'constexpr Gap kGaps[] = {',
             *[f'    {{"{symbol}", "{call.reason or "not yet remoted"}"}},'
               for symbol, call in absent],
             '};\n',
             f'// One for each of kGaps: whether its name was logged.',
             f'constinit std::atomic<bool> logged[{len(absent)}] = {{}};\n',
             'CUresult gap(std::size_t index) {',
             '    if (!logged[index].exchange(true, std::memory_order_relaxed)) {',
             '        CUBAR_LOG(kWarn, "%s is not supported: %s", kGaps[index].name,',
             '                  kGaps[index].reason);',
             '    }',
             '    return CUDA_ERROR_NOT_SUPPORTED;',
             '}\n',
             '}  // namespace\n']
    for index, (symbol, call) in enumerate(absent):
        lines.append(f'{EXPORT} {symbol}({parameter_list(call, named=False)}) '
                     f'{{ return gap({index}); }}')
    return '\n'.join(lines) + '\n'
