// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/memory_pools.h"

#include <algorithm>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {

PoolRef MemoryPools::make(Device& device, std::size_t limit) {
    auto pool = std::make_shared<MemoryPool>(memory_, device, limit);
    pool->handle = pools_.insert(pool);
    return pool;
}

CUmemoryPool MemoryPools::create(Device& device, std::size_t limit) {
    return make(device, limit)->handle;
}

PoolRef MemoryPools::find(CUmemoryPool handle) const {
    PoolRef pool = pools_.find(handle);
    require_value(pool != nullptr, "not a memory pool");
    return pool;
}

MemoryPools::DevicePools& MemoryPools::of(Device& device) {
    const auto index = static_cast<std::size_t>(device.ordinal());
    if (devices_.size() <= index) devices_.resize(index + 1);
    DevicePools& pools = devices_[index];
    if (pools.standard == nullptr) pools.standard = make(device, 0);
    return pools;
}

PoolRef MemoryPools::standard(Device& device) {
    std::lock_guard lock(mutex_);
    return of(device).standard;
}

PoolRef MemoryPools::current(Device& device) {
    std::lock_guard lock(mutex_);
    const DevicePools& pools = of(device);
    return pools.current != nullptr ? pools.current : pools.standard;
}

void MemoryPools::set_current(Device& device, CUmemoryPool handle) {
    const PoolRef pool = find(handle);
    require_value(&pool->device() == &device, "a pool of another device");
    std::lock_guard lock(mutex_);
    of(device).current = pool;
}

void MemoryPools::destroy(CUmemoryPool handle) {
    const PoolRef pool = find(handle);
    std::lock_guard lock(mutex_);
    DevicePools& pools = of(pool->device());
    require_value(pool != pools.standard, "a default pool cannot be destroyed");
    if (pools.current == pool) pools.current = nullptr;
    pools_.remove(handle);
}

void MemoryPools::observe() {
    for (const PoolRef& pool : pools_.objects()) pool->observe();
}

void MemoryPools::reclaim() {
    for (const PoolRef& pool : pools_.objects()) pool->trim(0);
}

}  // namespace cubar::softgpu::device
