// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "cubar/handle.h"

namespace cubar::guest {

/// What lies behind a range of addresses that CUDA manages.
enum class MemoryKind : std::uint8_t {
    kDevice,      ///< the GPU's memory; the guest's own address space is reserved there
    kMapped,      ///< the GPU's memory that cuMemMap has put into a reservation
    kPooled,      ///< the GPU's memory of cuMemAllocAsync, freed in the order of a stream
    kGraph,       ///< the GPU's memory of a graph's node (libcuda/graph_memory.h)
    kManaged,     ///< arena memory that both sides work on at one address, freed as device memory
    kPinned,      ///< arena memory at the same address in guest and worker: the GPU reads it itself
    kStaged,      ///< page-locked as far as the application knows, copied through staging
    kRegistered,  ///< the application's own memory after cuMemHostRegister, copied through staging
};

struct MemoryRange {
    std::uint64_t begin = 0;
    std::uint64_t bytes = 0;     ///< as the application asked
    std::uint64_t reserved = 0;  ///< that AddressReservations holds for it
    MemoryKind kind = MemoryKind::kDevice;
    ContextHandle context;
    int device = 0;
    std::uint64_t id = 0;                 ///< CU_POINTER_ATTRIBUTE_BUFFER_ID
    std::uint32_t flags = 0;              ///< as given at allocation
    bool accessible = true;               ///< false: mapped, and its device may not touch it yet
    AnyHandle source;                     ///< of kMapped the memory, of kPooled the pool
    std::uint64_t reservation = 0;        ///< of kMapped: where the reservation around it begins
    std::uint64_t reservation_bytes = 0;  ///< and how long that is
    /// The module or library whose variable it is, and with which it goes; null: an allocation,
    /// which can be freed.
    AnyHandle code;

    std::uint64_t end() const { return begin + bytes; }
    /// Only the GPU reaches it.
    bool on_gpu_alone() const {
        return kind == MemoryKind::kDevice || kind == MemoryKind::kMapped ||
               kind == MemoryKind::kPooled || kind == MemoryKind::kGraph;
    }
    bool on_device() const { return on_gpu_alone() || kind == MemoryKind::kManaged; }
};

/// All ranges that this process knows, for pointer attributes and to choose how a copy travels.
/// Thread-safe; ranges never overlap.
class AddressMap {
public:
    /// Returns the id that it got. What it overlaps is forgotten: memory that is given out again
    /// was given back, whether this process was told or not.
    std::uint64_t add(MemoryRange range);
    /// The same, unless a known range overlaps it: then false.
    bool add_apart(MemoryRange range);
    /// Brings back what remove() took out, with the id that it had.
    void restore(const MemoryRange& range);
    /// Removes the range that begins at `begin`; nothing if there is none.
    std::optional<MemoryRange> remove(std::uint64_t begin);
    /// The range that holds `address`.
    std::optional<MemoryRange> find(std::uint64_t address) const;
    /// Whether all these bytes can be used: they lie in one range, or in mappings that follow one
    /// another.
    bool holds(std::uint64_t address, std::uint64_t bytes) const;
    /// Calls visit(MemoryRange&) for the mappings of which this range is made, from the first on,
    /// under the lock. False, and nothing was visited: it is not made of whole mappings.
    template <typename Visit>
    bool for_mappings(std::uint64_t begin, std::uint64_t bytes, Visit&& visit) {
        const std::unique_lock lock(mutex_);
        if (!made_of_mappings(begin, bytes)) return false;
        for (auto it = ranges_.find(begin); it != ranges_.end() && it->first - begin < bytes;) {
            MemoryRange& range = (it++)->second;
            visit(range);
        }
        return true;
    }
    /// Removes the ranges that `goes(const MemoryRange&)` names. It is called under the lock.
    template <typename Goes>
    void remove_if(Goes&& goes) {
        const std::unique_lock lock(mutex_);
        for (auto it = ranges_.begin(); it != ranges_.end();) {
            it = goes(it->second) ? ranges_.erase(it) : std::next(it);
        }
    }

private:
    using Ranges = std::map<std::uint64_t, MemoryRange>;

    /// The first known range that overlaps this one, or the end.
    Ranges::iterator overlapped(const MemoryRange& range);
    void erase_overlapped(const MemoryRange& range);
    bool made_of_mappings(std::uint64_t begin, std::uint64_t bytes) const;

    mutable std::shared_mutex mutex_;
    Ranges ranges_;
    std::uint64_t next_id_ = 1;
};

/// Keeps the guest's own mappings away from device addresses, so that a host pointer and a device
/// pointer are never equal. Counts by the GPU's page, since small allocations share one.
/// Thread-safe.
class AddressReservations {
public:
    static constexpr std::uint64_t kPageBytes = std::uint64_t{2} << 20;

    /// False: something of the guest's own is mapped there; nothing is reserved then.
    bool reserve(std::uint64_t begin, std::uint64_t bytes);
    void release(std::uint64_t begin, std::uint64_t bytes);

private:
    /// Counts the pages of [first, end) down and unmaps those that nobody uses any more.
    void drop(std::uint64_t first, std::uint64_t end);
    /// Takes back a reservation that failed; always false.
    bool undo(std::uint64_t first, std::uint64_t unmapped, std::uint64_t counted);

    std::mutex mutex_;
    std::map<std::uint64_t, std::uint32_t> uses_;  // page number → allocations in it
};

}  // namespace cubar::guest
