// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "cubar/handle.h"

namespace cubar::guest {

/// What an application said of a texture or surface object when it made it.
struct ImageObject {
    ContextHandle context;
    bool is_surface = false;
    CUDA_RESOURCE_DESC resource{};
    CUDA_TEXTURE_DESC texture{};
    bool has_view = false;
    CUDA_RESOURCE_VIEW_DESC view{};
};

/// The objects of a session, by the driver's numbers for them, which kernels get. Thread-safe.
class ImageObjects {
public:
    void add(std::uint64_t number, const ImageObject& object);
    /// False: there is no such texture or surface.
    bool find(std::uint64_t number, bool is_surface, ImageObject& out) const;
    void remove(std::uint64_t number);
    void forget_context(ContextHandle context);

private:
    mutable std::mutex mutex_;
    std::map<std::uint64_t, ImageObject> objects_;
};

}  // namespace cubar::guest
