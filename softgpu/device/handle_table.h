// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {

/// What a handle names. It is part of the handle's bits, so that a handle given where another kind
/// belongs is refused instead of being misread.
enum class HandleKind : std::uint8_t {
    kContext = 1,
    kStream,
    kEvent,
    kModule,
    kFunction,
    kLibrary,
    kKernel,
    kLink,
    kGraph,
    kGraphNode,
    kGraphExec,
    kUserObject,
    kPhysicalMemory,
    kMemoryPool,
    kArray,
    kMipmappedArray,
};

/// Where a handle's parts lie: slot in the low 24 bits, then the slot's generation, then the kind.
/// The values are never addresses: nothing that a caller passes in is dereferenced.
struct HandleBits {
    static constexpr unsigned kSlotBits = 24;
    static constexpr std::uint64_t kSlotMask = (1u << kSlotBits) - 1;
    static constexpr std::uint64_t kLastGeneration = (1u << 24) - 1;

    static constexpr std::uint64_t make(HandleKind kind, std::uint64_t generation,
                                        std::uint64_t slot) {
        return static_cast<std::uint64_t>(kind) << 48 | generation << kSlotBits | slot;
    }
    static constexpr std::uint64_t slot(std::uint64_t bits) { return bits & kSlotMask; }
    static constexpr std::uint64_t generation(std::uint64_t bits) {
        return bits >> kSlotBits & kLastGeneration;
    }
    static constexpr bool is(HandleKind kind, std::uint64_t bits) {
        return bits >> 48 == static_cast<std::uint64_t>(kind);
    }
};

/// True when the handle's bits say that it is of this kind (it may still be a destroyed one).
template <class Handle>
bool handle_is(HandleKind kind, Handle handle) {
    return HandleBits::is(kind, reinterpret_cast<std::uintptr_t>(handle));
}

/// Owns the objects of one kind that callers name by handle. A slot's generation grows with each
/// use, and a slot whose generations are used up is retired, so a stale handle is never mistaken
/// for a newer object. Safe for any thread; what find() returns stays alive while it is held.
template <class Object, class Handle, HandleKind kind>
class HandleTable {
public:
    /// Adds the object and returns its new handle.
    Handle insert(std::shared_ptr<Object> object) {
        std::lock_guard lock(mutex_);
        std::uint64_t slot = 0;
        if (free_.empty()) {
            slot = slots_.size();
            require(slot <= HandleBits::kSlotMask, CUDA_ERROR_OUT_OF_MEMORY, "too many objects");
            slots_.emplace_back();
        } else {
            slot = free_.back();
            free_.pop_back();
        }
        slots_[slot].object = std::move(object);
        return to_handle(HandleBits::make(kind, slots_[slot].generation, slot));
    }

    /// A handle whose object is set() later.
    Handle reserve() { return insert(nullptr); }
    /// Gives a living or reserved handle its (next) object and returns the one before.
    std::shared_ptr<Object> set(Handle handle, std::shared_ptr<Object> object) {
        std::lock_guard lock(mutex_);
        return std::exchange(slots_[HandleBits::slot(bits_of(handle))].object, std::move(object));
    }

    /// The object, or null when the handle is not one of this table's living ones.
    std::shared_ptr<Object> find(Handle handle) const {
        std::lock_guard lock(mutex_);
        const Slot* slot = locate(handle);
        return slot != nullptr ? slot->object : nullptr;
    }

    /// Ends the handle. The object, or null when there was none.
    std::shared_ptr<Object> remove(Handle handle) {
        std::lock_guard lock(mutex_);
        const Slot* slot = locate(handle);
        return slot != nullptr ? release(HandleBits::slot(bits_of(handle))) : nullptr;
    }

    /// Ends every handle whose object fits, and returns those objects.
    template <class Predicate>
    std::vector<std::shared_ptr<Object>> remove_if(Predicate fits) {
        std::vector<std::shared_ptr<Object>> removed;
        std::lock_guard lock(mutex_);
        for (std::size_t slot = 0; slot < slots_.size(); ++slot)
            if (slots_[slot].object != nullptr && fits(*slots_[slot].object))
                removed.push_back(release(slot));
        return removed;
    }

    /// All living objects at this moment.
    std::vector<std::shared_ptr<Object>> objects() const {
        std::vector<std::shared_ptr<Object>> living;
        std::lock_guard lock(mutex_);
        for (const Slot& slot : slots_)
            if (slot.object != nullptr) living.push_back(slot.object);
        return living;
    }

private:
    struct Slot {
        std::shared_ptr<Object> object;
        std::uint64_t generation = 1;
    };

    static std::uint64_t bits_of(Handle handle) { return reinterpret_cast<std::uintptr_t>(handle); }
    static Handle to_handle(std::uint64_t bits) { return reinterpret_cast<Handle>(bits); }

    const Slot* locate(Handle handle) const {
        const std::uint64_t bits = bits_of(handle);
        if (!HandleBits::is(kind, bits) || HandleBits::slot(bits) >= slots_.size()) return nullptr;
        const Slot& slot = slots_[HandleBits::slot(bits)];
        const bool current = slot.generation == HandleBits::generation(bits);
        return current && slot.object != nullptr ? &slot : nullptr;
    }

    std::shared_ptr<Object> release(std::uint64_t index) {
        Slot& slot = slots_[index];
        if (++slot.generation <= HandleBits::kLastGeneration) free_.push_back(index);
        return std::exchange(slot.object, nullptr);
    }

    mutable std::mutex mutex_;
    std::vector<Slot> slots_;
    std::vector<std::uint64_t> free_;
};

}  // namespace cubar::softgpu::device
