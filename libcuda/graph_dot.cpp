// SPDX-License-Identifier: Apache-2.0
// cuGraphDebugDotPrint: the host's driver draws the graph, and the file is written here.
#include <cstdio>
#include <mutex>
#include <vector>

#include "libcuda/graph.h"

namespace cubar::guest {
namespace {

CUresult fetch(const Caller& caller, GraphHandle graph, unsigned flags,
               std::vector<std::uint8_t>& text) {
    const std::lock_guard lock(caller.session->drawing_mutex);
    wire::graph_dot::Reply reply{};
    do {
        wire::graph_dot::Request request{};
        request.graph = graph;
        request.flags = flags;
        request.first = static_cast<std::uint32_t>(text.size());
        CUBAR_TRY(call_in<wire::graph_dot>(caller, caller.thread->current(), {}, request, reply));
        const std::size_t bytes = reply.bytes < sizeof reply.text ? reply.bytes : sizeof reply.text;
        if (bytes == 0) break;
        text.insert(text.end(), reply.text, reply.text + bytes);
    } while (text.size() < reply.total);
    return text.size() == reply.total ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

CUresult write(const char* path, const std::vector<std::uint8_t>& text) {
    std::FILE* file = std::fopen(path, "we");
    if (file == nullptr) return CUDA_ERROR_OPERATING_SYSTEM;
    const bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    return std::fclose(file) == 0 && whole ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuGraphDebugDotPrint(CUgraph value, const char* path, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    cubar::GraphHandle handle;
    Graph* graph = nullptr;
    CUBAR_TRY(find_graph(caller, value, handle, graph));
    std::vector<std::uint8_t> text;
    CUBAR_TRY(fetch(caller, handle, flags, text));
    return write(path, text);
}
