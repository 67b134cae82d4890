# SPDX-License-Identifier: Apache-2.0
"""What an API description says, as objects. parse.py makes them, the emitters read them."""

from __future__ import annotations

from dataclasses import dataclass, field

# Handle kinds of include/cubar/handle.h: the word in a description -> C type, C++ alias.
HANDLES = {
    'context': ('CUcontext', 'ContextHandle'),
    'stream': ('CUstream', 'StreamHandle'),
    'event': ('CUevent', 'EventHandle'),
    'module': ('CUmodule', 'ModuleHandle'),
    'library': ('CUlibrary', 'LibraryHandle'),
    'kernel': ('CUkernel', 'KernelHandle'),
    'function': ('CUfunction', 'FunctionHandle'),
    'graph': ('CUgraph', 'GraphHandle'),
    'graph_node': ('CUgraphNode', 'GraphNodeHandle'),
    'graph_exec': ('CUgraphExec', 'GraphExecHandle'),
    'user_object': ('CUuserObject', 'UserObjectHandle'),
    'memory': ('CUmemGenericAllocationHandle', 'MemoryHandle'),
    'memory_pool': ('CUmemoryPool', 'MemoryPoolHandle'),
    'array': ('CUarray', 'ArrayHandle'),
    'mipmapped_array': ('CUmipmappedArray', 'MipmappedArrayHandle'),
}
HANDLE_OF_C = {c: word for word, (c, _) in HANDLES.items()}

# Wire types: the word in a description -> C++ type, bytes (also the alignment).
SCALARS = {
    'u8': ('std::uint8_t', 1),
    'u16': ('std::uint16_t', 2),
    'u32': ('std::uint32_t', 4),
    'u64': ('std::uint64_t', 8),
    'i32': ('std::int32_t', 4),
    'f32': ('float', 4),
    'device': ('std::int32_t', 4),  # ordinal on the host
}

# How a C scalar crosses. A type that is not here is an enumeration: u32.
WIRE_OF_C = {
    'unsigned char': 'u8',
    'unsigned short': 'u16',
    'unsigned int': 'u32',
    'unsigned': 'u32',
    'int': 'i32',
    'float': 'f32',
    'size_t': 'u64',
    'unsigned long long': 'u64',
    'cuuint32_t': 'u32',
    'cuuint64_t': 'u64',
    'CUdeviceptr': 'u64',
    'CUtexObject': 'u64',
    'CUsurfObject': 'u64',
    'CUdevice': 'device',
}


@dataclass(frozen=True)
class Where:
    """A place in a description."""
    path: str
    line: int

    def __str__(self) -> str:
        return f'{self.path}:{self.line}'


class ApiError(Exception):
    """A description that does not follow the rules; the text begins with file:line."""

    def __init__(self, where: Where, text: str):
        super().__init__(f'{where}: {text}')


@dataclass(frozen=True)
class Parameter:
    """One parameter of a C function."""
    name: str
    c_type: str     # as cuda.h writes it, with * and const
    direction: str  # value, in, out, string, address, or '' (a pointer not yet described)
    length: str     # for bytes[n] and array[n]: the parameter that counts, else ''

    @property
    def pointee(self) -> str:
        return self.c_type.replace('const ', '').rstrip('* ').strip()

    @property
    def is_stream(self) -> bool:
        return self.c_type == 'CUstream'


@dataclass(frozen=True)
class Field:
    """One field of a request or a reply."""
    name: str
    kind: str   # key of SCALARS or HANDLES, or the name of a struct of the description
    count: int  # 1, or the number of elements of an array; 0 for neither
    doc: str


@dataclass
class Call:
    """A function of cuda.h, or an internal record."""
    name: str
    where: Where
    subject: str
    parameters: list[Parameter] = field(default_factory=list)
    internal: bool = False
    since: int = 0
    ptsz: int = 0            # version of the _ptsz variant, 0: none
    ptds: int = 0
    treatment: str = ''      # local, sync, async, bespoke, refused, later
    opcode: int = 0          # 0: does not travel
    offload: bool = False
    via: list[str] = field(default_factory=list)
    reason: str = ''         # of a refusal
    guest_bespoke: bool = False
    host_bespoke: bool = False
    needs_context: bool = True
    request: list[Field] | None = None  # None: derived from the parameters
    reply: list[Field] | None = None
    payload: str = ''        # what the trailing bytes are; '': none
    doc: list[str] = field(default_factory=list)

    @property
    def travels(self) -> bool:
        return self.treatment in ('sync', 'async')

    @property
    def there(self) -> bool:
        """Whether the guest library has it."""
        return self.treatment not in ('refused', 'later')

    @property
    def generated(self) -> bool:
        """Whether its exported function is generated from the description."""
        return self.travels and not self.guest_bespoke and not self.internal

    @property
    def stream(self) -> Parameter | None:
        """The stream an async call goes to: it stands in the record's header."""
        streams = [p for p in self.parameters if p.is_stream]
        return streams[0] if self.treatment == 'async' and len(streams) == 1 else None

    @property
    def symbols(self) -> list[tuple[str, int, bool]]:
        """Exported names: (name, version, per thread)."""
        names = [(self.name, self.since, False)]
        if self.ptsz:
            names.append((self.name + '_ptsz', self.ptsz, True))
        if self.ptds:
            names.append((self.name + '_ptds', self.ptds, True))
        return names


@dataclass
class Api:
    """All descriptions that were read together."""
    calls: list[Call] = field(default_factory=list)
    structs: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> bytes, alignment
    groups: dict[str, list[Field]] = field(default_factory=dict)  # fields that several records have
    host_uses: list[str] = field(default_factory=list)

    @property
    def functions(self) -> list[Call]:
        return [c for c in self.calls if not c.internal]

    @property
    def travelling(self) -> list[Call]:
        return sorted((c for c in self.calls if c.travels), key=lambda c: c.opcode)

    def find(self, name: str) -> Call | None:
        return next((c for c in self.calls if c.name == name), None)


def base_name(symbol: str) -> str:
    """The name that cuGetProcAddress takes: without _v2, _ptsz, _ptds."""
    for suffix in ('_ptsz', '_ptds'):
        symbol = symbol.removesuffix(suffix)
    head, _, version = symbol.rpartition('_v')
    return head if head and version.isdigit() else symbol
