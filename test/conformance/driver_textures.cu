// SPDX-License-Identifier: Apache-2.0
// Texture and surface objects by the driver API: what they tell of themselves, and their errors.
#include "driver_api.h"

namespace {

CUarray make_array(CUarray_format format, unsigned channels, unsigned flags) {
    const CUDA_ARRAY3D_DESCRIPTOR shape{16, 8, 0, format, channels, flags};
    CUarray array = nullptr;
    DRIVER(cuArray3DCreate(&array, &shape));
    return array;
}

CUDA_RESOURCE_DESC resource_of(CUarray array) {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_ARRAY;
    resource.res.array.hArray = array;
    return resource;
}

void textures() {
    CUarray array = make_array(CU_AD_FORMAT_UNSIGNED_INT8, 4, 0);
    const CUDA_RESOURCE_DESC resource = resource_of(array);
    CUDA_TEXTURE_DESC how{};
    how.addressMode[0] = CU_TR_ADDRESS_MODE_BORDER;
    how.addressMode[1] = CU_TR_ADDRESS_MODE_MIRROR;
    how.filterMode = CU_TR_FILTER_MODE_LINEAR;
    how.flags = CU_TRSF_NORMALIZED_COORDINATES;
    how.borderColor[2] = 0.5f;
    CUDA_RESOURCE_VIEW_DESC view{};
    view.format = CU_RES_VIEW_FORMAT_UINT_4X8;
    view.width = 16;
    view.height = 8;
    CUtexObject texture = 0, viewed = 0;
    DRIVER(cuTexObjectCreate(&texture, &resource, &how, nullptr));
    DRIVER(cuTexObjectCreate(&viewed, &resource, &how, &view));
    CHECK(texture != 0 && viewed != 0 && texture != viewed);

    CUDA_RESOURCE_DESC told_resource{};
    CUDA_TEXTURE_DESC told{};
    CUDA_RESOURCE_VIEW_DESC told_view{};
    DRIVER(cuTexObjectGetResourceDesc(&told_resource, texture));
    CHECK(told_resource.resType == CU_RESOURCE_TYPE_ARRAY);
    CHECK(told_resource.res.array.hArray == array);
    DRIVER(cuTexObjectGetTextureDesc(&told, texture));
    CHECK(told.addressMode[0] == CU_TR_ADDRESS_MODE_BORDER);
    CHECK(told.filterMode == CU_TR_FILTER_MODE_LINEAR && told.borderColor[2] == 0.5f);
    DRIVER(cuTexObjectGetResourceViewDesc(&told_view, viewed));
    CHECK(told_view.format == CU_RES_VIEW_FORMAT_UINT_4X8 && told_view.width == 16);
    DRIVER_FAILS(cuTexObjectGetResourceViewDesc(&told_view, texture), CUDA_ERROR_INVALID_VALUE);

    DRIVER(cuTexObjectDestroy(viewed));
    DRIVER(cuTexObjectDestroy(texture));
    DRIVER_FAILS(cuTexObjectGetTextureDesc(&told, texture), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuTexObjectDestroy(texture), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuArrayDestroy(array));
}

void refusals() {
    CUarray array = make_array(CU_AD_FORMAT_UNSIGNED_INT8, 1, 0);
    CUDA_RESOURCE_DESC resource = resource_of(array);
    CUDA_TEXTURE_DESC how{};
    CUtexObject texture = 0;
    DRIVER_FAILS(cuTexObjectCreate(nullptr, &resource, &how, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuTexObjectCreate(&texture, &resource, nullptr, nullptr),
                 CUDA_ERROR_INVALID_VALUE);
    // Integers are not filtered.
    how.filterMode = CU_TR_FILTER_MODE_LINEAR;
    how.flags = CU_TRSF_READ_AS_INTEGER;
    DRIVER_FAILS(cuTexObjectCreate(&texture, &resource, &how, nullptr), CUDA_ERROR_INVALID_VALUE);
    how = {};
    resource.flags = 1;
    DRIVER_FAILS(cuTexObjectCreate(&texture, &resource, &how, nullptr), CUDA_ERROR_INVALID_VALUE);

    CUdeviceptr memory = 0;
    DRIVER(cuMemAlloc(&memory, 4096));
    CUDA_RESOURCE_DESC linear{};
    linear.resType = CU_RESOURCE_TYPE_LINEAR;
    linear.res.linear.devPtr = memory + 4;
    linear.res.linear.format = CU_AD_FORMAT_FLOAT;
    linear.res.linear.numChannels = 1;
    linear.res.linear.sizeInBytes = 1024;
    DRIVER_FAILS(cuTexObjectCreate(&texture, &linear, &how, nullptr), CUDA_ERROR_INVALID_VALUE);
    linear.res.linear.devPtr = memory;
    linear.res.linear.numChannels = 3;
    DRIVER_FAILS(cuTexObjectCreate(&texture, &linear, &how, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuMemFree(memory));
    std::size_t most = 0;
    DRIVER(cuDeviceGetTexture1DLinearMaxWidth(&most, CU_AD_FORMAT_FLOAT, 1, 0));
    CHECK(most >= 1u << 27);
    DRIVER(cuArrayDestroy(array));
}

void surfaces() {
    CUarray plain = make_array(CU_AD_FORMAT_FLOAT, 1, 0);
    CUarray array = make_array(CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_SURFACE_LDST);
    CUDA_RESOURCE_DESC resource = resource_of(array);
    CUsurfObject surface = 0;
    DRIVER(cuSurfObjectCreate(&surface, &resource));
    CUDA_RESOURCE_DESC told{};
    DRIVER(cuSurfObjectGetResourceDesc(&told, surface));
    CHECK(told.resType == CU_RESOURCE_TYPE_ARRAY && told.res.array.hArray == array);
    CUDA_TEXTURE_DESC how{};
    DRIVER_FAILS(cuTexObjectGetTextureDesc(&how, surface), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuSurfObjectDestroy(surface));
    DRIVER_FAILS(cuSurfObjectDestroy(surface), CUDA_ERROR_INVALID_VALUE);
    resource = resource_of(plain);
    DRIVER_FAILS(cuSurfObjectCreate(&surface, &resource), CUDA_ERROR_INVALID_VALUE);
    resource.resType = CU_RESOURCE_TYPE_LINEAR;
    DRIVER_FAILS(cuSurfObjectCreate(&surface, &resource), CUDA_ERROR_INVALID_VALUE);
    DRIVER(cuArrayDestroy(plain));
    DRIVER(cuArrayDestroy(array));
}

void limits(CUdevice device) {
    const auto at_least = [&](CUdevice_attribute attribute, int least) {
        int value = 0;
        DRIVER(cuDeviceGetAttribute(&value, attribute, device));
        CHECK(value >= least);
    };
    at_least(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH, 131072);
    at_least(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH, 131072);
    at_least(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH, 16384);
    at_least(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS, 2046);
    at_least(CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE2D_WIDTH, 131072);
    at_least(CU_DEVICE_ATTRIBUTE_CAN_TEX2D_GATHER, 1);
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    textures();
    refusals();
    surfaces();
    limits(context.device());
    std::printf("done\n");
    return 0;
}
