// SPDX-License-Identifier: Apache-2.0
// Texture and surface objects: what the driver API tells of them. Kernels find the images behind
// them in exec::ImageTable, by the same handles.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "softgpu/exec/bound_image.h"

namespace cubar::softgpu::device {

struct ImageObject {
    CUcontext context = nullptr;
    bool is_surface = false;
    CUDA_RESOURCE_DESC resource{};
    CUDA_TEXTURE_DESC texture{};  // not of a surface
    std::optional<CUDA_RESOURCE_VIEW_DESC> view;
};

/// Thread-safe.
class ImageObjects {
public:
    using Ref = std::shared_ptr<const ImageObject>;

    explicit ImageObjects(exec::ImageTable& images) : images_(images) {}

    /// Returns the handle.
    std::uint64_t add(const ImageObject& object, exec::ImageTable::Ref image);
    /// Throws CUDA_ERROR_INVALID_VALUE where there is no such texture or surface.
    [[nodiscard]] Ref find(std::uint64_t handle, bool is_surface) const;
    /// The same when another thread was quicker.
    void remove(std::uint64_t handle, bool is_surface);
    void remove_context(CUcontext context);

private:
    exec::ImageTable& images_;
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, Ref> objects_;
};

}  // namespace cubar::softgpu::device
