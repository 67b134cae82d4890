// SPDX-License-Identifier: Apache-2.0
// suld, sust and sured: elements of surfaces by integer coordinates, the first of them in bytes.
#include <algorithm>
#include <cstring>

#include "softgpu/exec/block.h"
#include "softgpu/exec/image_access.h"
#include "softgpu/exec/texel.h"

namespace cubar::softgpu::exec {
namespace {

enum class Reach : uint8_t { kInside, kOutside, kFault };

struct Place {
    Reach reach = Reach::kInside;
    char* bytes = nullptr;
};

/// Coordinates of a lane, brought to the surface's inside where the instruction says so.
Place place_of(Warp& warp, const Insn* insn, const ImageForm& form, const BoundImage& image,
               unsigned lane, unsigned bytes) {
    const ImageLevel& level = image.levels.front();
    int64_t at[3] = {};
    for (unsigned axis = 0; axis < form.geometry.dimensions; ++axis) {
        at[axis] = lanes<int32_t>(warp, form.coordinates[axis])[lane];
    }
    if (form.geometry.layered) at[2] = lanes<uint32_t>(warp, form.layer)[lane];
    const int64_t row = int64_t{level.width} * image.element();
    const int64_t last[3] = {row - int64_t{bytes}, int64_t{level.height} - 1,
                             int64_t{level.depth} - 1};
    bool outside = false;
    for (unsigned axis = 0; axis < 3; ++axis) {
        outside = outside || at[axis] < 0 || at[axis] > last[axis];
    }
    if (outside && (form.boundary == Boundary::kTrap || last[0] < 0)) {
        fault_illegal_address(warp, insn, level.base + uint64_t(at[0]));
        return {Reach::kFault};
    }
    if (outside && form.boundary == Boundary::kZero) return {Reach::kOutside};
    for (unsigned axis = 0; axis < 3; ++axis) {
        at[axis] = std::clamp<int64_t>(at[axis], 0, last[axis]);
    }
    if (at[0] % bytes != 0) {
        fault_misaligned(warp, insn, level.base + uint64_t(at[0]));
        return {Reach::kFault};
    }
    char* const where = ImageMemory(warp, insn, image)
                            .at(level, uint64_t(at[0]), uint64_t(at[1]), uint64_t(at[2]), bytes);
    return {where == nullptr ? Reach::kFault : Reach::kInside, where};
}

char* register_of(const Warp& warp, const ImageForm& form, unsigned element, unsigned lane) {
    // A byte lies in a register of 16 bits.
    const unsigned bytes = std::max<unsigned>(form.element_bits / 8, 2);
    return lanes<char>(warp, form.elements[element]) + size_t{lane} * bytes;
}

void load(const Warp& warp, const ImageForm& form, const char* from, unsigned lane) {
    const unsigned bytes = form.element_bits / 8;
    for (unsigned element = 0; element < form.count; ++element) {
        char* const to = register_of(warp, form, element, lane);
        if (bytes == 1) to[1] = 0;
        if (from == nullptr) {
            std::memset(to, 0, bytes);
        } else {
            std::memcpy(to, from + size_t{element} * bytes, bytes);
        }
    }
}

void store(const Warp& warp, const ImageForm& form, char* to, unsigned lane) {
    const unsigned bytes = form.element_bits / 8;
    for (unsigned element = 0; element < form.count; ++element) {
        std::memcpy(to + size_t{element} * bytes, register_of(warp, form, element, lane), bytes);
    }
}

template <class T>
T combined(ptx::Operation operation, T old, T value) {
    switch (operation) {
        case ptx::Operation::kAdd:
            return old + value;
        case ptx::Operation::kMin:
            return std::min(old, value);
        case ptx::Operation::kMax:
            return std::max(old, value);
        case ptx::Operation::kAnd:
            return old & value;
        default:
            return old | value;
    }
}

template <class T>
void reduce_as(const Warp& warp, const ImageForm& form, char* at, unsigned lane) {
    T value;
    std::memcpy(&value, register_of(warp, form, 0, lane), sizeof(value));
    auto* const place = reinterpret_cast<T*>(at);
    T old = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(place, &old, combined(form.operation, old, value), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void reduce(const Warp& warp, const ImageForm& form, char* at, unsigned lane) {
    switch (form.type) {
        case ptx::Type::kS32:
            return reduce_as<int32_t>(warp, form, at, lane);
        case ptx::Type::kS64:
            return reduce_as<int64_t>(warp, form, at, lane);
        case ptx::Type::kU64:
            return reduce_as<uint64_t>(warp, form, at, lane);
        default:
            return reduce_as<uint32_t>(warp, form, at, lane);
    }
}

}  // namespace

const Insn* access_surface(Warp& warp, const Insn* insn, uint32_t mask) {
    const ImageForm& form = *reinterpret_cast<const ImageForm*>(insn->imm);
    const unsigned bytes = form.element_bits / 8 * form.count;
    ImageLookup lookup(warp, insn, form, true);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const auto lane = unsigned(__builtin_ctz(left));
        const BoundImage* const image = lookup.find(lane);
        if (image == nullptr) return nullptr;
        const Place place = place_of(warp, insn, form, *image, lane, bytes);
        if (place.reach == Reach::kFault) return nullptr;
        if (form.opcode == ptx::Opcode::kSuld) {
            load(warp, form, place.bytes, lane);
        } else if (place.reach == Reach::kInside) {
            form.opcode == ptx::Opcode::kSust ? store(warp, form, place.bytes, lane)
                                              : reduce(warp, form, place.bytes, lane);
        }
    }
    return insn + 1;
}

}  // namespace cubar::softgpu::exec
