// SPDX-License-Identifier: Apache-2.0
// cuGraphDebugDotPrint: a graph as Graphviz draws it.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <unistd.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <string_view>

#include "softgpu/api/graph_handle.h"
#include "softgpu/device/copy.h"
#include "softgpu/device/fill.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_work.h"
#include "softgpu/device/launch.h"

using namespace cubar::softgpu;
using api::graph_entry;
using api::require;
using api::require_value;
using device::Dependency;
using device::Graph;
using device::Graphs;
using device::NodeRef;
using device::Work;

namespace {

constexpr unsigned kAllFlags = 2 * CU_GRAPH_DEBUG_DOT_FLAGS_CONDITIONAL_NODE_PARAMS - 1;

const char* name_of(CUgraphNodeType type) {
    switch (type) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
            return "KERNEL";
        case CU_GRAPH_NODE_TYPE_MEMCPY:
            return "MEMCPY";
        case CU_GRAPH_NODE_TYPE_MEMSET:
            return "MEMSET";
        case CU_GRAPH_NODE_TYPE_HOST:
            return "HOST";
        case CU_GRAPH_NODE_TYPE_GRAPH:
            return "GRAPH";
        case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
            return "EVENT_WAIT";
        case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
            return "EVENT_RECORD";
        case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
            return "MEM_ALLOC";
        case CU_GRAPH_NODE_TYPE_MEM_FREE:
            return "MEM_FREE";
        case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
            return "BATCH_MEM_OP";
        case CU_GRAPH_NODE_TYPE_CONDITIONAL:
            return "CONDITIONAL";
        default:
            return "EMPTY";
    }
}

std::string details(const Work& work, unsigned flags) {
    const auto wanted = [&](unsigned flag) {
        return (flags & (flag | CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE)) != 0;
    };
    char text[160] = "";
    if (work.type() == CU_GRAPH_NODE_TYPE_KERNEL) {
        const auto& launch = static_cast<const device::PreparedLaunch&>(work);
        const auto& config = launch.config();
        std::string kernel = "\\n" + launch.function()->info().name;
        if (wanted(CU_GRAPH_DEBUG_DOT_FLAGS_KERNEL_NODE_PARAMS))
            std::snprintf(text, sizeof text, "\\ngrid %ux%ux%u block %ux%ux%u shared %u",
                          config.grid.x, config.grid.y, config.grid.z, config.block.x,
                          config.block.y, config.block.z, config.dynamic_shared);
        return kernel + text;
    }
    if (work.type() == CU_GRAPH_NODE_TYPE_MEMCPY &&
        wanted(CU_GRAPH_DEBUG_DOT_FLAGS_MEMCPY_NODE_PARAMS)) {
        const auto& extent = static_cast<const device::CopyWork&>(work).copy().extent();
        std::snprintf(text, sizeof text, "\\n%zux%zux%zu bytes", extent.width, extent.height,
                      extent.depth);
    }
    if (work.type() == CU_GRAPH_NODE_TYPE_MEMSET &&
        wanted(CU_GRAPH_DEBUG_DOT_FLAGS_MEMSET_NODE_PARAMS)) {
        const auto& fill = static_cast<const device::FillWork&>(work).fill();
        std::snprintf(text, sizeof text, "\\n%zux%zu elements of %u bytes: 0x%" PRIx32, fill.width,
                      fill.height, fill.element, fill.value);
    }
    if (const auto* conditional = device::conditional_of(work);
        conditional != nullptr && wanted(CU_GRAPH_DEBUG_DOT_FLAGS_CONDITIONAL_NODE_PARAMS)) {
        constexpr const char* kNames[] = {"IF", "WHILE", "SWITCH"};
        std::snprintf(text, sizeof text, "\\n%s of %zu graphs", kNames[conditional->kind()],
                      conditional->bodies().size());
    }
    return text;
}

void print(std::FILE* file, const Graph& graph, unsigned flags, int& clusters) {
    const int number = clusters++;
    std::fprintf(file, "subgraph cluster_%d {\nlabel=\"graph_%d\"\n", number, number);
    for (const NodeRef& node : graph.nodes()) {
        std::fprintf(file, "\"node_%" PRIu64 "\" [shape=\"box\" label=\"%" PRIu64 "\\n%s%s\"]\n",
                     node->id(), node->id(), name_of(node->type()),
                     details(*node->work(), flags).c_str());
        for (const device::GraphRef& inner : device::graphs_in(*node->work()))
            print(file, *inner, flags, clusters);
    }
    for (const NodeRef& node : graph.nodes())
        for (const Dependency& each : node->dependencies())
            std::fprintf(file, "\"node_%" PRIu64 "\" -> \"node_%" PRIu64 "\"\n", each.node->id(),
                         node->id());
    std::fprintf(file, "}\n");
}

/// A descriptor's name under /proc means the descriptor itself: a confined process, such as a
/// worker of cubard, opens no files.
std::FILE* open_to_write(std::string_view path) {
    constexpr std::string_view kDescriptors = "/proc/self/fd/";
    if (!path.starts_with(kDescriptors)) return std::fopen(path.data(), "w");
    const std::string_view number = path.substr(kDescriptors.size());
    int named = -1;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), named);
    if (read.ec != std::errc() || read.ptr != number.data() + number.size()) return nullptr;
    const int own = ::dup(named);
    if (own < 0) return nullptr;
    std::FILE* file = ::fdopen(own, "w");
    if (file == nullptr) ::close(own);
    return file;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphDebugDotPrint(CUgraph handle, const char* path,
                                                   unsigned int flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(path != nullptr && (flags & ~kAllFlags) == 0, "an argument");
        const auto graph = api::graph_of(graphs, handle);
        std::FILE* file = open_to_write(path);
        require(file != nullptr, CUDA_ERROR_OPERATING_SYSTEM, "the file cannot be written");
        int clusters = 0;
        std::fprintf(file, "digraph dot {\n");
        print(file, *graph, flags, clusters);
        std::fprintf(file, "}\n");
        const bool whole = std::ferror(file) == 0;
        require(std::fclose(file) == 0 && whole, CUDA_ERROR_OPERATING_SYSTEM,
                "the file cannot be written");
    });
}
