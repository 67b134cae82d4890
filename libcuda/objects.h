// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "cubar/handle.h"
#include "cubar/handle_table.h"
#include "cubar/layout.h"
#include "cubar/record.h"
#include "driver/context_storage.h"
#include "libcuda/graph_resources.h"
#include "libcuda/kernel_facts.h"

namespace cubar::guest {

/// A stream as the guest knows it, so that most questions about it need no crossing. Immutable
/// after its mirror entry is made, but for the atomics.
struct Stream {
    StreamHandle handle;  ///< null: the legacy stream of `context`
    ContextHandle context;
    std::uint32_t flags = CU_STREAM_DEFAULT;
    std::uint64_t id = 0;
    std::uint32_t fence = kNoFence;

    /// End of the last record that went to this stream. Written under the ring's lock.
    std::atomic<Position> last{0};
    /// Up to here the work is complete, as a host that waited for it said: its fence may be on the
    /// way still.
    std::atomic<Position> proven{0};
    /// A kernel that prints was launched since the last synchronisation: the host must finish it,
    /// because the output comes with its answer.
    std::atomic<bool> prints{false};

    /// Operations posted since `paced_at`; every kPace of them the stream waits for the ones
    /// before, so that the host's driver never blocks on a full queue of its own.
    std::atomic<std::uint32_t> posted{0};
    std::atomic<Position> paced_at{0};

    /// Number of the capture that it takes part in (libcuda/capture.h); 0: none.
    std::atomic<std::uint64_t> capture{0};

    bool blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }

    void reset(StreamHandle new_handle, ContextHandle in_context, std::uint32_t new_flags,
               std::uint64_t new_id, std::uint32_t new_fence) {
        handle = new_handle;
        context = in_context;
        flags = new_flags;
        id = new_id;
        fence = new_fence;
        last.store(0, std::memory_order_relaxed);
        proven.store(0, std::memory_order_relaxed);
        prints.store(false, std::memory_order_relaxed);
        posted.store(0, std::memory_order_relaxed);
        paced_at.store(0, std::memory_order_relaxed);
        capture.store(0, std::memory_order_relaxed);
    }
};

/// Unfinished operations of one stream after which a caller waits: half of this at a time.
inline constexpr std::uint32_t kMaxUnfinished = 512;
/// In place of the count of posted operations: the next one must ask whether it is allowed.
inline constexpr std::uint32_t kLookFirst = 0x4000'0000;

struct Context {
    ContextHandle handle;
    int device = 0;  ///< ordinal as the application counts
    const DeviceFacts* device_facts = nullptr;
    bool primary = false;
    std::atomic<std::uint32_t> flags{0};
    std::uint32_t api_version = 0;
    std::uint64_t id = 0;
    std::int32_t least_priority = 0;
    std::int32_t greatest_priority = 0;
    /// What cudart keeps with the context (driver/export_tables.h).
    std::atomic<std::shared_ptr<driver::ContextStorage>> storage;
    Stream legacy;
    /// Streams of this context that its legacy stream waits for (CU_STREAM_DEFAULT ones).
    std::atomic<std::uint32_t> blocking_streams{0};
    /// Streams end before their work does. The ends of the last records of those that did, of any
    /// and of such as the legacy stream waits for: synchronising waits for them as well.
    std::atomic<Position> orphaned{0};
    std::atomic<Position> orphaned_blocking{0};
    /// Up to here all work of the context is complete, as a host that waited for it said.
    std::atomic<Position> proven{0};
};

/// In place of a stream of which a fence could tell: only the host knows when the event was
/// recorded, because a graph does it.
inline constexpr StreamHandle kRecordedByGraph(std::uint64_t{1});

/// Moves a position that only rises. Another thread may have moved it further meanwhile.
inline void raise(std::atomic<Position>& position, Position to) {
    Position now = position.load(std::memory_order_relaxed);
    while (now < to && !position.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
    }
}

struct Event {
    ContextHandle context;
    std::uint32_t flags = 0;
    /// Where it was recorded last: the stream, and the end of the record. A position of 0 means
    /// never. The stream is written first, the position last.
    std::atomic<StreamHandle> stream{};
    std::atomic<Position> position{0};
    /// Number of the capture that it was recorded in last, which may have ended; 0: in none.
    std::atomic<std::uint64_t> capture{0};
};

struct Module {
    ContextHandle context;
    LibraryHandle library;  ///< whose module it is, and with which it goes; else null
};

struct Library {};

struct Kernel {
    KernelFacts* facts = nullptr;
    LibraryHandle library;
    /// The function that stands for it in the context where it was launched last.
    std::atomic<FunctionHandle> function{};
};

struct Function {
    KernelFacts* facts = nullptr;
    ModuleHandle module;  ///< null for the function of a kernel
    KernelHandle kernel;  ///< null for the function of a module
    ContextHandle context;
};

struct Array {
    ContextHandle context;
    MipmappedArrayHandle whole;  ///< that it is a level of; else null
    CUDA_ARRAY3D_DESCRIPTOR shape{};
};

struct MipmappedArray {
    ContextHandle context;
};

using ContextTable = HandleTable<Kind::kContext, Context>;
using StreamTable = HandleTable<Kind::kStream, Stream>;
using EventTable = HandleTable<Kind::kEvent, Event>;
using ModuleTable = HandleTable<Kind::kModule, Module>;
using LibraryTable = HandleTable<Kind::kLibrary, Library>;
using KernelTable = HandleTable<Kind::kKernel, Kernel>;
using FunctionTable = HandleTable<Kind::kFunction, Function>;
using GraphTable = HandleTable<Kind::kGraph, Graph>;
using GraphExecTable = HandleTable<Kind::kGraphExec, GraphExec>;
using ArrayTable = HandleTable<Kind::kArray, Array>;
using MipmappedArrayTable = HandleTable<Kind::kMipmappedArray, MipmappedArray>;

}  // namespace cubar::guest
