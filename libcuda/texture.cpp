// SPDX-License-Identifier: Apache-2.0
// Texture and surface objects. Kernels get the driver's own numbers for them; what they were made
// of is remembered here, because it names arrays by handles.
#include <algorithm>
#include <iterator>

#include "libcuda/array.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

CUresult put_resource(const Caller& caller, const CUDA_RESOURCE_DESC& resource,
                      wire::cuTexObjectCreate::Request& request) {
    request.resource_type = resource.resType;
    request.resource_flags = resource.flags;
    switch (resource.resType) {
        case CU_RESOURCE_TYPE_ARRAY: {
            Array* array = nullptr;
            CUBAR_TRY(find_array(caller, resource.res.array.hArray, array));
            request.array = cubar::ArrayHandle(bits_of(resource.res.array.hArray));
            return CUDA_SUCCESS;
        }
        case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
            const CUmipmappedArray value = resource.res.mipmap.hMipmappedArray;
            MipmappedArray* array = nullptr;
            CUBAR_TRY(find_mipmapped_array(caller, value, array));
            request.mipmapped_array = cubar::MipmappedArrayHandle(bits_of(value));
            return CUDA_SUCCESS;
        }
        case CU_RESOURCE_TYPE_LINEAR:
            request.address = resource.res.linear.devPtr;
            request.format = resource.res.linear.format;
            request.channels = resource.res.linear.numChannels;
            request.width = resource.res.linear.sizeInBytes;
            return CUDA_SUCCESS;
        case CU_RESOURCE_TYPE_PITCH2D:
            request.address = resource.res.pitch2D.devPtr;
            request.format = resource.res.pitch2D.format;
            request.channels = resource.res.pitch2D.numChannels;
            request.width = resource.res.pitch2D.width;
            request.height = resource.res.pitch2D.height;
            request.pitch = resource.res.pitch2D.pitchInBytes;
            return CUDA_SUCCESS;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

void put_texture(const CUDA_TEXTURE_DESC& texture, wire::cuTexObjectCreate::Request& request) {
    std::copy(std::begin(texture.addressMode), std::end(texture.addressMode),
              std::begin(request.address_mode));
    request.filter = texture.filterMode;
    request.flags = texture.flags;
    request.anisotropy = texture.maxAnisotropy;
    request.level_filter = texture.mipmapFilterMode;
    request.level_bias = texture.mipmapLevelBias;
    request.least_level = texture.minMipmapLevelClamp;
    request.most_level = texture.maxMipmapLevelClamp;
    std::copy(std::begin(texture.borderColor), std::end(texture.borderColor),
              std::begin(request.border));
}

void put_view(const CUDA_RESOURCE_VIEW_DESC& view, wire::cuTexObjectCreate::Request& request) {
    request.has_view = 1;
    request.view_format = view.format;
    request.view_width = view.width;
    request.view_height = view.height;
    request.view_depth = view.depth;
    request.first_level = view.firstMipmapLevel;
    request.last_level = view.lastMipmapLevel;
    request.first_layer = view.firstLayer;
    request.last_layer = view.lastLayer;
}

CUresult find(std::uint64_t number, bool is_surface, Caller& caller, ImageObject& out) {
    CUBAR_TRY(enter(caller));
    return caller.session->images.find(number, is_surface, out) ? CUDA_SUCCESS
                                                                : CUDA_ERROR_INVALID_VALUE;
}

/// One of the descriptions that the object was made of.
template <typename Description>
CUresult get(std::uint64_t number, bool is_surface, Description ImageObject::*part,
             Description* out) {
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Caller caller;
    ImageObject object;
    CUBAR_TRY(find(number, is_surface, caller, object));
    *out = object.*part;
    return CUDA_SUCCESS;
}

/// `Call` ends objects, whose number its request has in `field`.
template <typename Call>
CUresult destroy(std::uint64_t number, bool is_surface, std::uint64_t Call::Request::*field) {
    Caller caller;
    ImageObject object;
    CUBAR_TRY(find(number, is_surface, caller, object));
    typename Call::Request request{};
    request.*field = number;
    typename Call::Reply reply{};
    // Forgotten first: another thread may be given the same number.
    caller.session->images.remove(number);
    const CUresult result = call_in<Call>(caller, object.context, {}, request, reply);
    if (result != CUDA_SUCCESS) caller.session->images.add(number, object);
    return result;
}

}  // namespace

CUBAR_API cuTexObjectCreate(CUtexObject* out, const CUDA_RESOURCE_DESC* resource,
                            const CUDA_TEXTURE_DESC* texture, const CUDA_RESOURCE_VIEW_DESC* view) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || resource == nullptr || texture == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    wire::cuTexObjectCreate::Request request{};
    CUBAR_TRY(put_resource(caller, *resource, request));
    put_texture(*texture, request);
    if (view != nullptr) put_view(*view, request);
    wire::cuTexObjectCreate::Reply reply{};
    const cubar::ContextHandle context = caller.context->handle;
    CUBAR_TRY(call_in<wire::cuTexObjectCreate>(caller, context, {}, request, reply));
    ImageObject object{context, false, *resource, *texture, view != nullptr, {}};
    if (view != nullptr) object.view = *view;
    caller.session->images.add(reply.texture, object);
    *out = reply.texture;
    return CUDA_SUCCESS;
}

CUBAR_API cuTexObjectDestroy(CUtexObject texture) {
    return destroy<wire::cuTexObjectDestroy>(texture, false,
                                             &wire::cuTexObjectDestroy::Request::texture);
}

CUBAR_API cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* out, CUtexObject texture) {
    return get(texture, false, &ImageObject::resource, out);
}

CUBAR_API cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* out, CUtexObject texture) {
    return get(texture, false, &ImageObject::texture, out);
}

CUBAR_API cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* out, CUtexObject texture) {
    Caller caller;
    ImageObject object;
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUBAR_TRY(find(texture, false, caller, object));
    if (!object.has_view) return CUDA_ERROR_INVALID_VALUE;
    *out = object.view;
    return CUDA_SUCCESS;
}

CUBAR_API cuSurfObjectCreate(CUsurfObject* out, const CUDA_RESOURCE_DESC* resource) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || resource == nullptr || resource->resType != CU_RESOURCE_TYPE_ARRAY ||
        resource->flags != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    Array* array = nullptr;
    CUBAR_TRY(find_array(caller, resource->res.array.hArray, array));
    wire::cuSurfObjectCreate::Request request{};
    request.array = cubar::ArrayHandle(bits_of(resource->res.array.hArray));
    wire::cuSurfObjectCreate::Reply reply{};
    const cubar::ContextHandle context = caller.context->handle;
    CUBAR_TRY(call_in<wire::cuSurfObjectCreate>(caller, context, {}, request, reply));
    caller.session->images.add(reply.surface, {context, true, *resource, {}, false, {}});
    *out = reply.surface;
    return CUDA_SUCCESS;
}

CUBAR_API cuSurfObjectDestroy(CUsurfObject surface) {
    return destroy<wire::cuSurfObjectDestroy>(surface, true,
                                              &wire::cuSurfObjectDestroy::Request::surface);
}

CUBAR_API cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* out, CUsurfObject surface) {
    return get(surface, true, &ImageObject::resource, out);
}
