// SPDX-License-Identifier: Apache-2.0
// The contents of nodes that are not a copy, a fill, a launch or value operations.
#pragma once

#include <cuda.h>

#include <span>
#include <utility>
#include <vector>

#include "softgpu/device/event.h"
#include "softgpu/device/graph.h"
#include "softgpu/device/graph_memory.h"
#include "softgpu/device/work.h"

namespace cubar::softgpu::device {

class EmptyWork final : public Work {
public:
    EmptyWork() : Work(CU_GRAPH_NODE_TYPE_EMPTY) {}
};

/// Calls a function of the application; not in a faulted context, as CUDA documents.
class HostWork final : public Work {
public:
    HostWork(CUhostFn callback, void* argument)
        : Work(CU_GRAPH_NODE_TYPE_HOST), function_(callback), data_(argument) {}
    void run(Stream&) const override { function_(data_); }
    [[nodiscard]] bool may_move() const override { return false; }

    [[nodiscard]] CUhostFn function() const { return function_; }
    [[nodiscard]] void* data() const { return data_; }

private:
    CUhostFn function_;
    void* data_;
};

/// A graph inside a graph.
class ChildWork final : public Work {
public:
    explicit ChildWork(GraphRef content)
        : Work(CU_GRAPH_NODE_TYPE_GRAPH), graph_(std::move(content)) {}
    [[nodiscard]] const GraphRef& graph() const { return graph_; }

private:
    GraphRef graph_;
};

/// Recording an event, or waiting for its latest record at the time of the launch.
class EventWork final : public Work {
public:
    /// @param what CU_GRAPH_NODE_TYPE_EVENT_RECORD or CU_GRAPH_NODE_TYPE_WAIT_EVENT
    EventWork(CUgraphNodeType what, EventRef which, CUevent name)
        : Work(what), event_(std::move(which)), handle_(name) {}
    [[nodiscard]] const EventRef& event() const { return event_; }
    [[nodiscard]] CUevent handle() const { return handle_; }

private:
    EventRef event_;
    CUevent handle_;
};

/// The start of an allocation's life.
class AllocationWork final : public Work {
public:
    AllocationWork(GraphBlockRef what, const CUmemPoolProps& pool,
                   std::vector<CUmemAccessDesc> descriptors)
        : Work(CU_GRAPH_NODE_TYPE_MEM_ALLOC),
          block_(std::move(what)),
          properties_(pool),
          access_(std::move(descriptors)) {}
    void run(Stream&) const override { block_->map(); }

    [[nodiscard]] const GraphBlockRef& block() const { return block_; }
    // What the application has asked for.
    [[nodiscard]] const CUmemPoolProps& properties() const { return properties_; }
    [[nodiscard]] const std::vector<CUmemAccessDesc>& access() const { return access_; }

private:
    GraphBlockRef block_;
    CUmemPoolProps properties_;
    std::vector<CUmemAccessDesc> access_;
};

/// Its end.
class FreeWork final : public Work {
public:
    explicit FreeWork(GraphBlockRef what)
        : Work(CU_GRAPH_NODE_TYPE_MEM_FREE), block_(std::move(what)) {}
    void run(Stream&) const override { block_->unmap(); }

    [[nodiscard]] const GraphBlockRef& block() const { return block_; }

private:
    GraphBlockRef block_;
};

/// The memory that the work allocates, or null; that it frees.
const GraphBlockRef* allocated_by(const Work& work);
const GraphBlockRef* freed_by(const Work& work);
/// Whether the graph or a child graph of it has such nodes: it can neither be copied nor lose nodes
/// and edges.
bool owns_memory(const Graph& graph);

/// The work as a child graph, or null.
const ChildWork* child_of(const Work& work);
/// The child graph, or the graphs that a conditional node runs; none of other works.
std::span<const GraphRef> graphs_in(const Work& work);

}  // namespace cubar::softgpu::device
