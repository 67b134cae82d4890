# SPDX-License-Identifier: Apache-2.0
"""Reads API descriptions. The head of include/cubar/api/init.api states the rules of the format."""

from __future__ import annotations

import re
from pathlib import Path

from model import (HANDLE_OF_C, HANDLES, SCALARS, WIRE_OF_C, Api, ApiError, Call, Field, Parameter,
                   Where)

MAX_OPCODE = 4096
MAX_FIELD_COUNT = 4096
_TOKEN = re.compile(r'"[^"\n]*"|0x[0-9a-fA-F]+|\w+|[{}()\[\];,*]')
_DIRECTIONS = ('in', 'out', 'string', 'address')


class _Token(str):
    """A word of a description, and where it stands."""
    where: Where


class _Tokens:
    """The words of one file, without comments; keeps the comments for the documentation."""

    def __init__(self, path: str, text: str):
        self.words: list[_Token] = []
        self.comments: dict[int, str] = {}       # line -> text after //
        self.headings: dict[int, list[str]] = {}  # line -> the lines of # comment right above it
        self.at = 0
        heading: list[str] = []
        for number, line in enumerate(text.splitlines(), 1):
            where = Where(path, number)
            if line.lstrip().startswith('#'):
                heading.append(line.strip().lstrip('# '))
                continue
            if line.strip():
                self.headings[number] = heading
            heading = []
            code, slashes, comment = line.partition('//')
            if slashes:
                self.comments[number] = comment.strip()
            end = 0
            for match in _TOKEN.finditer(code):
                self._only_space(code[end:match.start()], where)
                word = _Token(match.group())
                word.where = where
                self.words.append(word)
                end = match.end()
            self._only_space(code[end:], where)
        self.end = Where(path, max(1, len(text.splitlines())))

    @staticmethod
    def _only_space(text: str, where: Where) -> None:
        if text.strip():
            raise ApiError(where, f'{text.strip()[0]!r} does not belong here')

    @property
    def here(self) -> Where:
        return self.words[self.at].where if self.at < len(self.words) else self.end

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ''

    def take(self) -> _Token:
        if self.at == len(self.words):
            raise ApiError(self.end, 'the file ends in the middle of an entry')
        self.at += 1
        return self.words[self.at - 1]

    def expect(self, *allowed: str) -> _Token:
        word = self.take()
        if word not in allowed:
            wanted = ' or '.join(map(repr, allowed))
            raise ApiError(word.where, f'{wanted} is expected, not {word!r}')
        return word

    def accept(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self.at += 1
        return True

    def name(self) -> _Token:
        word = self.take()
        if not re.fullmatch(r'[A-Za-z_]\w*', word):
            raise ApiError(word.where, f'a name is expected, not {word!r}')
        return word

    def number(self) -> int:
        word = self.take()
        try:
            return int(word, 0)
        except ValueError:
            raise ApiError(word.where, f'a number is expected, not {word!r}') from None

    def string(self) -> str:
        word = self.take()
        if not word.startswith('"'):
            raise ApiError(word.where, f'a text in quotes is expected, not {word!r}')
        return word[1:-1]


def parse_files(paths: list[Path]) -> Api:
    """Reads and checks the descriptions together. Raises ApiError, and OSError."""
    api = Api()
    for path in paths:
        _parse_file(api, _Tokens(str(path), path.read_text(encoding='utf-8')))
    _check(api)
    return api


def _parse_file(api: Api, tokens: _Tokens) -> None:
    tokens.expect('subject')
    subject = tokens.name()
    tokens.expect(';')
    while tokens.peek():
        item = tokens.expect('function', 'record', 'fields', 'struct', 'host_uses')
        if item == 'struct':
            name = tokens.name()
            api.structs[name] = (tokens.number(), tokens.number())
            tokens.expect(';')
        elif item == 'fields':
            name = tokens.name()
            api.groups[name] = _fields(api, tokens)
        elif item == 'host_uses':
            api.host_uses += _names(tokens)
        else:
            call = Call(name=tokens.name(), where=item.where, subject=subject,
                        internal=item == 'record', doc=tokens.headings.get(item.where.line, []))
            if not call.internal:
                call.parameters = _parameters(tokens)
            _clauses(api, tokens, call)
            api.calls.append(call)


def _names(tokens: _Tokens) -> list[str]:
    names = [str(tokens.name())]
    while tokens.expect(',', ';') == ',':
        names.append(str(tokens.name()))
    return names


def _parameters(tokens: _Tokens) -> list[Parameter]:
    tokens.expect('(')
    parameters: list[Parameter] = []
    if tokens.accept(')'):
        return parameters
    while True:
        parameters.append(_parameter(tokens))
        if tokens.expect(',', ')') == ')':
            return parameters


def _parameter(tokens: _Tokens) -> Parameter:
    where = tokens.here
    direction = str(tokens.take()) if tokens.peek() in _DIRECTIONS else ''
    length = ''
    if direction in ('in', 'out') and tokens.peek() in ('bytes', 'array'):
        tokens.take()
        tokens.expect('[')
        length = str(tokens.name())
        tokens.expect(']')
    words: list[str] = []
    while tokens.peek() not in (',', ')', ''):
        words.append(str(tokens.take()))
    if len(words) < 2:
        raise ApiError(where, 'a parameter is a type and a name')
    pointer = '*' in words
    if direction and not pointer:
        raise ApiError(where, f'{words[-1]} is {direction} but no pointer')
    c_type = ' '.join(words[:-1]).replace('* *', '**')
    if not direction and not pointer:
        direction = 'value'
    return Parameter(words[-1], c_type, direction, length)


def _clauses(api: Api, tokens: _Tokens, call: Call) -> None:
    tokens.expect('{')
    seen: set[str] = set()
    while not tokens.accept('}'):
        word = tokens.take()
        key = word if word not in ('guest', 'host') else f'{word} bespoke'
        if word in ('local', 'later', 'refused', 'bespoke', 'sync', 'async'):
            key = 'treatment'
            call.treatment = str(word)
        if key in seen:
            raise ApiError(word.where, f'{call.name} has two clauses for {key}')
        seen.add(key)
        _clause(api, tokens, call, word)
    if not call.treatment:
        raise ApiError(call.where, f'{call.name} has no treatment')
    if not call.internal and not call.since:
        raise ApiError(call.where, f'{call.name} does not say since which CUDA version')


def _clause(api: Api, tokens: _Tokens, call: Call, word: _Token) -> None:
    if word in ('request', 'reply'):
        setattr(call, str(word), _fields(api, tokens))
        return
    if word in ('sync', 'async'):
        call.opcode = tokens.number()
        if not 0 < call.opcode < MAX_OPCODE:
            raise ApiError(word.where, f'opcode {call.opcode:#x} is not below {MAX_OPCODE:#x}')
        call.offload = tokens.expect('inline', 'offload') == 'offload'
    elif word == 'since':
        call.since = tokens.number()
        while tokens.accept(','):
            variant = tokens.expect('_ptsz', '_ptds')
            setattr(call, variant[1:], tokens.number())
    elif word == 'bespoke':
        tokens.expect('via')
        call.via = _names(tokens)
        return
    elif word == 'refused':
        call.reason = tokens.string()
    elif word == 'guest':
        tokens.expect('bespoke')
        call.guest_bespoke = True
    elif word == 'host':
        tokens.expect('bespoke')
        call.host_bespoke = True
    elif word == 'context':
        tokens.expect('none')
        call.needs_context = False
    elif word == 'payload':
        call.payload = tokens.string()
    elif word not in ('local', 'later'):
        raise ApiError(word.where, f'there is no clause {word!r}')
    tokens.expect(';')


def _fields(api: Api, tokens: _Tokens) -> list[Field]:
    tokens.expect('{')
    fields: list[Field] = []
    while not tokens.accept('}'):
        kind = tokens.name()
        name = tokens.name()
        if kind == 'use':
            if name not in api.groups:
                raise ApiError(name.where, f'no fields are called {name!r} up to here')
            tokens.expect(';')
            added = api.groups[name]
        else:
            added = [_field(tokens, kind, name)]
        for item in added:
            if item.name in [f.name for f in fields]:
                raise ApiError(name.where, f'there are two fields {item.name!r}')
        fields += added
    return fields


def _field(tokens: _Tokens, kind: _Token, name: _Token) -> Field:
    if kind not in SCALARS and kind not in HANDLES:
        raise ApiError(kind.where, f'there is no field type {kind!r}')
    count = 0
    if tokens.accept('['):
        count = tokens.number()
        if not 0 < count <= MAX_FIELD_COUNT:
            raise ApiError(name.where, f'{name} cannot have {count} elements')
        tokens.expect(']')
    end = tokens.expect(';')
    return Field(str(name), str(kind), count, tokens.comments.get(end.where.line, ''))


def _check(api: Api) -> None:
    """What no single entry can know: names and opcodes are unique, references lead somewhere."""
    names: dict[str, Call] = {}
    opcodes: dict[int, Call] = {}
    for call in api.calls:
        for name in [call.name] if call.internal else [s for s, _, _ in call.symbols]:
            if name in names:
                raise ApiError(call.where, f'{name} is described at {names[name].where} already')
            names[name] = call
        if call.opcode:
            if call.opcode in opcodes:
                other = opcodes[call.opcode]
                raise ApiError(call.where, f'opcode {call.opcode:#x} is that of {other.name}')
            opcodes[call.opcode] = call
    for call in api.calls:
        _check_call(api, call)
        for target in call.via:
            if target not in names or not names[target].travels:
                raise ApiError(call.where, f'{call.name} goes via {target}, which does not travel')
    for name in api.host_uses:
        if name not in names or names[name].internal:
            raise ApiError(Where('host_uses', 0), f'{name} is not described')


def _check_call(api: Api, call: Call) -> None:
    def fail(text: str) -> None:
        raise ApiError(call.where, f'{call.name} {text}')

    if call.internal:
        if not call.travels:
            fail('is a record, so it is sync or async')
        call.guest_bespoke = call.host_bespoke = True
        if call.request is None:
            fail('is a record and needs a request')
    if not call.travels:
        if call.request is not None or call.reply is not None or call.payload \
                or call.guest_bespoke or call.host_bespoke:
            fail('does not travel, so it has neither request nor reply nor sides')
        return
    if call.treatment == 'async' and call.reply:
        fail('is async and has no reply')
    if (call.request is not None or call.reply is not None or call.payload) \
            and not (call.guest_bespoke and call.host_bespoke):
        fail('has fields of its own, so both its sides are bespoke')
    names = {p.name for p in call.parameters}
    for parameter in call.parameters:
        if parameter.length and parameter.length not in names:
            fail(f'has no parameter {parameter.length}')
    if call.request is None:
        if call.treatment == 'async' and call.stream is None:
            fail('is async, so it has one stream')
        derive(api, call)
    call.request = call.request or []
    call.reply = call.reply or []


def derive(api: Api, call: Call) -> None:
    """The fields of a call that has none of its own, from its parameters."""
    request: list[Field] = []
    reply: list[Field] = []
    for parameter in call.parameters:
        if parameter is call.stream:
            continue
        kind = wire_kind(api, call, parameter)
        into = reply if parameter.direction == 'out' else request
        into.append(Field(parameter.name, kind, 0, ''))
    if call.treatment == 'async' and reply:
        raise ApiError(call.where, f'{call.name} is async and has no reply')
    call.request, call.reply = request, reply


def wire_kind(api: Api, call: Call, parameter: Parameter) -> str:
    """How a parameter crosses where the description does not say it field by field."""
    if parameter.direction == '':
        raise ApiError(call.where, f'{call.name}: {parameter.name} is a pointer: say in or out')
    if parameter.length or parameter.direction in ('string', 'address') \
            or parameter.c_type.count('*') > 1:
        raise ApiError(call.where, f'{call.name}: {parameter.name} needs a bespoke request')
    c_type = parameter.pointee
    if c_type in HANDLE_OF_C:
        if parameter.direction == 'in':
            raise ApiError(call.where, f'{call.name}: {parameter.name} needs a bespoke request')
        return HANDLE_OF_C[c_type]
    if c_type in api.structs:
        return c_type
    if parameter.direction == 'in':
        raise ApiError(call.where,
                       f'{call.name}: there is no struct {c_type} for {parameter.name}')
    if c_type in WIRE_OF_C:
        return WIRE_OF_C[c_type]
    if not re.fullmatch(r'CU\w+', c_type) or c_type == 'void':
        raise ApiError(call.where, f'{call.name}: no wire type is known for {c_type}')
    return 'u32'
