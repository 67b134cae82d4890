// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "cubar/sticky.h"
#include "libcuda/address_map.h"
#include "libcuda/callback.h"
#include "libcuda/capture.h"
#include "libcuda/graph_memory.h"
#include "libcuda/image_objects.h"
#include "libcuda/kernel_facts.h"
#include "libcuda/objects.h"
#include "libcuda/occupancy_cache.h"
#include "libcuda/reserved_ranges.h"
#include "libcuda/staging.h"
#include "transport/channel.h"
#include "transport/device.h"

namespace cubar::guest {

/// CUDA's error for what went wrong on the way to the host.
CUresult session_error(transport::Error error);

/// This process's session with a worker: the claimed channel, and a mirror of the objects that the
/// worker keeps for it. Made once, never destroyed.
class Session {
public:
    static transport::Result<std::unique_ptr<Session>> begin(transport::Device& device);

    transport::Channel& channel() { return *channel_; }

    ContextTable contexts;
    StreamTable streams;
    EventTable events;
    ModuleTable modules;
    LibraryTable libraries;
    KernelTable kernels;
    FunctionTable functions;
    GraphTable graphs;
    GraphExecTable graph_execs;
    ArrayTable arrays;
    MipmappedArrayTable mipmapped_arrays;
    ImageObjects images;
    Captures captures;
    HostCalls host_calls{*this};
    RetiredGraphs retired_graphs;
    /// Held while a graph is launched of which this process has a part (libcuda/graph_copy.h).
    std::mutex graph_mutex;
    /// Held while a drawing of a graph is fetched: the host keeps one at a time.
    std::mutex drawing_mutex;

    AddressMap addresses;
    AddressReservations reservations;
    GraphMemory graph_memory;
    ReservedRanges reserved;
    /// Memory was freed in the order of a stream, and the host has not been waited for since.
    std::atomic<bool> freed_in_stream{false};
    KernelFactsPool kernel_facts;
    OccupancyCache occupancy;
    StagingPool staging;

    /// The deferred error that a call in this context must report now, if there is one. One load
    /// where there is none.
    CUresult deferred_error(ContextHandle context) {
        const std::uint32_t code = channel_->deferred_error();
        return code == 0 ? CUDA_SUCCESS : deferred_error(context, static_cast<CUresult>(code));
    }

    /// What every call returns from now on: the host is gone, or the process ends. The first
    /// stands.
    void lose(CUresult error) {
        CUresult none = CUDA_SUCCESS;
        lost_.compare_exchange_strong(none, error, std::memory_order_relaxed);
    }
    /// CUDA_SUCCESS while the session lives, as far as anybody has noticed.
    CUresult lost() const { return lost_.load(std::memory_order_relaxed); }

private:
    explicit Session(std::unique_ptr<transport::Channel> channel);
    CUresult deferred_error(ContextHandle context, CUresult code);
    void start_service();
    void serve();

    std::unique_ptr<transport::Channel> channel_;
    std::atomic<CUresult> lost_{CUDA_SUCCESS};
    /// Position of the last error that was reported for the first time.
    std::atomic<Position> reported_{0};
};

}  // namespace cubar::guest
