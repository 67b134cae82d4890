// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "cubar/handle.h"

namespace cubar {

/// The objects of one kind, found by handle: the host's table (which makes the handles) and the
/// guest's mirror of it (which puts its own objects at the host's indices).
///
/// find() takes no lock: entries stay where they are for the table's life, and a slot's handle is
/// stored (release) after its object is complete and cleared before it is reused. As in CUDA, a
/// caller must not destroy what another thread is using; one who does gets a stale object or none,
/// never memory that was freed.
template <Kind K, typename T>
class HandleTable {
public:
    static constexpr std::uint32_t kChunkEntries = 256;
    static constexpr std::uint32_t kChunks = 4096;
    static constexpr std::uint32_t kMaxEntries = kChunkEntries * kChunks;

    HandleTable() = default;
    HandleTable(const HandleTable&) = delete;
    HandleTable& operator=(const HandleTable&) = delete;
    ~HandleTable() {
        for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
    }

    /// The object of a live handle, or null: not of this kind, never made, or destroyed.
    T* find(Handle<K> handle) const {
        Entry* entry = entry_at(handle.index());
        // One comparison tells kind, generation and life, since this is on the way of each launch.
        // Pairs with the release store in publish().
        return entry != nullptr && entry->tenant.load(std::memory_order_acquire) == handle.bits()
                   ? &entry->object
                   : nullptr;
    }

    /// Host: makes a handle for a new object that `fill(T&)` completes. A null handle: table full.
    template <typename Fill>
    Handle<K> adopt(Fill&& fill) {
        const std::lock_guard lock(mutex_);
        std::uint32_t index = first_free_;
        Entry* entry = nullptr;
        if (index != kNoIndex) {
            entry = entry_at(index);
            first_free_ = entry->next_free;
        } else {
            index = used_;
            entry = make_entry_at(index);
            if (entry == nullptr) return {};
            ++used_;
        }
        entry->last = next_generation(entry->last);
        fill(entry->object);
        const Handle<K> handle(entry->last, index);
        publish(*entry, handle);
        return handle;
    }

    /// Guest: mirrors an object that the host made; one that is mirrored already stays as it is.
    /// False: a handle of another kind, an index beyond all tables, or no memory.
    template <typename Fill>
    bool mirror(Handle<K> handle, Fill&& fill) {
        if (handle.kind() != K) return false;
        const std::lock_guard lock(mutex_);
        Entry* entry = make_entry_at(handle.index());
        if (entry == nullptr) return false;
        if (entry->tenant.load(std::memory_order_relaxed) == handle.bits()) return true;
        entry->tenant.store(kNobody, std::memory_order_relaxed);
        fill(entry->object);
        publish(*entry, handle);
        if (handle.index() >= used_) used_ = handle.index() + 1;
        return true;
    }

    /// Ends a handle: it is found no more. False: it was not live.
    bool forget(Handle<K> handle) {
        const std::lock_guard lock(mutex_);
        if (find(handle) == nullptr) return false;
        end(*entry_at(handle.index()), handle.index());
        return true;
    }

    /// Ends each handle of which ends(handle, object) says so. It runs under the table's lock, so
    /// that no slot gets its next tenant meanwhile, and must not call this table.
    template <typename Ends>
    void forget_if(Ends&& ends) {
        const std::lock_guard lock(mutex_);
        each([&](Entry& entry, Handle<K> handle) {
            if (ends(handle, entry.object)) end(entry, handle.index());
        });
    }

    /// Calls visit(handle, object) for each live object, under the lock as above.
    template <typename Visit>
    void for_each(Visit&& visit) const {
        const std::lock_guard lock(mutex_);
        each([&](Entry& entry, Handle<K> handle) { visit(handle, entry.object); });
    }

private:
    static constexpr std::uint32_t kNoIndex = 0xffff'ffff;
    // Of an entry without a live object. No handle is found by it: its index is beyond all tables.
    static constexpr std::uint64_t kNobody = ~std::uint64_t{0};

    struct Entry {
        std::atomic<std::uint64_t> tenant{kNobody};  // bits of the live object's handle
        std::uint32_t last = 0;                      // generation of the last tenant
        std::uint32_t next_free = kNoIndex;
        T object{};
    };
    using Chunk = std::array<Entry, kChunkEntries>;

    static std::uint32_t next_generation(std::uint32_t last) {
        const std::uint32_t next = (last + 1) & AnyHandle::kGenerationMask;
        return next == 0 ? 1 : next;
    }

    static void publish(Entry& entry, Handle<K> handle) {
        entry.tenant.store(handle.bits(), std::memory_order_release);
    }

    template <typename Visit>
    void each(Visit&& visit) const {
        for (std::uint32_t index = 0; index < used_; ++index) {
            Entry* entry = entry_at(index);
            if (entry == nullptr) continue;
            const std::uint64_t tenant = entry->tenant.load(std::memory_order_relaxed);
            if (tenant != kNobody) visit(*entry, Handle<K>(tenant));
        }
    }

    void end(Entry& entry, std::uint32_t index) {
        entry.tenant.store(kNobody, std::memory_order_release);
        entry.next_free = first_free_;
        first_free_ = index;
    }

    Entry* entry_at(std::uint32_t index) const {
        if (index >= kMaxEntries) return nullptr;
        // Pairs with the release store in make_entry_at().
        Chunk* chunk = chunks_[index / kChunkEntries].load(std::memory_order_acquire);
        return chunk == nullptr ? nullptr : &(*chunk)[index % kChunkEntries];
    }

    Entry* make_entry_at(std::uint32_t index) {
        if (index >= kMaxEntries) return nullptr;
        auto& slot = chunks_[index / kChunkEntries];
        if (slot.load(std::memory_order_relaxed) == nullptr) {
            Chunk* chunk = new (std::nothrow) Chunk;
            if (chunk == nullptr) return nullptr;
            slot.store(chunk, std::memory_order_release);
        }
        return entry_at(index);
    }

    mutable std::mutex mutex_;
    std::array<std::atomic<Chunk*>, kChunks> chunks_{};
    std::uint32_t used_ = 0;
    std::uint32_t first_free_ = kNoIndex;
};

}  // namespace cubar
