# SPDX-License-Identifier: Apache-2.0
"""Where each field of a request or reply lies. Padding is explicit: no byte is undefined."""

from __future__ import annotations

from dataclasses import dataclass

from model import HANDLES, SCALARS, Api, ApiError, Call, Field

ALIGN = 8                # of every request and reply
MAX_REPLY_BYTES = 4096   # kLongReplyBytes of include/cubar/layout.h


@dataclass(frozen=True)
class Slot:
    """A field at its place; a field of kind '' is padding."""
    field: Field
    offset: int
    bytes: int


def element(api: Api, kind: str) -> tuple[int, int]:
    """Bytes and alignment of one element of a field."""
    if kind in SCALARS:
        return SCALARS[kind][1], SCALARS[kind][1]
    if kind in HANDLES:
        return 8, 8
    return api.structs[kind]


def place(api: Api, call: Call, fields: list[Field], payload: bool) -> tuple[list[Slot], int]:
    """The fields in order, each aligned to itself; the whole a multiple of 8 bytes, never empty."""
    slots: list[Slot] = []
    at = 0

    def pad(to: int) -> None:
        nonlocal at
        gap = -at % to
        if gap:
            slots.append(Slot(Field(f'padding{at}', '', gap, ''), at, gap))
            at += gap

    if payload:
        fields = fields + [Field('payload_bytes', 'u32', 0, 'that follow this structure')]
    for item in fields:
        size, align = element(api, item.kind)
        if align > ALIGN or size % align:
            raise ApiError(call.where, f'{call.name}: {item.name} cannot be aligned to {align}')
        pad(align)
        total = size * max(1, item.count)
        slots.append(Slot(item, at, total))
        at += total
    if at == 0:
        slots.append(Slot(Field('padding0', '', ALIGN, ''), 0, ALIGN))
        at = ALIGN
    pad(ALIGN)
    return slots, at


def request_layout(api: Api, call: Call) -> tuple[list[Slot], int]:
    return place(api, call, call.request, bool(call.payload))


def reply_layout(api: Api, call: Call) -> tuple[list[Slot], int]:
    slots, size = place(api, call, call.reply, False)
    if size > MAX_REPLY_BYTES:
        raise ApiError(call.where,
                       f'{call.name}: a reply of {size} bytes is over {MAX_REPLY_BYTES}')
    return slots, size
