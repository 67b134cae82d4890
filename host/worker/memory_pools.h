// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "cubar/handle.h"
#include "cubar/handle_table.h"
#include "host/worker/allocations.h"
#include "host/worker/driver.h"

namespace cubar::host {

struct PoolObject {
    CUmemoryPool pool = nullptr;
    CUdevice device = 0;
    std::uint32_t live = 0;  ///< allocations
    bool destroyed = false;  ///< and not gone before its last allocation
};

/// The driver's memory pools that the guest knows, and what they cost it. A pool is charged for
/// what it reserves, whether that is in use or kept for later: before an allocation for what it may
/// grow by, after it for what it has become. The driver gives memory back when it is waited for, so
/// the charge is compared with the driver's number at each occasion. Thread-safe.
class MemoryPools {
public:
    MemoryPools(const Driver& driver, Allocations& allocations)
        : driver_(driver), allocations_(allocations) {}

    /// The handle of a pool, made when it is met for the first time. A null handle: table full.
    MemoryPoolHandle handle_of(CUmemoryPool pool, CUdevice device);
    CUresult resolve(MemoryPoolHandle handle, PoolObject& out) const;
    CUresult destroy(MemoryPoolHandle handle);

    /// Allocates in the stream's order, within what the ledger grants.
    CUresult allocate(MemoryPoolHandle handle, std::uint64_t bytes, CUstream stream,
                      CUdeviceptr& address);
    /// Compares all charges with what the pools reserve now.
    void account();
    /// Gives back all that no pool has in use.
    void reclaim();

    /// The driver frees the allocation, at once or in the order of a stream (the legacy one by its
    /// context).
    void freed(std::uint64_t address);
    void freed_in(std::uint64_t address, AnyHandle stream);
    /// The frees in streams for which over(handle) holds have been waited for, or never will be.
    /// True: there are others.
    template <typename Over>
    bool observed(Over&& over) {
        account();
        const std::lock_guard lock(mutex_);
        std::erase_if(freed_in_, [&](std::uint64_t bits) { return over(AnyHandle(bits)); });
        return !freed_in_.empty();
    }

private:
    std::uint64_t attribute(const PoolObject& object, CUmemPool_attribute attribute) const;
    // With the lock held.
    bool account(MemoryPoolHandle handle, const PoolObject& object);
    bool prepare(MemoryPoolHandle handle, const PoolObject& object, std::uint64_t bytes);
    void reclaim_locked();
    void account_locked();
    void freed_locked(std::uint64_t address);

    const Driver& driver_;
    Allocations& allocations_;
    mutable std::mutex mutex_;
    HandleTable<Kind::kMemoryPool, PoolObject> pools_;
    std::map<CUmemoryPool, MemoryPoolHandle> handles_;
    std::map<std::uint64_t, MemoryPoolHandle> live_;
    std::set<std::uint64_t> freed_in_;
};

}  // namespace cubar::host
