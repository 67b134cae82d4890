// SPDX-License-Identifier: Apache-2.0
#include "cubar/host/dispatch.h"
#include "host/worker/arena_view.h"
#include "host/worker/session.h"

namespace cubar::host {

CUresult handle_image_begin(Session& session, const transport::Record&,
                            const wire::image_begin::Request& request, std::span<const std::byte>,
                            wire::image_begin::Reply& reply) {
    reply.upload = session.images().begin(request.bytes);
    return reply.upload != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_image_part(Session& session, const transport::Record&,
                           const wire::image_part::Request& request, std::span<const std::byte>,
                           wire::image_part::Reply&) {
    const auto part = session.arena().bytes(request.arena_offset, request.bytes);
    if (part.empty() || !session.images().append(request.upload, request.image_offset, part)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult handle_image_end(Session& session, const transport::Record&,
                          const wire::image_end::Request& request, std::span<const std::byte>,
                          wire::image_end::Reply&) {
    session.images().end(request.upload);
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
