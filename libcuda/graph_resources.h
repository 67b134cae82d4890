// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cubar/handle.h"
#include "cubar/record.h"

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
};

}  // namespace cubar::guest
