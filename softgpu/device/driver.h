// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <memory>
#include <mutex>
#include <vector>

#include "softgpu/device/array.h"
#include "softgpu/device/context.h"
#include "softgpu/device/device.h"
#include "softgpu/device/event.h"
#include "softgpu/device/graph_memory.h"
#include "softgpu/device/handle_table.h"
#include "softgpu/device/image_object.h"
#include "softgpu/device/library.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/memory_pools.h"
#include "softgpu/device/module.h"
#include "softgpu/device/settings.h"
#include "softgpu/device/virtual_memory.h"
#include "softgpu/exec/launch.h"

namespace cubar::softgpu::device {

class Captures;
struct Graphs;

/// A device's primary context: the handle stays the same from one life to the next.
struct Primary {
    std::mutex mutex;  // over retain, release and reset, which may take long
    CUcontext handle = nullptr;
    unsigned flags = 0;
    unsigned references = 0;
};

/// Everything of this process. Made by cuInit and never destroyed: threads of the application may
/// call in until the process is gone. Thread-safe.
class Driver {
public:
    /// What cuInit does: makes the driver unless that was done.
    static CUresult initialise();
    /// Null before cuInit and in the child of a fork.
    static Driver* instance();
    /// Only after a successful initialise().
    static Driver& get() { return *instance(); }

    [[nodiscard]] const Settings& settings() const { return settings_; }
    [[nodiscard]] Memory& memory() { return memory_; }
    [[nodiscard]] Graphs& graphs() const { return *graphs_; }
    [[nodiscard]] Captures& captures() const;
    [[nodiscard]] VirtualMemory& virtual_memory() { return virtual_memory_; }
    [[nodiscard]] MemoryPools& pools() { return pools_; }
    [[nodiscard]] GraphMemory& graph_memory() { return graph_memory_; }
    [[nodiscard]] ImageObjects& images() { return images_; }
    /// Starts its threads at the first call.
    exec::Executor& executor();

    [[nodiscard]] int device_count() const { return static_cast<int>(devices_.size()); }
    /// Throws CUDA_ERROR_INVALID_DEVICE.
    Device& device(CUdevice ordinal);

    CUcontext primary_handle(CUdevice ordinal);
    CUcontext retain_primary(CUdevice ordinal);
    /// Throws CUDA_ERROR_INVALID_CONTEXT when it is not retained.
    void release_primary(CUdevice ordinal);
    void reset_primary(CUdevice ordinal);
    void set_primary_flags(CUdevice ordinal, unsigned flags);
    struct PrimaryState {
        unsigned flags;
        bool active;
    };
    PrimaryState primary_state(CUdevice ordinal);

    ContextRef create_context(CUdevice ordinal, unsigned flags);
    void destroy_context(const ContextRef& context);

    /// The context, or null for a handle that names none that lives.
    ContextRef find_context(CUcontext handle) { return contexts.find(handle); }
    /// True for living contexts and for every device's primary one, active or not.
    bool is_context(CUcontext handle);
    /// The device of such a context. Throws CUDA_ERROR_INVALID_CONTEXT.
    CUdevice device_of(CUcontext handle);
    /// The calling thread's. Throws CUDA_ERROR_INVALID_CONTEXT where there is none and
    /// CUDA_ERROR_CONTEXT_IS_DESTROYED when it has ended.
    ContextRef current();
    /// As current(), and throws the context's sticky error.
    ContextRef current_healthy();

    /// Before memory of that context is given back: waits for what may use it.
    void settle(CUcontext owner);
    /// The same for memory that belongs to no context.
    void settle_all();
    /// Allocates by `allocate()`, which throws; once more with what pools keep for later where
    /// memory has run out.
    template <class Allocate>
    auto with_reclaim(Allocate allocate) {
        try {
            return allocate();
        } catch (const Error& error) {
            if (error.code() != CUDA_ERROR_OUT_OF_MEMORY) throw;
        }
        pools_.reclaim();
        return allocate();
    }
    void forget_thread(std::uint64_t thread);

    /// Gives the function a handle, once, and returns it.
    CUfunction publish(const FunctionRef& function, CUmodule module);
    CUmodule publish(const std::shared_ptr<Module>& module);
    void withdraw(Module& module);

    HandleTable<Context, CUcontext, HandleKind::kContext> contexts;
    HandleTable<Stream, CUstream, HandleKind::kStream> streams;
    HandleTable<Event, CUevent, HandleKind::kEvent> events;
    HandleTable<Module, CUmodule, HandleKind::kModule> modules;
    HandleTable<Function, CUfunction, HandleKind::kFunction> functions;
    HandleTable<Library, CUlibrary, HandleKind::kLibrary> libraries;
    HandleTable<Kernel, CUkernel, HandleKind::kKernel> kernels;
    HandleTable<Array, CUarray, HandleKind::kArray> arrays;
    HandleTable<MipmappedArray, CUmipmappedArray, HandleKind::kMipmappedArray> mipmapped_arrays;

private:
    Driver();
    /// The ordinal of the device whose primary context this is, or -1.
    CUdevice primary_device(CUcontext handle) const;
    void end_context(const ContextRef& context);

    const Settings settings_;
    Memory memory_;
    const std::unique_ptr<Graphs> graphs_;
    std::vector<std::unique_ptr<Device>> devices_;
    VirtualMemory virtual_memory_{memory_};
    MemoryPools pools_{memory_};
    GraphMemory graph_memory_{memory_};
    ImageObjects images_{memory_.map().images()};
    std::vector<std::unique_ptr<Primary>> primaries_;
    std::once_flag executor_once_;
    std::unique_ptr<exec::Executor> executor_;
    std::mutex publish_mutex_;
};

}  // namespace cubar::softgpu::device
