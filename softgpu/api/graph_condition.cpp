// SPDX-License-Identifier: Apache-2.0
// Conditions of graphs: made for a graph, and looked at by its conditional nodes.
#include "softgpu/device/graph_condition.h"

#include <cuda.h>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/graph_parameters.h"

using namespace cubar::softgpu;

namespace cubar::softgpu::api {
namespace {

// A switch may have any number of bodies. So many are an accident.
constexpr unsigned kMaxBodies = 1u << 16;

unsigned max_bodies(CUgraphConditionalNodeType kind) {
    switch (kind) {
        case CU_GRAPH_COND_TYPE_IF:
            return 2;
        case CU_GRAPH_COND_TYPE_WHILE:
            return 1;
        case CU_GRAPH_COND_TYPE_SWITCH:
            return ~0u;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such kind of conditional node");
    }
}

}  // namespace

device::WorkRef conditional_work(Driver& driver, const CUDA_CONDITIONAL_NODE_PARAMS& parameters) {
    require_value(parameters.size >= 1 && parameters.size <= max_bodies(parameters.type),
                  "a while has 1 body, an if 1 or 2, a switch 1 or more");
    require(parameters.size <= kMaxBodies, CUDA_ERROR_OUT_OF_MEMORY,
            "a conditional node has at most 65536 bodies");
    const device::ContextRef context = node_context(driver, parameters.ctx);
    std::lock_guard lock(driver.graphs().mutex);
    const auto& conditions = driver.graphs().conditions;
    const auto found = conditions.find(parameters.handle);
    require_value(found != conditions.end(), "no such condition");
    require_value(found->second->context() == context->handle(),
                  "the condition is of another context");
    std::vector<device::GraphRef> bodies;
    for (unsigned i = 0; i < parameters.size; ++i) {
        bodies.push_back(std::make_shared<device::Graph>(device::Graph::Owner::kBody));
        device::put_into_body(*bodies.back());
    }
    return std::make_shared<device::ConditionalWork>(found->second, parameters.type,
                                                     std::move(bodies));
}

}  // namespace cubar::softgpu::api

CUBAR_EXPORT CUresult CUDAAPI cuGraphConditionalHandleCreate(CUgraphConditionalHandle* handle,
                                                             CUgraph graph, CUcontext context,
                                                             unsigned int initial,
                                                             unsigned int flags) {
    return api::entry(__func__, [&](device::Driver& driver) {
        api::require_value(
            handle != nullptr && (flags & ~unsigned{CU_GRAPH_COND_ASSIGN_DEFAULT}) == 0,
            "an argument");
        const device::ContextRef place = api::node_context(driver, context);
        device::Graphs& graphs = driver.graphs();
        std::lock_guard lock(graphs.mutex);
        const device::GraphRef home = api::graph_of(graphs, graph);
        const auto made = std::make_shared<device::Condition>(
            driver.memory().map().conditions(), home, place->handle(), initial, flags);
        home->conditions.push_back(made);
        graphs.conditions.emplace(made->handle(), made);
        *handle = made->handle();
    });
}
