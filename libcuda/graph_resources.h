// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "cubar/handle.h"
#include "cubar/record.h"
#include "libcuda/kernel_facts.h"

namespace cubar::guest {

class Session;

/// Arena memory in place of memory that only this process reaches, as an end of a graph's copy.
struct StandIn;

/// What a graph needs of this process. The graph, its clones and whatever was instantiated from
/// them share it, so that it is there as long as any of them can run. Thread-safe.
class GraphResources {
public:
    GraphResources();
    ~GraphResources();
    GraphResources(const GraphResources&) = delete;
    GraphResources& operator=(const GraphResources&) = delete;

    /// One of its kernels prints: who waits for it fetches the output.
    std::atomic<bool> prints{false};
    /// Some of its copies have stand-ins.
    std::atomic<bool> stands_in{false};
    /// Some of its nodes call functions of this process.
    std::atomic<bool> calls{false};

    /// Some of its nodes allocate or free memory: what the driver says to a launch is waited for.
    std::atomic<bool> memory{false};

    /// Launches must do more than send a record.
    bool needs_care() const {
        return prints.load(std::memory_order_relaxed) ||
               stands_in.load(std::memory_order_relaxed) || calls.load(std::memory_order_relaxed) ||
               memory.load(std::memory_order_relaxed);
    }

    /// Copies that have stand-ins, as the application described them; null: this one has none.
    void remember_copy(GraphNodeHandle node, const CUDA_MEMCPY3D* copy);
    bool find_copy(GraphNodeHandle node, CUDA_MEMCPY3D& out);

    /// Pointers to the parameters in a block, which lives until the node is asked for again.
    void** show_parameters(GraphNodeHandle node, std::span<const KernelParameter> parameters,
                           std::span<const std::byte> block);

    /// The other graph has become a part of this one.
    void include(const std::shared_ptr<GraphResources>& part);
    /// Itself and all its parts, each once.
    std::vector<GraphResources*> all();

    void add(std::unique_ptr<StandIn> stand_in);
    /// The number of a function, which goes with the graph.
    void add_call(Session& session, std::uint64_t number);
    /// Calls visit(StandIn&) for each of its own.
    template <typename Visit>
    void for_each_stand_in(Visit&& visit) {
        const std::lock_guard lock(mutex_);
        for (const auto& each : stand_ins_) visit(*each);
    }

    /// Launches that may still need it: the last in each stream. Guarded by the session's
    /// graph_mutex.
    struct Launch {
        ContextHandle context;
        StreamHandle stream;
        Position position = 0;
    };
    std::vector<Launch> launches;

private:
    void collect(std::vector<GraphResources*>& found);

    std::mutex mutex_;
    std::vector<std::shared_ptr<GraphResources>> parts_;
    std::vector<std::unique_ptr<StandIn>> stand_ins_;
    Session* session_ = nullptr;
    std::vector<std::uint64_t> calls_;
    std::map<std::uint64_t, CUDA_MEMCPY3D> copies_;

    struct Shown {
        std::vector<std::byte> block;
        std::vector<void*> pointers;
    };
    std::map<std::uint64_t, Shown> shown_;
};

/// Resources whose graphs are gone while launches of them may still run. Guarded by the session's
/// graph_mutex.
using RetiredGraphs = std::vector<std::shared_ptr<GraphResources>>;

/// A graph as the guest knows it; its nodes it does not know.
struct Graph {
    std::shared_ptr<GraphResources> resources;
};

/// An executable graph.
struct GraphExec {
    std::shared_ptr<GraphResources> resources;
    /// Launches look at the resources only then.
    std::atomic<bool> needs_care{false};
    /// Its nodes were changed: the resources are its own.
    bool changed = false;
};

}  // namespace cubar::guest
