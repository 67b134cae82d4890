// SPDX-License-Identifier: Apache-2.0
#include "host/worker/allocations.h"

#include <utility>
#include <vector>

#include "host/common/control_client.h"

namespace cubar::host {

Allocations::Charge::Charge(Charge&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      device_(other.device_),
      bytes_(other.bytes_),
      key_(other.key_),
      context_(other.context_) {}

Allocations::Charge::~Charge() {
    if (owner_ != nullptr) owner_->control_.credit(device_, bytes_);
}

void Allocations::Charge::keep(std::uint64_t key, ContextHandle context) {
    Allocations* owner = std::exchange(owner_, nullptr);
    if (owner == nullptr) return;
    const std::lock_guard lock(owner->mutex_);
    owner->held_.insert_or_assign(key, Held{device_, bytes_, context});
}

void Allocations::Charge::put_back() {
    keep(key_, context_);
}

Allocations::Charge Allocations::charge(std::uint32_t device, std::uint64_t bytes) {
    Charge charge;
    if (control_.charge(device, bytes) != Verdict::kGranted) return charge;
    charge.owner_ = this;
    charge.device_ = device;
    charge.bytes_ = bytes;
    return charge;
}

bool Allocations::resize(std::uint64_t key, std::uint32_t device, std::uint64_t bytes,
                         ContextHandle context) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(key);
    const std::uint64_t before = found != held_.end() ? found->second.bytes : 0;
    if (bytes > before && control_.charge(device, bytes - before) != Verdict::kGranted)
        return false;
    if (bytes < before) control_.credit(device, before - bytes);
    if (bytes == 0)
        held_.erase(key);
    else
        held_.insert_or_assign(key, Held{device, bytes, context});
    return true;
}

Allocations::Charge Allocations::take(std::uint64_t key) {
    Charge charge;
    const std::lock_guard lock(mutex_);
    const auto held = held_.find(key);
    if (held == held_.end()) return charge;
    charge.owner_ = this;
    charge.device_ = held->second.device;
    charge.bytes_ = held->second.bytes;
    charge.key_ = key;
    charge.context_ = held->second.context;
    held_.erase(held);
    return charge;
}

std::uint64_t Allocations::held(std::uint32_t device) {
    const std::lock_guard lock(mutex_);
    std::uint64_t bytes = 0;
    for (const auto& [key, held] : held_) bytes += held.device == device ? held.bytes : 0;
    return bytes;
}

void Allocations::credit_context(ContextHandle context) {
    std::vector<Held> freed;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(held_, [&](const auto& entry) {
            if (entry.second.context != context) return false;
            freed.push_back(entry.second);
            return true;
        });
    }
    for (const Held& held : freed) control_.credit(held.device, held.bytes);
}

}  // namespace cubar::host
