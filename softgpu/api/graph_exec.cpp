// SPDX-License-Identifier: Apache-2.0
// Executable graphs: made, updated as a whole, launched.
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/graph_exec.h"

#include <cuda.h>

#include "softgpu/api/graph_handle.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/graph_condition.h"
#include "softgpu/device/graph_update.h"
#include "softgpu/device/graph_work.h"

using namespace cubar::softgpu;
using api::entry;
using api::exec_of;
using api::graph_entry;
using api::graph_of;
using api::require;
using api::require_value;
using device::Driver;
using device::Graph;
using device::GraphExec;
using device::GraphExecRef;
using device::GraphRef;
using device::Graphs;
using device::UpdateResult;

namespace {

constexpr cuuint64_t kFlags =
    CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;

bool stands_alone(const Graph& graph) {
    return graph.owner != Graph::Owner::kMoved && graph.owner != Graph::Owner::kBody;
}

/// With the lock held.
CUgraphExec instantiate(Graphs& graphs, CUgraph handle, cuuint64_t flags, device::Blame& blame) {
    const GraphRef graph = graph_of(graphs, handle);
    require((flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) == 0, CUDA_ERROR_NOT_SUPPORTED,
            "kernels cannot launch graphs");
    require_value((flags & ~kFlags) == 0, "unknown flags");
    require_value(!graph->is_captured_into() && stands_alone(*graph),
                  "the graph is being captured, or belongs to a node");
    const bool is_only = device::owns_memory(*graph) || device::has_conditional_nodes(*graph);
    require_value(
        !is_only || graph->instance.expired(),
        "a graph that owns memory, or has conditional nodes, has one executable graph at a "
        "time");
    const auto exec = std::make_shared<GraphExec>(*graph, flags, blame);
    if (is_only) graph->instance = exec;
    exec->handle = graphs.execs.insert(exec);
    return exec->handle;
}

CUresult instantiate_with_log(const char* function, CUgraphExec* exec, CUgraph graph,
                              CUgraphNode* error_node, char* log, size_t log_size) {
    return graph_entry(function, [&](Graphs& graphs) {
        require_value(exec != nullptr, "a null pointer");
        if (error_node != nullptr) *error_node = nullptr;
        if (log != nullptr && log_size != 0) *log = 0;
        device::Blame blame;
        try {
            *exec = instantiate(graphs, graph, 0, blame);
        } catch (const api::Error& error) {
            if (blame.node != nullptr && error_node != nullptr)
                *error_node = graphs.publish(*blame.node);
            if (log != nullptr && log_size != 0) std::snprintf(log, log_size, "%s", error.reason());
            throw;
        }
    });
}

CUresult update(const char* function, CUgraphExec handle, CUgraph next,
                CUgraphExecUpdateResultInfo* info) {
    return graph_entry(function, [&](Graphs& graphs) {
        require_value(info != nullptr, "a null pointer");
        *info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
        const GraphExecRef exec = exec_of(graphs, handle);
        const GraphRef graph = graph_of(graphs, next);
        require_value(!graph->is_captured_into() && stands_alone(*graph),
                      "the graph is being captured, or belongs to a node");
        const UpdateResult result = device::update_graph(*exec, *graph);
        info->result = result.result;
        if (result.node != nullptr) info->errorNode = graphs.publish(*result.node);
        if (result.from != nullptr) info->errorFromNode = graphs.publish(*result.from);
        require(result.good(), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE,
                "the executable graph does not fit; instantiate the new one");
    });
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuGraphInstantiate(CUgraphExec* exec, CUgraph graph,
                                                 CUgraphNode* error_node, char* log,
                                                 size_t log_size) {
    return instantiate_with_log(__func__, exec, graph, error_node, log, log_size);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph,
                                                    CUgraphNode* error_node, char* log,
                                                    size_t log_size) {
    return instantiate_with_log(__func__, exec, graph, error_node, log, log_size);
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph,
                                                          unsigned long long flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(exec != nullptr, "a null pointer");
        device::Blame blame;
        *exec = instantiate(graphs, graph, flags, blame);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphInstantiateWithParams(
    CUgraphExec* exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
    return entry(__func__, [&](Driver& driver) {
        require_value(exec != nullptr && parameters != nullptr, "a null pointer");
        parameters->result_out = CUDA_GRAPH_INSTANTIATE_ERROR;
        parameters->hErrNode_out = nullptr;
        // There is nothing to upload, but a wrong stream is an error all the same.
        const bool upload = (parameters->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0;
        if (upload)
            driver.captures().forbid(api::stream_of(driver, parameters->hUploadStream).stream);
        const cuuint64_t flags =
            parameters->flags & ~cuuint64_t{CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD};
        Graphs& graphs = driver.graphs();
        std::lock_guard lock(graphs.mutex);
        device::Blame blame;
        try {
            *exec = instantiate(graphs, graph, flags, blame);
            parameters->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS;
        } catch (const api::Error&) {
            parameters->result_out = blame.result;
            if (blame.node != nullptr) parameters->hErrNode_out = graphs.publish(*blame.node);
            throw;
        }
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t* flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(flags != nullptr, "a null pointer");
        *flags = exec_of(graphs, exec)->flags();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec exec) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        // Launches in flight hold what they need.
        require_value(graphs.execs.remove(exec) != nullptr, "no such executable graph");
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphUpload(CUgraphExec exec, CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        driver.captures().forbid(api::stream_of(driver, stream).stream);
        std::lock_guard lock(driver.graphs().mutex);
        // What it is for, a quick first launch, is so already.
        exec_of(driver.graphs(), exec);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphLaunch(CUgraphExec handle, CUstream stream) {
    return entry(__func__, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        Graphs& graphs = driver.graphs();
        std::unique_lock lock(graphs.mutex);
        const GraphExecRef exec = exec_of(graphs, handle);
        if (graphs.captures.take_locked(place.stream, [&] { return exec->as_node(); })) return;
        const GraphExec::PlanRef plan = exec->current_plan();
        lock.unlock();
        const device::Point end = exec->launch(*place.context, place.stream, plan);
        if (!driver.settings().launch_blocking) return;
        end.wait();
        place.context->require_healthy();
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecUpdate(CUgraphExec exec, CUgraph graph,
                                                CUgraphNode* error_node,
                                                CUgraphExecUpdateResult* result) {
    CUgraphExecUpdateResultInfo info{};
    const CUresult error =
        update(__func__, exec, graph, error_node != nullptr && result != nullptr ? &info : nullptr);
    if (error_node != nullptr) *error_node = info.errorNode;
    if (result != nullptr) *result = info.result;
    return error;
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph,
                                                   CUgraphExecUpdateResultInfo* info) {
    return update(__func__, exec, graph, info);
}
