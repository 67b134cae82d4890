// SPDX-License-Identifier: Apache-2.0
// wmma.load and wmma.store: fragments between registers and memory. All lanes give the same
// address. See matrix.h about what lies where.
#include "softgpu/exec/handlers/memory_access.h"
#include "softgpu/exec/handlers/tile.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {
namespace {

// op[0]: a constant, the address of the form; op[4]: the address.
const FragmentAccess& form_of(const Warp& warp, const Insn* insn) {
    return *reinterpret_cast<const FragmentAccess*>(*lanes<uint64_t>(warp, insn->op[0]));
}

// Calls visit(register, lane, shift in the register, bytes, address) for each access: a register's
// elements at once where they are neighbours, else one by one.
template <class Visit>
bool each_access(Warp& warp, const Insn* insn, const FragmentAccess& form, Visit visit) {
    alignas(64) uint64_t address[kLanes];
    gather_addresses(warp, insn, insn->op[4], address);
    const uint64_t base = address[0] + (form.shared ? kSharedWindow : 0);
    const uint64_t stride = lanes<uint32_t>(warp, form.stride)[0];
    const unsigned whole_bits = unsigned{form.elements} * form.bits;
    const bool at_once = form.along_lines;
    const unsigned bits = at_once ? whole_bits : form.bits;
    for (unsigned index = 0; index < form.count; ++index) {
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            const uint64_t line = form.line[index] + lane / 4;
            const uint64_t first = form.element[index] + lane % 4 * form.lane_step;
            for (unsigned element = 0; element < (at_once ? 1 : form.elements); ++element) {
                const uint64_t at =
                    form.along_lines ? line * stride + first : (first + element) * stride + line;
                const uint64_t place = base + at * form.bits / 8;
                if (place % (bits / 8) != 0) {
                    fault_misaligned(warp, insn, place);
                    return false;
                }
                char* const host = resolve_generic(warp, insn, lane, place, bits / 8);
                if (host == nullptr) return false;
                visit(index, lane, element * form.bits, bits / 8, host);
            }
        }
    }
    return true;
}

// The stride is a whole number of bytes where elements have less than eight bits, and their lines
// are contiguous: decode sees to the latter.
const Insn* load_fragment(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const FragmentAccess& form = form_of(warp, insn);
    alignas(64) uint64_t values[kMostFragmentRegisters][kLanes] = {};
    const bool good = each_access(
        warp, insn, form,
        [&](unsigned index, unsigned lane, unsigned shift, unsigned bytes, const char* host) {
            uint64_t value = 0;
            __builtin_memcpy(&value, host, bytes);
            values[index][lane] |= value << shift;
        });
    if (!good) return nullptr;
    for (unsigned index = 0; index < form.count; ++index) {
        if (form.register_bits == 64) {
            store_lanes(lanes<uint64_t>(warp, form.registers[index]), values[index], mask);
            continue;
        }
        uint32_t* const to = lanes<uint32_t>(warp, form.registers[index]);
        for (unsigned lane = 0; lane < kLanes; ++lane) {
            if (has_lane(mask, lane)) to[lane] = uint32_t(values[index][lane]);
        }
    }
    return insn + 1;
}

const Insn* store_fragment(Warp& warp, const Insn* insn, uint32_t mask) {
    const Insn* next = nullptr;
    if (!whole_warp(warp, insn, mask, next)) return next;
    const FragmentAccess& form = form_of(warp, insn);
    const bool good = each_access(
        warp, insn, form,
        [&](unsigned index, unsigned lane, unsigned shift, unsigned bytes, char* host) {
            const Slot from = form.registers[index];
            const uint64_t value = form.register_bits == 64 ? lanes<uint64_t>(warp, from)[lane]
                                                            : lanes<uint32_t>(warp, from)[lane];
            const uint64_t part = value >> shift;
            __builtin_memcpy(host, &part, bytes);
        });
    return good ? insn + 1 : nullptr;
}

}  // namespace

Handler find_wmma(const Key& key) {
    if (key.opcode != Opcode::kWmma) return nullptr;
    return key.has(Modifier::kStore) ? store_fragment : load_fragment;
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
