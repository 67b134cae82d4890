// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/array_handle.h"
#include "softgpu/api/entry.h"
#include "softgpu/device/capture.h"

using namespace cubar::softgpu;
using api::array_of;
using api::entry;
using api::mipmapped_array_of;
using api::require;
using api::require_value;
using device::Array;
using device::ArrayRef;
using device::ContextRef;
using device::Driver;
using device::MipmappedArray;
using device::MipmappedArrayRef;

namespace cubar::softgpu::api {

ArrayRef array_of(Driver& driver, CUarray handle) {
    ArrayRef array = driver.arrays.find(handle);
    require(array != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such array");
    return array;
}

MipmappedArrayRef mipmapped_array_of(Driver& driver, CUmipmappedArray handle) {
    MipmappedArrayRef array = driver.mipmapped_arrays.find(handle);
    require(array != nullptr, CUDA_ERROR_INVALID_HANDLE, "no such mipmapped array");
    return array;
}

}  // namespace cubar::softgpu::api

namespace {

CUarray publish(Driver& driver, const ArrayRef& array) {
    array->handle = driver.arrays.insert(array);
    return array->handle;
}

CUarray create(Driver& driver, const CUDA_ARRAY3D_DESCRIPTOR& description) {
    const ContextRef context = driver.current_healthy();
    driver.captures().forbid_unsafe();
    Array::check(description);
    return publish(driver, driver.with_reclaim([&] {
        return Array::create(context->device().heap(), context->owner(), description);
    }));
}

// Arrays here have all their memory from the beginning, and one plane.

void refuse_requirements(Driver& driver, CUdevice device) {
    driver.device(device);
    throw device::Error(CUDA_ERROR_INVALID_VALUE, "the array's memory is not mapped later");
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuArrayCreate_v2(CUarray* handle,
                                               const CUDA_ARRAY_DESCRIPTOR* description) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && description != nullptr, "a null pointer");
        *handle = create(driver, {description->Width, description->Height, 0, description->Format,
                                  description->NumChannels, 0});
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArray3DCreate_v2(CUarray* handle,
                                                 const CUDA_ARRAY3D_DESCRIPTOR* description) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && description != nullptr, "a null pointer");
        *handle = create(driver, *description);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR* description,
                                                      CUarray handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(description != nullptr, "a null pointer");
        const ArrayRef array = array_of(driver, handle);
        const CUDA_ARRAY3D_DESCRIPTOR& whole = array->description();
        *description = {whole.Width, whole.Height, whole.Format, whole.NumChannels};
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR* description,
                                                        CUarray handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(description != nullptr, "a null pointer");
        *description = array_of(driver, handle)->description();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArrayDestroy(CUarray handle) {
    return entry(__func__, [&](Driver& driver) {
        const ArrayRef array = array_of(driver, handle);
        driver.captures().forbid_unsafe();
        require(!array->is_level(), CUDA_ERROR_INVALID_HANDLE,
                "a level ends with its mipmapped array");
        driver.settle(array->context());
        // Another thread may have been quicker.
        require(driver.arrays.remove(handle) != nullptr, CUDA_ERROR_INVALID_HANDLE,
                "destroyed already");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMipmappedArrayCreate(CUmipmappedArray* handle,
                                                     const CUDA_ARRAY3D_DESCRIPTOR* description,
                                                     unsigned int levels) {
    return entry(__func__, [&](Driver& driver) {
        require_value(handle != nullptr && description != nullptr, "a null pointer");
        require_value(levels != 0, "no levels");
        const ContextRef context = driver.current_healthy();
        driver.captures().forbid_unsafe();
        Array::check(*description);
        const MipmappedArrayRef array = driver.with_reclaim([&] {
            return MipmappedArray::create(context->device().heap(), context->owner(), *description,
                                          levels);
        });
        for (const ArrayRef& level : array->levels()) publish(driver, level);
        *handle = driver.mipmapped_arrays.insert(array);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMipmappedArrayGetLevel(CUarray* array, CUmipmappedArray handle,
                                                       unsigned int level) {
    return entry(__func__, [&](Driver& driver) {
        require_value(array != nullptr, "a null pointer");
        const MipmappedArrayRef whole = mipmapped_array_of(driver, handle);
        require_value(level < whole->levels().size(), "no such level");
        *array = whole->levels()[level]->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMipmappedArrayDestroy(CUmipmappedArray handle) {
    return entry(__func__, [&](Driver& driver) {
        const MipmappedArrayRef array = mipmapped_array_of(driver, handle);
        driver.captures().forbid_unsafe();
        driver.settle(array->context());
        require(driver.mipmapped_arrays.remove(handle) != nullptr, CUDA_ERROR_INVALID_HANDLE,
                "destroyed already");
        for (const ArrayRef& level : array->levels()) driver.arrays.remove(level->handle);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* out,
                                                           CUarray handle, CUdevice device) {
    return entry(__func__, [&](Driver& driver) {
        require_value(out != nullptr, "a null pointer");
        array_of(driver, handle);
        refuse_requirements(driver, device);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMipmappedArrayGetMemoryRequirements(
    CUDA_ARRAY_MEMORY_REQUIREMENTS* out, CUmipmappedArray handle, CUdevice device) {
    return entry(__func__, [&](Driver& driver) {
        require_value(out != nullptr, "a null pointer");
        mipmapped_array_of(driver, handle);
        refuse_requirements(driver, device);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* out,
                                                         CUarray handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(out != nullptr, "a null pointer");
        array_of(driver, handle);
        require_value(false, "the array is not sparse");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* out,
                                                                  CUmipmappedArray handle) {
    return entry(__func__, [&](Driver& driver) {
        require_value(out != nullptr, "a null pointer");
        mipmapped_array_of(driver, handle);
        require_value(false, "the array is not sparse");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuArrayGetPlane(CUarray* plane, CUarray handle, unsigned int) {
    return entry(__func__, [&](Driver& driver) {
        require_value(plane != nullptr, "a null pointer");
        array_of(driver, handle);
        require_value(false, "the array has no planes");
    });
}
