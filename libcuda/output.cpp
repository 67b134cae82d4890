// SPDX-License-Identifier: Apache-2.0
#include "libcuda/output.h"

#include <unistd.h>

#include <cstdio>

namespace cubar::guest {

// Through stdio, as NVIDIA's driver does, so that the order among the program's own lines is kept.
// It is the application's output: its kernels printed it, or failed an assert.
void fetch_output(const Caller& caller) {
    for (;;) {
        wire::output::Request request{};
        wire::output::Reply reply{};
        if (call_in<wire::output>(caller, {}, {}, request, reply) != CUDA_SUCCESS) return;
        const std::size_t bytes = reply.bytes < sizeof reply.text ? reply.bytes : sizeof reply.text;
        std::fwrite(reply.text, 1, bytes, reply.descriptor == STDERR_FILENO ? stderr : stdout);
        if (reply.left == 0) return;
    }
}

}  // namespace cubar::guest
