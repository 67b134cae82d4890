// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cubar/handle.h"
#include "cubar/handle_table.h"
#include "cubar/layout.h"
#include "cubar/record.h"
#include "cubar/sticky.h"
#include "host/worker/allocations.h"
#include "host/worker/arrays.h"
#include "host/worker/callback.h"
#include "host/worker/capture.h"
#include "host/worker/driver.h"
#include "host/worker/graph.h"
#include "host/worker/graph_memory.h"
#include "host/worker/image_store.h"
#include "host/worker/memory_pools.h"
#include "host/worker/objects.h"
#include "host/worker/virtual_memory.h"

namespace cubar::transport {
class Record;
}

namespace cubar::host {

class ArenaView;
class ControlClient;
class OutputCapture;

/// All that a worker knows of the guest process it serves. The executor and the offload threads
/// share it; what only the executor may touch says so.
class Session {
public:
    struct Parts {
        const Driver& driver;
        Channel& channel;
        ControlClient& control;
        ArenaView& arena;
        OutputCapture& output;
        /// The driver counts this process's memory alone, as softgpu does: what other sessions of
        /// the VM hold is then the ledger's to know.
        bool counts_own_memory_only = false;
        bool fences = true;                        ///< as in WorkerArguments
        std::vector<std::uint64_t> context_bytes;  ///< as in WorkerArguments
    };
    explicit Session(const Parts& parts);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const Driver& driver() const { return parts_.driver; }
    ControlClient& control() { return parts_.control; }
    ArenaView& arena() const { return parts_.arena; }
    OutputCapture& output() { return parts_.output; }
    Channel& channel() { return parts_.channel; }
    bool counts_own_memory_only() const { return parts_.counts_own_memory_only; }
    Allocations& allocations() { return allocations_; }
    VirtualMemory& virtual_memory() { return virtual_memory_; }
    MemoryPools& pools() { return pools_; }
    GraphMemory& graph_memory() { return graph_memory_; }
    Arrays& arrays() { return arrays_; }
    const Arrays& arrays() const { return arrays_; }
    /// Asks the ledger before an allocation; once more without what pools and graphs keep for
    /// later, where it refuses. An empty charge: refused.
    Allocations::Charge charge(CUdevice device, std::uint64_t bytes);
    ImageStore& images() { return images_; }
    /// What a new context on the device is charged for, beside what is allocated in it.
    std::uint64_t context_bytes(CUdevice device) const {
        const auto index = static_cast<std::size_t>(device);
        return index < parts_.context_bytes.size() ? parts_.context_bytes[index] : 0;
    }

    /// What was issued to the driver, for the line that cubard logs when the session ends.
    struct Work {
        std::atomic<std::uint64_t> launches{0};
        std::atomic<std::uint64_t> copies{0};
        std::atomic<std::uint64_t> copied_bytes{0};

        void count_launch() { launches.fetch_add(1, std::memory_order_relaxed); }
        void count_copy(std::uint64_t bytes) {
            copies.fetch_add(1, std::memory_order_relaxed);
            copied_bytes.fetch_add(bytes, std::memory_order_relaxed);
        }
    };
    Work work;

    HandleTable<Kind::kContext, ContextObject> contexts;
    HandleTable<Kind::kStream, StreamObject> streams;
    HandleTable<Kind::kEvent, EventObject> events;
    HandleTable<Kind::kModule, ModuleObject> modules;
    HandleTable<Kind::kLibrary, LibraryObject> libraries;
    HandleTable<Kind::kKernel, KernelObject> kernels;
    HandleTable<Kind::kFunction, FunctionObject> functions;
    Graphs graphs;
    ActiveCaptures captures;
    HostCalls host_calls;

    // What a handle from the guest stands for; CUDA's fitting error for one that is not live. A
    // null stream is the legacy one; a null context is none.
    CUresult resolve(ContextHandle handle, CUcontext& out) const;
    CUresult resolve(StreamHandle handle, CUstream& out) const;
    CUresult resolve(EventHandle handle, CUevent& out) const;
    CUresult resolve(ModuleHandle handle, CUmodule& out) const;
    CUresult resolve(LibraryHandle handle, CUlibrary& out) const;
    CUresult resolve(KernelHandle handle, CUkernel& out) const;
    /// Also takes the bits of a KernelHandle: CUDA takes a CUkernel for a CUfunction.
    CUresult resolve(FunctionHandle handle, CUfunction& out) const;
    CUresult resolve(GraphHandle handle, CUgraph& out) const;
    CUresult resolve(GraphNodeHandle handle, CUgraphNode& out) const;
    CUresult resolve(GraphExecHandle handle, CUgraphExec& out) const;
    CUresult resolve(UserObjectHandle handle, CUuserObject& out) const;
    /// The device that a context is on; INVALID_CONTEXT if it is not live.
    CUresult device_of(ContextHandle handle, CUdevice& out) const;

    // The handle of what the driver names, made when it is met for the first time, so that asking
    // twice gives one handle, as in CUDA. A null handle: the table is full.
    ModuleHandle handle_of(CUmodule module, const ModuleObject& facts);
    KernelHandle handle_of(CUkernel kernel, const KernelObject& facts);
    FunctionHandle handle_of(CUfunction function, const FunctionObject& facts);
    /// Forgets the functions, kernels and modules for which the predicates hold.
    void forget_code(const std::function<bool(const ModuleObject&)>& modules_too,
                     const std::function<bool(const KernelObject&)>& kernels_too,
                     const std::function<bool(const FunctionObject&)>& functions_too);

    /// Makes the record's context current in this thread.
    CUresult make_current(ContextHandle handle);
    /// Forgets what make_current remembers: a context was destroyed.
    static void forget_current();

    /// Gives a fence of this channel to a new stream; kNoFence when all are taken, or none are
    /// wanted.
    std::uint32_t take_fence();
    void return_fence(std::uint32_t fence);

    /// Page-locks the fences and the arena through the current context, for all contexts, unless
    /// another one has done so. A driver that refuses leaves the host to complete all waits.
    void page_lock(ContextHandle current);
    /// The context was destroyed, and what was page-locked through it is no longer: another one
    /// page-locks it again, or the next that is made.
    void page_lock_again(ContextHandle destroyed);

    /// Executor only: makes the stream write `position` to a staging fence when the work issued to
    /// it so far is done. Where the GPU cannot, waits for the work and writes it itself.
    CUresult write_staging_fence(std::uint32_t fence, const transport::Record& record,
                                 CUstream stream);

    /// Executor only: the record that ends at `position` sent work to the stream.
    void mark_dirty(ContextHandle context, StreamHandle stream, Position position);
    /// Executor only: lets each dirty stream write its fence when it gets there; one that takes
    /// part in a capture after the capture has ended.
    void flush_fences();

    /// Stores an error that no reply carries into the channel's error word.
    void report(CUresult error, ContextHandle context, Position position);
    /// The context is gone and its errors with it.
    void clear_error(ContextHandle context);

private:
    struct DirtyStream {
        ContextHandle context;
        StreamHandle stream;
    };
    /// False: not now.
    bool write_fence(const DirtyStream& dirty);
    bool may_capture(CUstream stream) const;
    bool gpu_writes(std::uint32_t fence, Position position, CUstream stream);

    Parts parts_;
    Allocations allocations_;
    VirtualMemory virtual_memory_{allocations_};
    MemoryPools pools_{parts_.driver, allocations_};
    GraphMemory graph_memory_{parts_.driver, allocations_, graphs};
    Arrays arrays_;
    ImageStore images_;
    std::vector<DirtyStream> dirty_;

    std::mutex code_mutex_;
    std::unordered_map<const void*, AnyHandle> code_;  ///< handles of the driver's code objects

    std::mutex page_lock_mutex_;
    ContextHandle page_locked_by_;
    /// Where the GPU sees the fence words; 0: nowhere.
    std::atomic<CUdeviceptr> fences_at_{0};

    std::mutex fences_mutex_;
    std::vector<std::uint32_t> free_fences_;
    std::uint32_t fences_used_ = 0;

    std::mutex error_mutex_;
};

}  // namespace cubar::host
