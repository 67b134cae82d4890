# SPDX-License-Identifier: Apache-2.0
"""Writes the tables behind cuGetProcAddress, softgpu's gaps, and the check against cuda.h."""

from __future__ import annotations

from model import Api, Call, base_name
from text import CUDA, HEAD, pointer_type


def guest_symbols(api: Api) -> str:
    """The guest library's table: what is refused or not yet remoted has no function."""
    rows = [(name, version, per_thread, symbol if call.there else '')
            for name, version, per_thread, symbol, call in _rows(api)]
    return _table(rows) + (
        '}  // namespace\n\n'
        'std::span<const Symbol> symbol_table() noexcept { return kTable; }\n\n'
        '}  // namespace cubar::driver\n')


def softgpu_symbols(api: Api) -> str:
    """softgpu's table: whatever is not defined elsewhere is, at link time, cubar_driver_gap. A
    per-thread variant is a thunk, which is there always: it counts as a gap if its base is one."""
    rows = list(_rows(api))
    bases = [f'    {_address(call.name)},' for *_, call in rows]
    return _table([row[:4] for row in rows]) + '\n'.join([
        '// What each function of kTable calls, or itself.',
        'void* const kBases[] = {', *bases, '};',
        f'static_assert(std::size(kTable) == {len(rows)} && std::size(kBases) == {len(rows)});\n',
        f'std::array<Symbol, {len(rows)}> without_gaps() {{',
        f'    std::array<Symbol, {len(rows)}> table{{}};',
        '    for (std::size_t i = 0; i < table.size(); ++i) {',
        '        table[i] = kTable[i];',
        f'        if (kBases[i] == {_address("cubar_driver_gap")}) table[i].function = kBases[i];',
        '    }',
        '    return table;',
        '}\n',
        '}  // namespace\n',
        'std::span<const Symbol> symbol_table() noexcept {',
        '    static const auto table = without_gaps();',
        '    return table;',
        '}\n',
        '}  // namespace cubar::driver\n'])


def _rows(api: Api) -> list[tuple[str, int, bool, str, Call]]:
    """Base name, version, per thread, symbol, call: in the order that look-up needs."""
    return sorted(((base_name(symbol), version, per_thread, symbol, call)
                   for call in api.functions for symbol, version, per_thread in call.symbols),
                  key=lambda row: row[:4])


def _table(rows: list[tuple[str, int, bool, str]]) -> str:
    lines = [HEAD + CUDA + '\n#include <array>\n#include <cstddef>\n#include <iterator>\n'
             '#include <span>\n\n#include "driver/symbols.h"\n\n'
             'namespace cubar::driver {\nnamespace {\n', 'const Symbol kTable[] = {']
    for name, version, per_thread, symbol in rows:
        function = _address(symbol) if symbol else 'nullptr'
        lines.append(f'    {{"{name}", {version}, {str(per_thread).lower()}, {function}}},')
    return '\n'.join(lines) + '\n};\n\n'


def _address(symbol: str) -> str:
    return f'reinterpret_cast<void*>(&::{symbol})'


def softgpu_gaps(api: Api) -> str:
    """Every exported name, weakly, as cubar_driver_gap: a definition elsewhere takes its place."""
    lines = [HEAD + '// No cuda.h here: an alias has the type of what it stands for.\n',
             '// Overrides the weak one in driver/symbols.cpp, since an alias and its target live in',
             '// one object file. 801 is CUDA_ERROR_NOT_SUPPORTED.',
             'extern "C" int cubar_driver_gap();',
             'extern "C" int cubar_driver_gap() { return 801; }\n']
    for call in api.functions:
        for symbol, _, _ in call.symbols:
            lines.append(f'extern "C" __attribute__((weak, visibility("default"), '
                         f'alias("cubar_driver_gap"))) int {symbol}();')
    return '\n'.join(lines) + '\n'


def check(api: Api) -> str:
    """Compares each description with cuda.h and cudaTypedefs.h, when it is compiled."""
    lines = [HEAD + CUDA + '#include <cudaProfilerTypedefs.h>\n#include <cudaTypedefs.h>\n\n'
             '#include <type_traits>\n']
    for call in api.functions:
        for symbol, version, per_thread in call.symbols:
            lines.append(f'static_assert(std::is_same_v<decltype(&::{symbol}), '
                         f'{pointer_type(call)}>, "{call.where}");')
            variant = symbol[-5:] if per_thread else ''
            lines.append(f'static_assert(std::is_same_v<decltype(&::{symbol}), '
                         f'PFN_{base_name(symbol)}_v{version}{variant}>, "{call.where}");')
    for name, (size, align) in api.structs.items():
        lines.append(f'static_assert(sizeof({name}) == {size} && alignof({name}) == {align});')
    return '\n'.join(lines) + '\n'


def export_list(api: Api) -> str:
    """A version script: export exactly the driver API."""
    names = sorted(symbol for call in api.functions for symbol, _, _ in call.symbols)
    return '{\n    global:\n' + ''.join(f'        {n};\n' for n in names) + '    local: *;\n};\n'
