// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

CUresult resource_of(Session& session, const wire::cuTexObjectCreate::Request& request,
                     CUDA_RESOURCE_DESC& out) {
    out.resType = static_cast<CUresourcetype>(request.resource_type);
    out.flags = request.resource_flags;
    switch (request.resource_type) {
        case CU_RESOURCE_TYPE_ARRAY:
            CUBAR_TRY(session.arrays().resolve(request.array, out.res.array.hArray));
            return out.res.array.hArray != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
        case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
            CUmipmappedArray& array = out.res.mipmap.hMipmappedArray;
            CUBAR_TRY(session.arrays().resolve(request.mipmapped_array, array));
            return array != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
        }
        case CU_RESOURCE_TYPE_LINEAR:
            out.res.linear.devPtr = request.address;
            out.res.linear.format = static_cast<CUarray_format>(request.format);
            out.res.linear.numChannels = request.channels;
            out.res.linear.sizeInBytes = request.width;
            return CUDA_SUCCESS;
        case CU_RESOURCE_TYPE_PITCH2D:
            out.res.pitch2D.devPtr = request.address;
            out.res.pitch2D.format = static_cast<CUarray_format>(request.format);
            out.res.pitch2D.numChannels = request.channels;
            out.res.pitch2D.width = request.width;
            out.res.pitch2D.height = request.height;
            out.res.pitch2D.pitchInBytes = request.pitch;
            return CUDA_SUCCESS;
        default:
            return CUDA_ERROR_INVALID_VALUE;
    }
}

CUDA_TEXTURE_DESC texture_of(const wire::cuTexObjectCreate::Request& request) {
    CUDA_TEXTURE_DESC texture{};
    std::transform(std::begin(request.address_mode), std::end(request.address_mode),
                   std::begin(texture.addressMode),
                   [](std::uint32_t mode) { return static_cast<CUaddress_mode>(mode); });
    texture.filterMode = static_cast<CUfilter_mode>(request.filter);
    texture.flags = request.flags;
    texture.maxAnisotropy = request.anisotropy;
    texture.mipmapFilterMode = static_cast<CUfilter_mode>(request.level_filter);
    texture.mipmapLevelBias = request.level_bias;
    texture.minMipmapLevelClamp = request.least_level;
    texture.maxMipmapLevelClamp = request.most_level;
    std::copy(std::begin(request.border), std::end(request.border),
              std::begin(texture.borderColor));
    return texture;
}

CUDA_RESOURCE_VIEW_DESC view_of(const wire::cuTexObjectCreate::Request& request) {
    CUDA_RESOURCE_VIEW_DESC view{};
    view.format = static_cast<CUresourceViewFormat>(request.view_format);
    view.width = request.view_width;
    view.height = request.view_height;
    view.depth = request.view_depth;
    view.firstMipmapLevel = request.first_level;
    view.lastMipmapLevel = request.last_level;
    view.firstLayer = request.first_layer;
    view.lastLayer = request.last_layer;
    return view;
}

}  // namespace

CUresult handle_cuTexObjectCreate(Session& session, const transport::Record& record,
                                  const wire::cuTexObjectCreate::Request& request,
                                  std::span<const std::byte>,
                                  wire::cuTexObjectCreate::Reply& reply) {
    CUDA_RESOURCE_DESC resource{};
    CUBAR_TRY(resource_of(session, request, resource));
    const CUDA_TEXTURE_DESC texture = texture_of(request);
    const CUDA_RESOURCE_VIEW_DESC view = view_of(request);
    CUtexObject made = 0;
    CUBAR_TRY(ask(session.driver().cuTexObjectCreate, &made,
                  static_cast<const CUDA_RESOURCE_DESC*>(&resource), &texture,
                  request.has_view != 0 ? &view : nullptr));
    session.arrays().add_image(made, false, ContextHandle(record.header().context));
    reply.texture = made;
    return CUDA_SUCCESS;
}

CUresult handle_cuTexObjectDestroy(Session& session, const transport::Record&,
                                   const wire::cuTexObjectDestroy::Request& request,
                                   std::span<const std::byte>, wire::cuTexObjectDestroy::Reply&) {
    if (!session.arrays().take_image(request.texture, false)) return CUDA_ERROR_INVALID_VALUE;
    return ask(session.driver().cuTexObjectDestroy, request.texture);
}

CUresult handle_cuSurfObjectCreate(Session& session, const transport::Record& record,
                                   const wire::cuSurfObjectCreate::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuSurfObjectCreate::Reply& reply) {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = CU_RESOURCE_TYPE_ARRAY;
    CUBAR_TRY(session.arrays().resolve(request.array, resource.res.array.hArray));
    if (resource.res.array.hArray == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    CUsurfObject made = 0;
    CUBAR_TRY(ask(session.driver().cuSurfObjectCreate, &made,
                  static_cast<const CUDA_RESOURCE_DESC*>(&resource)));
    session.arrays().add_image(made, true, ContextHandle(record.header().context));
    reply.surface = made;
    return CUDA_SUCCESS;
}

CUresult handle_cuSurfObjectDestroy(Session& session, const transport::Record&,
                                    const wire::cuSurfObjectDestroy::Request& request,
                                    std::span<const std::byte>, wire::cuSurfObjectDestroy::Reply&) {
    if (!session.arrays().take_image(request.surface, true)) return CUDA_ERROR_INVALID_VALUE;
    return ask(session.driver().cuSurfObjectDestroy, request.surface);
}

}  // namespace cubar::host
