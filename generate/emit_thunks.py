# SPDX-License-Identifier: Apache-2.0
"""Writes the per-thread default stream's variants, for the guest library and for softgpu alike.

A _ptsz function is its base with CU_STREAM_PER_THREAD in place of stream 0. A _ptds function takes
no stream, so its hand-written part is `body_X(…, CUstream default_stream)`, and both spellings of
it are written here.
"""

from __future__ import annotations

from model import Api, Call
from text import CUDA, EXPORT, HEAD, parameter_list


def guest_thunks(api: Api) -> str:
    return _thunks(api, 'cubar::guest')


def softgpu_thunks(api: Api) -> str:
    return _thunks(api, 'cubar::softgpu::api')


def _thunks(api: Api, namespace: str) -> str:
    calls = [c for c in api.functions if c.there]
    bodies = [c for c in calls if c.ptds]
    lines = [HEAD + CUDA, f'namespace {namespace} {{\n']
    for call in bodies:
        lines.append(f'CUresult body_{call.name}({_and_stream(parameter_list(call))});')
    lines += ['\n}  // namespace ' + namespace + '\n',
              'namespace {\n',
              'CUstream own_default(CUstream stream) {',
              '    return stream == nullptr ? CU_STREAM_PER_THREAD : stream;', '}\n',
              '}  // namespace\n']
    lines += [_ptds(call, namespace) for call in bodies]
    lines += [_ptsz(call) for call in calls if call.ptsz]
    return '\n'.join(lines)


def _and_stream(parameters: str) -> str:
    return parameters + (', ' if parameters else '') + 'CUstream default_stream'


def _ptds(call: Call, namespace: str) -> str:
    arguments = ''.join(p.name + ', ' for p in call.parameters)
    return '\n'.join(
        f'{EXPORT} {symbol}({parameter_list(call)}) {{\n'
        f'    return {namespace}::body_{call.name}({arguments}{stream});\n}}'
        for symbol, stream in ((call.name, 'CU_STREAM_LEGACY'),
                               (call.name + '_ptds', 'CU_STREAM_PER_THREAD'))) + '\n'


# Structures that name the stream of a call, and the field that does.
_STREAM_IN = {
    'CUlaunchConfig': 'hStream',
    'CUDA_GRAPH_INSTANTIATE_PARAMS': 'hUploadStream',
}


def _ptsz(call: Call) -> str:
    head = f'{EXPORT} {call.name}_ptsz({parameter_list(call)}) {{\n'
    if any(p.is_stream for p in call.parameters):
        arguments = ', '.join(f'own_default({p.name})' if p.is_stream else p.name
                              for p in call.parameters)
        return head + f'    return {call.name}({arguments});\n}}\n'
    # The stream stands in a structure of the caller's, which is copied, and back where it is not
    # const, since then the function writes answers into it.
    config = next((p for p in call.parameters if p.pointee in _STREAM_IN), None)
    if config is None:
        raise ValueError(f'{call.where}: {call.name} is not known to take a stream')
    stream = _STREAM_IN[config.pointee]
    plain = ', '.join(p.name for p in call.parameters)
    copied = ', '.join('&own' if p is config else p.name for p in call.parameters)
    lines = [f'if ({config.name} == nullptr) return {call.name}({plain});',
             f'{config.pointee} own = *{config.name};',
             f'own.{stream} = own_default(own.{stream});']
    if config.c_type.startswith('const'):
        lines.append(f'return {call.name}({copied});')
    else:
        lines += [f'const CUresult result = {call.name}({copied});',
                  f'own.{stream} = {config.name}->{stream};',
                  f'*{config.name} = own;',
                  'return result;']
    return head + ''.join(f'    {line}\n' for line in lines) + '}\n'
