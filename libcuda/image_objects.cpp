// SPDX-License-Identifier: Apache-2.0
#include "libcuda/image_objects.h"

namespace cubar::guest {

void ImageObjects::add(std::uint64_t number, const ImageObject& object) {
    const std::lock_guard lock(mutex_);
    objects_.insert_or_assign(number, object);
}

bool ImageObjects::find(std::uint64_t number, bool is_surface, ImageObject& out) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(number);
    if (found == objects_.end() || found->second.is_surface != is_surface) return false;
    out = found->second;
    return true;
}

void ImageObjects::remove(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    objects_.erase(number);
}

void ImageObjects::forget_context(ContextHandle context) {
    const std::lock_guard lock(mutex_);
    std::erase_if(objects_, [&](const auto& entry) { return entry.second.context == context; });
}

}  // namespace cubar::guest
