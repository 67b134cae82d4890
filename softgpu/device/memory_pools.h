// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <mutex>
#include <vector>

#include "softgpu/device/handle_table.h"
#include "softgpu/device/memory_pool.h"

namespace cubar::softgpu::device {

/// The pools of the process: each device's default one, the one that cuMemAllocAsync uses there,
/// and those that were made. Thread-safe.
class MemoryPools {
public:
    explicit MemoryPools(Memory& memory) : memory_(memory) {}

    CUmemoryPool create(Device& device, std::size_t limit);
    /// Throws CUDA_ERROR_INVALID_VALUE for a default pool.
    void destroy(CUmemoryPool handle);
    /// Throws CUDA_ERROR_INVALID_VALUE where there is none.
    PoolRef find(CUmemoryPool handle) const;

    PoolRef standard(Device& device);
    PoolRef current(Device& device);
    /// Throws CUDA_ERROR_INVALID_VALUE for a pool of another device.
    void set_current(Device& device, CUmemoryPool handle);

    /// The application has waited for something: see MemoryPool::observe().
    void observe();
    /// All that is not in use goes back to the devices: memory has run out.
    void reclaim();

private:
    struct DevicePools {
        PoolRef standard;  // made when it is asked for
        PoolRef current;   // null: the standard one
    };
    PoolRef make(Device& device, std::size_t limit);
    /// With the lock held.
    DevicePools& of(Device& device);

    Memory& memory_;
    std::mutex mutex_;
    std::vector<DevicePools> devices_;
    HandleTable<MemoryPool, CUmemoryPool, HandleKind::kMemoryPool> pools_;
};

}  // namespace cubar::softgpu::device
