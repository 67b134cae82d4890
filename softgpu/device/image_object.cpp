// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/image_object.h"

#include <utility>

#include "softgpu/device/error.h"

namespace cubar::softgpu::device {

std::uint64_t ImageObjects::add(const ImageObject& object, exec::ImageTable::Ref image) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t handle = images_.add(std::move(image));
    objects_.emplace(handle, std::make_shared<const ImageObject>(object));
    return handle;
}

ImageObjects::Ref ImageObjects::find(std::uint64_t handle, bool is_surface) const {
    const std::lock_guard lock(mutex_);
    const auto at = objects_.find(handle);
    require_value(at != objects_.end() && at->second->is_surface == is_surface,
                  is_surface ? "no such surface object" : "no such texture object");
    return at->second;
}

void ImageObjects::remove(std::uint64_t handle, bool is_surface) {
    const Ref object = find(handle, is_surface);
    const std::lock_guard lock(mutex_);
    require_value(objects_.erase(handle) != 0, "destroyed already");
    images_.remove(handle);
}

void ImageObjects::remove_context(CUcontext context) {
    const std::lock_guard lock(mutex_);
    std::erase_if(objects_, [&](const auto& entry) {
        const bool ends = entry.second->context == context;
        if (ends) images_.remove(entry.first);
        return ends;
    });
}

}  // namespace cubar::softgpu::device
