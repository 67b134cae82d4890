// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/bound_image.h"

#include <mutex>
#include <utility>

namespace cubar::softgpu::exec {

uint64_t ImageTable::add(Ref image) {
    const std::lock_guard lock(mutex_);
    const uint64_t handle = next_++;
    images_.emplace(handle, std::move(image));
    return handle;
}

bool ImageTable::remove(uint64_t handle) {
    const std::lock_guard lock(mutex_);
    return images_.erase(handle) != 0;
}

ImageTable::Ref ImageTable::find(uint64_t handle) const {
    const std::shared_lock lock(mutex_);
    const auto at = images_.find(handle);
    return at == images_.end() ? nullptr : at->second;
}

}  // namespace cubar::softgpu::exec
