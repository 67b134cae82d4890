// SPDX-License-Identifier: Apache-2.0
#include "libcuda/kernel_facts.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace cubar::guest {

KernelFacts* KernelFactsPool::make(std::span<const KernelParameter> parameters,
                                   std::string_view name) {
    const std::size_t needed = parameters.size_bytes() + name.size() + 1;
    const std::lock_guard lock(mutex_);
    KernelFacts** link = &free_;
    while (*link != nullptr && (*link)->capacity < needed) link = &(*link)->next_free;
    KernelFacts* facts = *link;
    if (facts != nullptr) {
        *link = facts->next_free;
    } else {
        void* memory = std::malloc(sizeof(KernelFacts) + needed);
        if (memory == nullptr) return nullptr;
        facts = new (memory) KernelFacts;
        facts->capacity = needed;
    }
    auto* places = reinterpret_cast<KernelParameter*>(facts + 1);
    auto* text = reinterpret_cast<char*>(places + parameters.size());
    std::copy(parameters.begin(), parameters.end(), places);  // there may be none
    std::memcpy(text, name.data(), name.size());
    text[name.size()] = '\0';
    facts->parameters = {places, parameters.size()};
    facts->name = {text, name.size()};
    facts->references = 1;
    facts->next_free = nullptr;
    return facts;
}

KernelFacts* KernelFactsPool::share(KernelFacts* facts) {
    const std::lock_guard lock(mutex_);
    ++facts->references;
    return facts;
}

void KernelFactsPool::release(KernelFacts* facts) {
    const std::lock_guard lock(mutex_);
    if (--facts->references != 0) return;
    facts->next_free = free_;
    free_ = facts;
}

}  // namespace cubar::guest
