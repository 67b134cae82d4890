// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include <cuda.h>

#include "cubar/handle.h"
#include "cubar/handle_table.h"
#include "cubar/layout.h"
#include "cubar/record.h"
#include "cubar/sticky.h"
#include "host/worker/driver.h"
#include "host/worker/objects.h"

namespace cubar::host {

class ControlClient;
class ArenaView;
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
    };
    explicit Session(const Parts& parts) : parts_(parts) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const Driver& driver() const { return parts_.driver; }
    ControlClient& control() { return parts_.control; }
    ArenaView& arena() { return parts_.arena; }
    OutputCapture& output() { return parts_.output; }
    Channel& channel() { return parts_.channel; }

    HandleTable<Kind::kContext, ContextObject> contexts;
    HandleTable<Kind::kStream, StreamObject> streams;
    HandleTable<Kind::kEvent, EventObject> events;
    HandleTable<Kind::kModule, ModuleObject> modules;
    HandleTable<Kind::kLibrary, LibraryObject> libraries;
    HandleTable<Kind::kKernel, KernelObject> kernels;
    HandleTable<Kind::kFunction, FunctionObject> functions;

    // What a handle from the guest stands for; CUDA's fitting error for one that is not live. A null
    // stream is the legacy one; a null context is none.
    CUresult resolve(ContextHandle handle, CUcontext& out) const;
    CUresult resolve(StreamHandle handle, CUstream& out) const;
    CUresult resolve(EventHandle handle, CUevent& out) const;
    CUresult resolve(ModuleHandle handle, CUmodule& out) const;
    CUresult resolve(LibraryHandle handle, CUlibrary& out) const;
    CUresult resolve(KernelHandle handle, CUkernel& out) const;
    CUresult resolve(FunctionHandle handle, CUfunction& out) const;

    /// Makes the record's context current in this thread.
    CUresult make_current(ContextHandle handle);
    /// Forgets what make_current remembers: a context was destroyed.
    static void forget_current();

    /// Gives a fence of this channel to a new stream; kNoFence when all are taken.
    std::uint32_t take_fence();
    void return_fence(std::uint32_t fence);
    /// Address at which the GPU writes a fence.
    CUdeviceptr fence_address(std::uint32_t fence) const { return fences_at_ + 8ull * fence; }
    /// Tells where the driver sees the fence words; 0: it does not, and hosts complete all waits.
    void fences_at(CUdeviceptr address) { fences_at_ = address; }

    /// Executor only: the record that ends at `position` sent work to the stream.
    void mark_dirty(ContextHandle context, StreamHandle stream, Position position);
    /// Executor only: lets each dirty stream write its fence when it gets there.
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
    bool write_fence(const DirtyStream& dirty);

    Parts parts_;
    std::vector<DirtyStream> dirty_;
    CUdeviceptr fences_at_ = 0;

    std::mutex fences_mutex_;
    std::vector<std::uint32_t> free_fences_;
    std::uint32_t fences_used_ = 0;

    std::mutex error_mutex_;
};

}  // namespace cubar::host
