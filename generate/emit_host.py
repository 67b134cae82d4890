# SPDX-License-Identifier: Apache-2.0
"""Writes the worker's dispatcher: which function answers which record, and the plain ones."""

from __future__ import annotations

from layout import reply_layout, request_layout
from model import HANDLES, Api, ApiError, Call
from text import CUDA, HEAD, c_type

_DISPATCH_HEADER = HEAD + '''#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "cubar/wire.h"

namespace cubar::transport {
class Record;
}

namespace cubar::host {

class Session;

/// How the worker executes one kind of record.
struct Dispatch {
    const char* name;
    bool offload;       ///< on a helper thread; else on the executor, in the order of the records
    bool answers;       ///< has a reply; else an error goes to the channel's error word
    bool needs_context; ///< the record's context is made current first
    std::uint32_t request_bytes;
    std::uint32_t reply_bytes;  ///< at most kLongReplyBytes
    std::uint32_t payload_bytes_at;  ///< offset in the request of payload_bytes, or kNoPayload
    /// Executes a record whose body has passed well_formed(), and writes reply_bytes bytes at
    /// `reply`, whatever the result.
    CUresult (*run)(Session& session, const transport::Record& record, std::byte* reply);
};

inline constexpr std::uint32_t kNoPayload = 0xffff'ffff;

/// The entry of an opcode, which comes from the guest; null: there is no such opcode.
const Dispatch* find_dispatch(std::uint32_t opcode) noexcept;

/// False: a body that no honest guest writes, since it is too short for the request, or for the
/// payload that the request counts. Every record is asked before it is run.
bool well_formed(const Dispatch& entry, std::span<const std::byte> body) noexcept;

/// Sets bit k for each opcode k that this worker executes; `set` is Facts::opcode_set.
void describe_opcodes(std::span<std::uint8_t> set) noexcept;

'''


def driver_functions(api: Api) -> str:
    """The list of the driver's functions that the worker calls."""
    names = {c.name for c in api.travelling if not c.internal} | set(api.host_uses)
    lines = [HEAD + '#pragma once\n',
             '/// F(name) for each driver function that the worker calls.',
             '#define CUBAR_DRIVER_FUNCTIONS(F) \\']
    lines += [f'    F({name}) \\' for name in sorted(names)]
    return '\n'.join(lines).removesuffix(' \\') + '\n'


def dispatch_header(api: Api) -> str:
    lines = ['// Hand-written handlers. A payload is as long as the request says.']
    for call in api.travelling:
        if call.host_bespoke:
            lines.append(_declaration(call) + ';')
    return _DISPATCH_HEADER + '\n'.join(lines) + '\n\n}  // namespace cubar::host\n'


def _declaration(call: Call) -> str:
    return (f'CUresult handle_{call.name}(Session& session, const transport::Record& record,\n'
            f'    const wire::{call.name}::Request& request, std::span<const std::byte> payload,\n'
            f'    wire::{call.name}::Reply& reply)')


def dispatch_source(api: Api, record_header: str = 'transport/ring_consumer.h') -> str:
    lines = [HEAD + CUDA + '\n#include "cubar/host/dispatch.h"\n\n'
             '#include <algorithm>\n#include <cstring>\n#include <iterator>\n\n'
             f'#include "host/worker/session.h"\n#include "{record_header}"\n\n'
             'namespace cubar::host {\nnamespace {\n']
    lines += [_run(api, call) for call in api.travelling]
    lines += ['struct Entry {\n    Opcode opcode;\n    Dispatch dispatch;\n};\n',
              '// Sorted by opcode.', 'constexpr Entry kEntries[] = {']
    for call in api.travelling:
        lines.append(f'    {{Opcode::{call.name}, {{"{call.name}", {_bool(call.offload)}, '
                     f'{_bool(call.treatment == "sync")}, {_bool(call.needs_context)}, '
                     f'{request_layout(api, call)[1]}, {reply_layout(api, call)[1]}, '
                     f'{_payload_bytes_at(call)}, &run_{call.name}}}}},')
    lines.append('};\n')
    lines.append('''}  // namespace

const Dispatch* find_dispatch(std::uint32_t opcode) noexcept {
    const auto found = std::lower_bound(
        std::begin(kEntries), std::end(kEntries), opcode,
        [](const Entry& entry, std::uint32_t wanted) {
            return static_cast<std::uint32_t>(entry.opcode) < wanted;
        });
    if (found == std::end(kEntries) || static_cast<std::uint32_t>(found->opcode) != opcode) {
        return nullptr;
    }
    return &found->dispatch;
}

bool well_formed(const Dispatch& entry, std::span<const std::byte> body) noexcept {
    if (body.size() < entry.request_bytes) return false;
    if (entry.payload_bytes_at == kNoPayload) return true;
    std::uint32_t payload_bytes = 0;
    std::memcpy(&payload_bytes, body.data() + entry.payload_bytes_at, sizeof payload_bytes);
    return payload_bytes <= body.size() - entry.request_bytes;
}

void describe_opcodes(std::span<std::uint8_t> set) noexcept {
    for (const Entry& entry : kEntries) {
        const auto opcode = static_cast<std::uint32_t>(entry.opcode);
        if (opcode / 8 < set.size()) {
            set[opcode / 8] = static_cast<std::uint8_t>(set[opcode / 8] | 1u << opcode % 8);
        }
    }
}

}  // namespace cubar::host
''')
    return '\n'.join(lines)


def _payload_bytes_at(call: Call) -> str:
    return f'offsetof(wire::{call.name}::Request, payload_bytes)' if call.payload else 'kNoPayload'


def _run(api: Api, call: Call) -> str:
    payload = '{}'
    body = [f'wire::{call.name}::Request request;',
            'std::memcpy(&request, record.body().data(), sizeof request);',
            f'wire::{call.name}::Reply reply{{}};']
    if call.payload:
        payload = 'record.body().subspan(sizeof request, request.payload_bytes)'
    if call.host_bespoke:
        body.append(f'const CUresult result = handle_{call.name}(session, record, request, '
                    f'{payload}, reply);')
    else:
        body.append(f'const CUresult result = plain_{call.name}(session, record, request, reply);')
    body += ['std::memcpy(out, &reply, sizeof reply);', 'return result;']
    head = ''
    if not call.host_bespoke:
        head = _plain(api, call) + '\n'
    text = '\n'.join('    ' + line for line in body)
    return (head + f'CUresult run_{call.name}(Session& session, const transport::Record& record, '
            f'std::byte* out) {{\n{text}\n}}\n')


def _plain(api: Api, call: Call) -> str:
    """A handler that passes the request on to the driver as it is."""
    body = [f'if (session.driver().{call.name} == nullptr) return CUDA_ERROR_NOT_SUPPORTED;']
    arguments = []
    after = []
    fields = {f.name: f for f in call.request + call.reply}
    for parameter in call.parameters:
        name = parameter.name
        if parameter is call.stream:
            body += _resolve('CUstream', name, 'StreamHandle(record.header().stream)')
            arguments.append(name)
            continue
        item = fields[name]
        out = parameter.direction == 'out'
        if out and (item.kind in HANDLES or item.kind == 'device'):
            raise ApiError(call.where,
                           f'{call.name} makes a {item.kind}: its host side is bespoke')
        if item.kind in HANDLES:
            body += _resolve(HANDLES[item.kind][0], name, f'request.{name}')
            arguments.append(name)
        elif parameter.direction == 'value':
            arguments.append(f'static_cast<{c_type(parameter)}>(request.{name})')
        else:
            body.append(f'{parameter.pointee} {name}{{}};')
            if not out:
                body.append(f'std::memcpy(&{name}, request.{name}, sizeof {name});')
            elif item.kind in api.structs:
                after.append(f'std::memcpy(reply.{name}, &{name}, sizeof {name});')
            else:
                after.append(f'reply.{name} = static_cast<decltype(reply.{name})>({name});')
            arguments.append('&' + name)
    invoke = f'session.driver().{call.name}({", ".join(arguments)})'
    if after:
        body += [f'const CUresult result = {invoke};', *after, 'return result;']
    else:
        body.append(f'return {invoke};')
    record = ' record' if call.stream else ''
    request = ' request' if any('request.' in line for line in body) else ''
    reply = ' reply' if after else ''
    text = '\n'.join('    ' + line for line in body)
    return (f'CUresult plain_{call.name}(Session& session, const transport::Record&{record},\n'
            f'    const wire::{call.name}::Request&{request},\n'
            f'    wire::{call.name}::Reply&{reply}) {{\n{text}\n}}\n')


def _resolve(c_type: str, name: str, handle: str) -> list[str]:
    return [f'{c_type} {name} = nullptr;',
            f'if (const CUresult bad = session.resolve({handle}, {name}); bad != CUDA_SUCCESS) '
            'return bad;']


def _bool(value: bool) -> str:
    return 'true' if value else 'false'
