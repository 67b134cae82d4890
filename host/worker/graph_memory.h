// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>

#include "cubar/handle.h"
#include "cubar/wire.h"
#include "host/worker/allocations.h"
#include "host/worker/driver.h"
#include "host/worker/graph.h"

namespace cubar::host {

class Session;

/// The memory that nodes of graphs allocate, and what it costs the guest. Its address is the
/// graph's from the node on; when the driver puts memory there, and how long it keeps that, it does
/// not say. So it is charged in whole pages as long as the graph or anything instantiated from it
/// is there, or the driver knows the address; and never for less than the driver says that it
/// reserves. Thread-safe.
class GraphMemory {
public:
    GraphMemory(const Driver& driver, Allocations& allocations, const Graphs& graphs)
        : driver_(driver), allocations_(allocations), graphs_(graphs) {}

    /// Has the driver make an allocation of the graph, within what the ledger grants. `make` is
    /// called once, or not at all.
    CUresult allocate(GraphHandle graph, CUdevice device, std::uint64_t bytes,
                      const std::function<CUresult(CUdeviceptr&)>& make, CUdeviceptr& address);
    bool holds(std::uint64_t address) const;

    /// The graph belongs to a node of another one from now on.
    void moved(GraphHandle graph, GraphHandle into);

    /// Something has gone that may have owned or used such memory: credits what has ended with it.
    void settle();
    /// The driver may have reserved more.
    void account();
    /// Also has the driver give back what it keeps for later launches. False: it has nothing.
    bool reclaim();

private:
    struct Owned {
        CUdevice device = 0;
        std::uint64_t charged = 0;
        GraphHandle graph;
    };
    bool any() const { return any_.load(std::memory_order_relaxed); }
    // With the lock held.
    /// `gives_back`: what the driver keeps for later is not worth a charge.
    bool account(CUdevice device, std::uint64_t more, bool gives_back);
    void account_all(bool gives_back);
    void settle_locked();
    bool is_known(std::uint64_t address) const;
    std::uint64_t reserved(CUdevice device) const;

    const Driver& driver_;
    Allocations& allocations_;
    const Graphs& graphs_;
    mutable std::mutex mutex_;
    std::atomic<bool> any_{false};  ///< there was ever any: spares all others the lock
    std::map<std::uint64_t, Owned> owned_;
    std::set<CUdevice> devices_;
};

/// Memory that the driver or the ledger has no room for is asked for again without what others keep
/// for later.
CUresult allocate_in_graph(Session& session, GraphHandle graph, CUdevice device,
                           std::uint64_t bytes, const std::function<CUresult(CUdeviceptr&)>& make,
                           CUdeviceptr& address);

/// cuMemAllocAsync and its like in a stream that is being captured.
CUresult allocate_in_capture(Session& session, CUstream stream, CUmemoryPool pool, CUdevice device,
                             std::uint64_t bytes, CUdeviceptr& address);

/// A node of `graph` that allocates.
CUresult add_allocation(Session& session, const wire::cuGraphAddNode_v2::Request& request,
                        CUgraph graph, Dependencies& dependencies,
                        std::span<const std::byte> parameters,
                        wire::cuGraphAddNode_v2::Reply& reply);

}  // namespace cubar::host
