// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/registers.h"

#include <algorithm>

namespace cubar::softgpu::exec {
namespace {

constexpr uint32_t kSlotAlign = 64;

uint32_t bytes_of_slot(unsigned bits) {
    return bits == 1 ? kSlotAlign : bits / 8 * kLanes;
}

}  // namespace

unsigned container_bits(ptx::Type type) {
    if (type == ptx::Type::kPred) return 1;
    const unsigned bits = ptx::bits_of(type);
    return bits <= 16 ? 16 : bits <= 32 ? 32 : bits <= 64 ? 64 : 128;
}

RegisterFile::RegisterFile(const ptx::Body& body) : body_(body), slots_(body.registers.size(), 0) {}

void RegisterFile::assign(const std::vector<FlowBlock>&, const std::vector<uint32_t>&) {
    for (size_t index = 0; index < slots_.size(); ++index) {
        const unsigned bits = container_bits(body_.registers[index].type);
        slots_[index] = bytes_;
        bytes_ += bytes_of_slot(bits);
        live_registers_ += bits == 1 ? 0 : std::max(bits / 32, 1u);
    }
}

Slot RegisterFile::add_temporary(unsigned bits) {
    const Slot slot = bytes_;
    bytes_ += bytes_of_slot(bits);
    return slot;
}

}  // namespace cubar::softgpu::exec
