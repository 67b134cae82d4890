// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "cubar/host/dispatch.h"
#include "host/worker/output_capture.h"
#include "host/worker/session.h"

namespace cubar::host {

CUresult handle_output(Session& session, const transport::Record&, const wire::output::Request&,
                       std::span<const std::byte>, wire::output::Reply& reply) {
    session.output().pending();
    const std::vector<std::byte> text = session.output().take(sizeof reply.text);
    std::memcpy(reply.text, text.data(), text.size());
    reply.bytes = static_cast<std::uint32_t>(text.size());
    reply.left = static_cast<std::uint32_t>(std::min<std::size_t>(session.output().pending(), ~0u));
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
