// SPDX-License-Identifier: Apache-2.0
#include "driver/context_storage.h"

#include <algorithm>
#include <utility>

namespace cubar::driver {

void ContextStorage::put(void* key, void* value, Destructor destructor) {
    const std::lock_guard lock(mutex_);
    const auto item = std::ranges::find(items_, key, &Item::key);
    if (item != items_.end()) {
        *item = {key, value, destructor};
    } else {
        items_.push_back({key, value, destructor});
    }
}

bool ContextStorage::remove(void* key) noexcept {
    const std::lock_guard lock(mutex_);
    return std::erase_if(items_, [key](const Item& item) { return item.key == key; }) != 0;
}

bool ContextStorage::get(void* key, void** value) const noexcept {
    const std::lock_guard lock(mutex_);
    const auto item = std::ranges::find(items_, key, &Item::key);
    if (item == items_.end()) {
        return false;
    }
    *value = item->value;
    return true;
}

void ContextStorage::clear(CUcontext context) noexcept {
    std::vector<Item> items;
    {
        const std::lock_guard lock(mutex_);
        items = std::exchange(items_, {});
    }
    for (const Item& item : items) {
        if (item.destructor != nullptr) {
            item.destructor(context, item.key, item.value);
        }
    }
}

}  // namespace cubar::driver
