// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "cubar/host/dispatch.h"
#include "host/worker/output_capture.h"
#include "host/worker/session.h"

namespace cubar::host {

CUresult handle_output(Session& session, const transport::Record&, const wire::output::Request&,
                       std::span<const std::byte>, wire::output::Reply& reply) {
    const OutputCapture::Text text = session.output().take(sizeof reply.text);
    std::memcpy(reply.text, text.bytes.data(), text.bytes.size());
    reply.bytes = static_cast<std::uint32_t>(text.bytes.size());
    reply.left = static_cast<std::uint32_t>(std::min<std::size_t>(text.left, ~0u));
    reply.descriptor = static_cast<std::uint32_t>(text.descriptor);
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
