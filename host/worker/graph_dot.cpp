// SPDX-License-Identifier: Apache-2.0
// Graphs drawn by the driver, which writes a file: one of this process's memory.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/descriptor.h"

namespace cubar::host {
namespace {

/// Flags that print addresses of this process: they would mean nothing in the guest, and a hostile
/// one could use them.
constexpr unsigned kAddresses = CU_GRAPH_DEBUG_DOT_FLAGS_HOST_NODE_PARAMS |
                                CU_GRAPH_DEBUG_DOT_FLAGS_EVENT_NODE_PARAMS |
                                CU_GRAPH_DEBUG_DOT_FLAGS_HANDLES;
/// What CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE stands for, but for those and for semaphores.
constexpr unsigned kVerbose =
    CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS | CU_GRAPH_DEBUG_DOT_FLAGS_MEMCPY_NODE_PARAMS |
    CU_GRAPH_DEBUG_DOT_FLAGS_MEMSET_NODE_PARAMS | CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_ATTRIBUTES |
    CU_GRAPH_DEBUG_DOT_FLAGS_MEM_ALLOC_NODE_PARAMS | CU_GRAPH_DEBUG_DOT_FLAGS_MEM_FREE_NODE_PARAMS |
    CU_GRAPH_DEBUG_DOT_FLAGS_BATCH_MEM_OP_NODE_PARAMS | CU_GRAPH_DEBUG_DOT_FLAGS_EXTRA_TOPO_INFO;

unsigned shown(unsigned flags) {
    if ((flags & CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE) != 0) {
        flags = (flags & ~unsigned{CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE}) | kVerbose;
    }
    return flags & ~kAddresses;
}

CUresult read(int file, std::string& text) {
    const off_t end = ::lseek(file, 0, SEEK_END);
    if (end < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    text.resize(static_cast<std::size_t>(end));
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t got =
            ::pread(file, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (got <= 0) return CUDA_ERROR_OPERATING_SYSTEM;
        done += static_cast<std::size_t>(got);
    }
    return CUDA_SUCCESS;
}

CUresult draw(const Driver& driver, CUgraph graph, unsigned flags, std::string& text) {
    const transport::Descriptor file(::memfd_create("cubar-graph", MFD_CLOEXEC));
    if (!file) return CUDA_ERROR_OPERATING_SYSTEM;
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    CUBAR_TRY(ask(driver.cuGraphDebugDotPrint, graph, path.c_str(), shown(flags)));
    return read(file.get(), text);
}

}  // namespace

CUresult handle_graph_dot(Session& session, const transport::Record&,
                          const wire::graph_dot::Request& request, std::span<const std::byte>,
                          wire::graph_dot::Reply& reply) {
    GraphDrawing& drawing = session.graphs.drawing;
    const std::lock_guard lock(drawing.mutex);
    if (request.first == 0) {
        CUgraph graph = nullptr;
        CUBAR_TRY(session.resolve(request.graph, graph));
        drawing.text.clear();
        CUBAR_TRY(draw(session.driver(), graph, request.flags, drawing.text));
    }
    reply.total = drawing.text.size();
    if (request.first >= drawing.text.size()) return CUDA_SUCCESS;
    reply.bytes = static_cast<std::uint32_t>(
        std::min(drawing.text.size() - request.first, sizeof reply.text));
    std::memcpy(reply.text, drawing.text.data() + request.first, reply.bytes);
    // Nobody asks for the end twice.
    if (request.first + reply.bytes == drawing.text.size()) drawing.text = {};
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
