// SPDX-License-Identifier: Apache-2.0
#include "host/worker/graph_memory.h"

#include <algorithm>
#include <vector>

#include "driver/log.h"
#include "host/worker/try.h"

namespace cubar::host {
namespace {

// What the driver maps at once.
constexpr std::uint64_t kPage = std::uint64_t{2} << 20;

bool round_up(std::uint64_t bytes, std::uint64_t& rounded) {
    return !__builtin_add_overflow(bytes, kPage - 1, &rounded) && (rounded &= ~(kPage - 1), true);
}

/// What stands for all of a device's among the charges. No address is so low, and no handle.
std::uint64_t key_of(CUdevice device) {
    return static_cast<std::uint64_t>(device) + 1;
}

}  // namespace

std::uint64_t GraphMemory::reserved(CUdevice device) const {
    cuuint64_t bytes = 0;
    // A driver that lacks it has no such memory.
    ask(driver_.cuDeviceGetGraphMemAttribute, device, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT,
        static_cast<void*>(&bytes));
    return bytes;
}

bool GraphMemory::is_known(std::uint64_t address) const {
    unsigned type = 0;
    // Any other error says nothing about the address.
    return ask(driver_.cuPointerGetAttribute, static_cast<void*>(&type),
               CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
               static_cast<CUdeviceptr>(address)) != CUDA_ERROR_INVALID_VALUE;
}

bool GraphMemory::account(CUdevice device, std::uint64_t more, bool gives_back) {
    std::uint64_t charged = more;
    for (const auto& [address, owned] : owned_) {
        if (owned.device == device) charged += owned.charged;
    }
    const auto resize = [&](std::uint64_t held) {
        return allocations_.resize(key_of(device), static_cast<std::uint32_t>(device),
                                   std::max(charged, held));
    };
    const std::uint64_t held = reserved(device);
    // Trimmed between launches, the driver would have to map it all again.
    const bool trims = held > charged && gives_back;
    if (!trims && resize(held)) return true;
    if (held <= charged) return false;
    ask(driver_.cuDeviceGraphMemTrim, device);
    return resize(reserved(device));
}

void GraphMemory::account_all(bool gives_back) {
    for (const CUdevice device : devices_) {
        if (!account(device, 0, gives_back)) {
            CUBAR_LOG(kWarn, "the driver reserves more for graphs than the quota has left");
        }
    }
}

CUresult GraphMemory::allocate(GraphHandle graph, CUdevice device, std::uint64_t bytes,
                               const std::function<CUresult(CUdeviceptr&)>& make,
                               CUdeviceptr& address) {
    std::uint64_t charged = 0;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!round_up(bytes, charged)) return CUDA_ERROR_OUT_OF_MEMORY;
    const std::lock_guard lock(mutex_);
    if (!account(device, charged, false)) return CUDA_ERROR_OUT_OF_MEMORY;
    devices_.insert(device);
    any_.store(true, std::memory_order_relaxed);
    const CUresult result = make(address);
    // What had the address before has ended unnoticed.
    if (result == CUDA_SUCCESS) {
        owned_.insert_or_assign(address, Owned{device, charged, graphs_.whole(graph)});
    }
    account_all(false);
    return result;
}

bool GraphMemory::holds(std::uint64_t address) const {
    const std::lock_guard lock(mutex_);
    return owned_.contains(address);
}

void GraphMemory::moved(GraphHandle graph, GraphHandle into) {
    const std::lock_guard lock(mutex_);
    for (auto& [address, owned] : owned_) {
        if (owned.graph == graph) owned.graph = graphs_.whole(into);
    }
}

void GraphMemory::settle() {
    if (!any()) return;
    const std::lock_guard lock(mutex_);
    settle_locked();
}

void GraphMemory::settle_locked() {
    const std::set<std::uint64_t> running = graphs_.instantiated();
    const auto ended = std::erase_if(owned_, [&](const auto& entry) {
        const auto& [address, owned] = entry;
        return graphs_.graphs.find(owned.graph) == nullptr &&
               !running.contains(owned.graph.bits()) && !is_known(address);
    });
    account_all(ended != 0);
}

void GraphMemory::account() {
    if (!any()) return;
    const std::lock_guard lock(mutex_);
    account_all(false);
}

bool GraphMemory::reclaim() {
    if (!any()) return false;
    const std::lock_guard lock(mutex_);
    for (const CUdevice device : devices_) ask(driver_.cuDeviceGraphMemTrim, device);
    settle_locked();
    return true;
}

}  // namespace cubar::host
