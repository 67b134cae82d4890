// SPDX-License-Identifier: Apache-2.0
// cuGraphDebugDotPrint: a graph as Graphviz takes it, larger than one answer of the host.
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "driver_api.h"

namespace {

constexpr unsigned kNodes = 200;

std::string read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

unsigned count(const std::string& text, const std::string& part) {
    unsigned found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++found;
    }
    return found;
}

}  // namespace

int main() {
    const conformance::PrimaryContext context;
    CUgraph graph = nullptr;
    DRIVER(cuGraphCreate(&graph, 0));
    CUgraphNode last = nullptr;
    for (unsigned index = 0; index < kNodes; ++index) {
        CUgraphNode node = nullptr;
        DRIVER(cuGraphAddEmptyNode(&node, graph, index == 0 ? nullptr : &last, index == 0 ? 0 : 1));
        last = node;
    }
    CUdeviceptr memory = 0;
    DRIVER(cuMemAlloc(&memory, 1024));
    CUDA_MEMSET_NODE_PARAMS fill{};
    fill.dst = memory;
    fill.value = 7;
    fill.elementSize = 1;
    fill.width = 1024;
    fill.height = 1;
    CUgraphNode node = nullptr;

    DRIVER(cuGraphAddMemsetNode(&node, graph, &last, 1, &fill, context.context()));

    char path[] = "/tmp/graph_drawing_XXXXXX";
    const int file = mkstemp(path);
    CHECK(file >= 0);
    close(file);
    DRIVER(cuGraphDebugDotPrint(graph, path, CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE));
    const std::string text = read(path);
    CHECK(text.starts_with("digraph dot {"));
    CHECK(count(text, " -> ") == kNodes);
    CHECK(count(text, "MEMSET") == 1);
    CHECK(text.find("1024") != std::string::npos);
    CHECK(count(text, "{") == count(text, "}"));
    // Without the flags there is less of it.
    DRIVER(cuGraphDebugDotPrint(graph, path, 0));
    const std::string brief = read(path);
    CHECK(count(brief, " -> ") == kNodes);
    CHECK(brief.size() < text.size());
    CHECK(text.size() > 4096);

    DRIVER_FAILS(cuGraphDebugDotPrint(graph, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphDebugDotPrint(graph, path, 1U << 30), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphDebugDotPrint(nullptr, path, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_FAILS(cuGraphDebugDotPrint(graph, "/nowhere/at/all", 0), CUDA_ERROR_OPERATING_SYSTEM);
    // What was refused has left the file as it was.
    CHECK(read(path) == brief);
    unlink(path);
    DRIVER(cuGraphDestroy(graph));
    DRIVER(cuMemFree(memory));
    std::printf("drawn\n");
    return 0;
}
