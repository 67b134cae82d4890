// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/texture.h"

#include <cuda.h>

#include "driver/array_format.h"
#include "softgpu/api/array_handle.h"
#include "softgpu/api/entry.h"
#include "softgpu/device/image_object.h"
#include "softgpu/device/texture_limits.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::ContextRef;
using device::Driver;
using device::ImageObject;
using device::ImageResource;

namespace {

ImageResource resource_of(Driver& driver, const CUDA_RESOURCE_DESC& description) {
    switch (description.resType) {
        case CU_RESOURCE_TYPE_ARRAY:
            return {description, api::array_of(driver, description.res.array.hArray), nullptr};
        case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
            return {description, nullptr,
                    api::mipmapped_array_of(driver, description.res.mipmap.hMipmappedArray)};
        case CU_RESOURCE_TYPE_LINEAR:
        case CU_RESOURCE_TYPE_PITCH2D:
            return {description, nullptr, nullptr};
        default:
            throw device::Error(CUDA_ERROR_INVALID_VALUE, "no such type of resource");
    }
}

/// Waits for the kernels that may still use it.
void destroy(Driver& driver, std::uint64_t handle, bool is_surface) {
    driver.settle(driver.images().find(handle, is_surface)->context);
    driver.images().remove(handle, is_surface);
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuTexObjectCreate(CUtexObject* handle,
                                                const CUDA_RESOURCE_DESC* resource,
                                                const CUDA_TEXTURE_DESC* texture,
                                                const CUDA_RESOURCE_VIEW_DESC* view) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && resource != nullptr && texture != nullptr,
                      "a null pointer");
        const ContextRef context = driver.current_healthy();
        const auto image =
            device::bind_texture(driver.memory(), resource_of(driver, *resource), *texture, view);
        ImageObject object{context->handle(), false, *resource, *texture, std::nullopt};
        if (view != nullptr) object.view = *view;
        *handle = driver.images().add(object, image);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuTexObjectDestroy(CUtexObject handle) {
    return entry(__func__, [&](Driver& driver) { destroy(driver, handle, false); });
}

CUBAR_EXPORT CUresult CUDAAPI cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource,
                                                         CUtexObject handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(resource != nullptr, "a null pointer");
        *resource = driver.images().find(handle, false)->resource;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* texture,
                                                        CUtexObject handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(texture != nullptr, "a null pointer");
        *texture = driver.images().find(handle, false)->texture;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* view,
                                                             CUtexObject handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(view != nullptr, "a null pointer");
        const auto object = driver.images().find(handle, false);
        require_value(object->view.has_value(), "the texture was made without a view");
        *view = *object->view;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuSurfObjectCreate(CUsurfObject* handle,
                                                 const CUDA_RESOURCE_DESC* resource) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && resource != nullptr, "a null pointer");
        const ContextRef context = driver.current_healthy();
        const auto image = device::bind_surface(resource_of(driver, *resource));
        *handle =
            driver.images().add({context->handle(), true, *resource, {}, std::nullopt}, image);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuSurfObjectDestroy(CUsurfObject handle) {
    return entry(__func__, [&](Driver& driver) { destroy(driver, handle, true); });
}

CUBAR_EXPORT CUresult CUDAAPI cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* resource,
                                                          CUsurfObject handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(resource != nullptr, "a null pointer");
        *resource = driver.images().find(handle, true)->resource;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuDeviceGetTexture1DLinearMaxWidth(size_t* width,
                                                                 CUarray_format format,
                                                                 unsigned channels,
                                                                 CUdevice device) {
    return entry(__func__, [&](Driver& driver) {
        require_value(width != nullptr, "a null pointer");
        require_value(cubar::driver::channel_bytes(format) != 0 &&
                          (channels == 1 || channels == 2 || channels == 4),
                      "not a format of textures");
        driver.device(device);
        *width = device::kTexture1DLinear;
    });
}
