// SPDX-License-Identifier: Apache-2.0
#include "host/worker/memory_pools.h"

#include <algorithm>

#include "host/worker/try.h"

namespace cubar::host {
namespace {

// What a pool grows by at the least, as far as anybody has said.
constexpr std::uint64_t kPage = std::uint64_t{2} << 20;

}  // namespace

MemoryPoolHandle MemoryPools::handle_of(CUmemoryPool pool, CUdevice device) {
    const std::lock_guard lock(mutex_);
    if (const auto known = handles_.find(pool); known != handles_.end()) return known->second;
    const MemoryPoolHandle handle = pools_.adopt([&](PoolObject& object) {
        object = {pool, device, 0, false};
    });
    if (handle) handles_.emplace(pool, handle);
    return handle;
}

CUresult MemoryPools::resolve(MemoryPoolHandle handle, PoolObject& out) const {
    const std::lock_guard lock(mutex_);
    const PoolObject* object = pools_.find(handle);
    if (object == nullptr || object->destroyed) return CUDA_ERROR_INVALID_VALUE;
    out = *object;
    return CUDA_SUCCESS;
}

CUresult MemoryPools::destroy(MemoryPoolHandle handle) {
    const std::lock_guard lock(mutex_);
    PoolObject* object = pools_.find(handle);
    if (object == nullptr || object->destroyed) return CUDA_ERROR_INVALID_VALUE;
    account(handle, *object);
    CUBAR_TRY(ask(driver_.cuMemPoolDestroy, object->pool));
    handles_.erase(object->pool);
    object->destroyed = true;
    if (object->live == 0) {
        allocations_.resize(handle.bits(), static_cast<std::uint32_t>(object->device), 0);
        pools_.forget(handle);
    }
    return CUDA_SUCCESS;
}

std::uint64_t MemoryPools::attribute(const PoolObject& object,
                                     CUmemPool_attribute attribute) const {
    cuuint64_t value = 0;
    // A driver without pools has none to ask about.
    ask(driver_.cuMemPoolGetAttribute, object.pool, attribute, static_cast<void*>(&value));
    return value;
}

bool MemoryPools::account(MemoryPoolHandle handle, const PoolObject& object) {
    return allocations_.resize(handle.bits(), static_cast<std::uint32_t>(object.device),
                               attribute(object, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT));
}

bool MemoryPools::prepare(MemoryPoolHandle handle, const PoolObject& object, std::uint64_t bytes) {
    const std::uint64_t reserved = attribute(object, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
    const std::uint64_t used = attribute(object, CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
    std::uint64_t wanted = reserved;
    if (bytes > reserved - std::min(reserved, used)) {
        if (__builtin_add_overflow(bytes, kPage - 1, &wanted)) return false;
        wanted &= ~(kPage - 1);
        if (__builtin_add_overflow(wanted, reserved, &wanted)) return false;
    }
    return allocations_.resize(handle.bits(), static_cast<std::uint32_t>(object.device), wanted);
}

CUresult MemoryPools::allocate(MemoryPoolHandle handle, std::uint64_t bytes, CUstream stream,
                               CUdeviceptr& address) {
    const std::lock_guard lock(mutex_);
    PoolObject* object = pools_.find(handle);
    if (object == nullptr || object->destroyed || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!prepare(handle, *object, bytes)) {
        reclaim_locked();
        if (!prepare(handle, *object, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const CUresult result =
        ask(driver_.cuMemAllocFromPoolAsync, &address, bytes, object->pool, stream);
    const bool granted = account(handle, *object);
    if (result != CUDA_SUCCESS) return result;
    if (granted) {
        ++object->live;
        live_.insert_or_assign(address, handle);
        return CUDA_SUCCESS;
    }
    // It took more than could be foreseen, and more than there is.
    ask(driver_.cuMemFreeAsync, address, stream);
    ask(driver_.cuStreamSynchronize, stream);
    reclaim_locked();
    return CUDA_ERROR_OUT_OF_MEMORY;
}

void MemoryPools::account() {
    const std::lock_guard lock(mutex_);
    account_locked();
}

void MemoryPools::account_locked() {
    for (const auto& [pool, handle] : handles_) account(handle, *pools_.find(handle));
}

void MemoryPools::reclaim() {
    const std::lock_guard lock(mutex_);
    reclaim_locked();
}

void MemoryPools::reclaim_locked() {
    for (const auto& [pool, handle] : handles_) ask(driver_.cuMemPoolTrimTo, pool, std::size_t{0});
    account_locked();
}

void MemoryPools::freed(std::uint64_t address) {
    const std::lock_guard lock(mutex_);
    freed_locked(address);
}

void MemoryPools::freed_in(std::uint64_t address, AnyHandle stream) {
    const std::lock_guard lock(mutex_);
    freed_locked(address);
    freed_in_.insert(stream.bits());
}

void MemoryPools::freed_locked(std::uint64_t address) {
    const auto found = live_.find(address);
    if (found == live_.end()) return;
    const MemoryPoolHandle handle = found->second;
    live_.erase(found);
    PoolObject* object = pools_.find(handle);
    if (--object->live != 0 || !object->destroyed) return;
    // The driver gives all of it back when the stream gets there.
    allocations_.resize(handle.bits(), static_cast<std::uint32_t>(object->device), 0);
    pools_.forget(handle);
}

}  // namespace cubar::host
