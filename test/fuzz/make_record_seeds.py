#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus of the fuzz target for records: make_record_seeds.py DIRECTORY.

For each kind of record: a session with one object of every kind, then that record with live
handles, one without, and one that is cut. Then rings that break the rules.
"""

import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "generate"))

from layout import element, request_layout  # noqa: E402 (found by the path above)
from model import HANDLES  # noqa: E402
from parse import parse_files  # noqa: E402

KINDS = {name: number for number, name in enumerate(HANDLES, 1)}
NO_REPLY = 0xFFFFFFFF
IMAGE_BYTES = 64


def handle(kind):
    """The first one of its kind: generation 1, index 0."""
    return KINDS[kind] << 56 | 1 << 32


def record(opcode, body, *, context=handle("context"), stream=handle("stream"), slot=0, size=None):
    whole = (32 + len(body) + 15) // 16 * 16
    head = struct.pack("<IIIIQQ", whole if size is None else size, opcode, slot, 1, context, stream)
    return (head + body).ljust(whole, b"\0")


class Seeds:
    """Makes requests by the description."""

    def __init__(self, api):
        self.api = api

    def body(self, call, payload=b"", live=True, **values):
        slots, size = request_layout(self.api, call)
        body = bytearray(size)
        for slot in slots:
            kind = slot.field.kind
            if kind == "":
                continue
            if slot.field.name == "payload_bytes":
                value = len(payload)
            elif slot.field.name in values:
                value = values[slot.field.name]
            elif kind in HANDLES:
                value = handle(kind) if live else 0
            elif kind in self.api.structs:
                continue
            else:
                value = 0 if kind == "device" else int(live)
            width = element(self.api, kind)[0]
            for at in range(max(1, slot.field.count)):
                start = slot.offset + at * width
                body[start:start + width] = int(value).to_bytes(width, "little")
        return bytes(body) + payload

    def call(self, name, payload=b"", **values):
        call = self.api.find(name)
        slot = 0 if call.treatment == "sync" else NO_REPLY
        return record(call.opcode, self.body(call, payload, **values), slot=slot)

    def prologue(self):
        """One live object of each kind."""
        load = {"upload": 1, "option_count": 0, "library_option_count": 0, "image_bytes": 0,
                "info_log_bytes": 0, "error_log_bytes": 0}
        return b"".join([
            self.call("cuCtxCreate_v2"), self.call("arena_lease", bytes=1),
            self.call("cuStreamCreateWithPriority"), self.call("cuEventCreate"),
            self.call("image_begin", bytes=IMAGE_BYTES),
            self.call("image_part", upload=1, image_offset=0, arena_offset=0,
                      bytes=IMAGE_BYTES),
            self.call("cuModuleLoadDataEx", **load),
            self.call("cuModuleGetFunction", payload=b"kernel\0"),
            self.call("image_begin", bytes=IMAGE_BYTES),
            self.call("image_part", upload=2, image_offset=0, arena_offset=0,
                      bytes=IMAGE_BYTES),
            self.call("cuLibraryLoadData", **(load | {"upload": 2})),
            self.call("cuLibraryGetKernel", payload=b"kernel\0"),
        ])


def corpus(api):
    """Names and contents."""
    seeds = Seeds(api)
    prologue = seeds.prologue()
    yield "prologue", prologue
    for call in api.travelling:
        slot = 0 if call.treatment == "sync" else NO_REPLY
        payload = bytes(16) + b"name\0".ljust(64, b"\0") if call.payload else b""
        good = record(call.opcode, seeds.body(call, payload), slot=slot)
        dead = record(call.opcode, seeds.body(call, payload, live=False), slot=slot)
        short = record(call.opcode, b"", slot=slot)
        elsewhere = record(call.opcode, seeds.body(call), context=handle("event"), slot=slot)
        legacy = record(call.opcode, seeds.body(call, bytes(4096) if call.payload else b""), stream=0,
                        slot=slot)
        yield call.name, prologue + good + dead + legacy + good + elsewhere + short
    yield "no-opcode", record(0, bytes(64))
    yield "size-0", record(0x10, bytes(64), size=0)
    yield "size-odd", record(0x10, bytes(64), size=33)
    yield "size-huge", record(0x10, bytes(64), size=0x7FFFFFF0)
    yield "beyond-tail", record(0x10, bytes(64), size=4096)
    yield "reply-slot", record(0x10, bytes(64), slot=64)
    yield "tail-odd", bytes(33)
    yield "tail-short", bytes(16)
    yield "empty", b""


def main():
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    api = parse_files(sorted((ROOT / "include" / "cubar" / "api").glob("*.api")))
    for name, content in corpus(api):
        (target / name).write_bytes(content)


if __name__ == "__main__":
    main()
