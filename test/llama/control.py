# SPDX-License-Identifier: Apache-2.0
"""A software GPU with one instruction handler that does nothing: the comparison must see it."""

import re
import struct
from pathlib import Path

# A handler returns its instruction's successor: lea rax, [rsi + sizeof(Insn)]; ret.
DO_NOTHING = bytes.fromhex("488d4640c3")
SYMTAB = 2
FUNCTION = 2
LOADED = 1


class Elf:
    """What of an ELF file it takes to find a function's bytes."""

    def __init__(self, data):
        self.data = data
        segments, sections = struct.unpack_from("<QQ", data, 0x20)
        segment_size, segment_count, section_size, section_count = struct.unpack_from("<HHHH", data, 0x36)
        self.segments = [struct.unpack_from("<IIQQQQ", data, segments + i * segment_size)
                         for i in range(segment_count)]
        self.sections = [struct.unpack_from("<IIQQQQII", data, sections + i * section_size)
                         for i in range(section_count)]

    def functions(self):
        """Every function's mangled name and address."""
        for _, kind, _, _, offset, size, link, _ in self.sections:
            if kind == SYMTAB:
                names = self.sections[link][4]
                for at in range(offset, offset + size, 24):
                    name, info, _, _, address, _ = struct.unpack_from("<IBBHQQ", self.data, at)
                    if info & 15 == FUNCTION:
                        end = self.data.index(0, names + name)
                        yield bytes(self.data[names + name:end]).decode(), address

    def offset(self, address):
        for kind, _, offset, begin, _, size in self.segments:
            if kind == LOADED and begin <= address < begin + size:
                return offset + address - begin
        raise ValueError(f"nothing is loaded at {address:#x}")


def silence(library, pattern, directory):
    """Copies the library into the directory, without what handlers of such a mangled name do."""
    elf = Elf(bytearray(Path(library).read_bytes()))
    found = [address for name, address in elf.functions() if re.search(pattern, name)]
    if not found:
        raise ValueError(f"{library} has no handler {pattern}: was it renamed, or the library stripped?")
    for address in found:
        at = elf.offset(address)
        elf.data[at:at + len(DO_NOTHING)] = DO_NOTHING
    target = Path(directory) / "libcuda.so.1"
    target.write_bytes(elf.data)
    return target
