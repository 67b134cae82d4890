// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "driver/context_storage.h"
#include "softgpu/device/device.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/settings.h"
#include "softgpu/device/stream_set.h"
#include "softgpu/exec/print_buffer.h"

namespace cubar::softgpu::device {

class Library;
class Module;

/// A context: the streams, code and settings that belong together and fail together. Objects with
/// handles live in the driver's tables and name their context; end() and the driver remove them.
/// Thread-safe.
class Context {
public:
    enum class Kind : std::uint8_t { kPrimary, kCreated };

    Context(Device& device, Memory& memory, const Settings& settings, CUcontext handle, Kind kind,
            unsigned flags);
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    [[nodiscard]] CUcontext handle() const { return handle_; }
    [[nodiscard]] Kind kind() const { return kind_; }
    [[nodiscard]] std::uint64_t id() const { return id_; }
    [[nodiscard]] Device& device() const { return device_; }
    [[nodiscard]] Memory& memory() const { return memory_; }
    [[nodiscard]] StreamSet& streams() { return streams_; }
    [[nodiscard]] const std::shared_ptr<FaultState>& fault() const { return fault_; }
    [[nodiscard]] MemoryOwner owner() const { return {handle_, device_.ordinal()}; }
    [[nodiscard]] const std::shared_ptr<driver::ContextStorage>& storage() const {
        return storage_;
    }

    /// CU_CTX_…
    std::atomic<unsigned> flags;
    std::atomic<CUfunc_cache> cache_config{CU_FUNC_CACHE_PREFER_NONE};

    /// Throws CUDA_ERROR_UNSUPPORTED_LIMIT or CUDA_ERROR_INVALID_VALUE.
    [[nodiscard]] std::size_t limit(CUlimit limit) const;
    void set_limit(CUlimit limit, std::size_t value);
    [[nodiscard]] std::uint32_t stack_size() const {
        return static_cast<std::uint32_t>(stack_size_.load(std::memory_order_relaxed));
    }

    /// Where the kernels' printf goes, shared with the grids in flight.
    [[nodiscard]] const std::shared_ptr<exec::PrintBuffer>& print() const { return print_; }
    /// Writes what was printed to stdout.
    void flush_prints();
    /// After an operation: flushed at once, or in strict mode left for the next synchronisation.
    void flush_prints_eagerly();

    /// Waits for everything in flight, then throws the sticky error if there is one.
    void synchronize();
    /// Throws the sticky error if there is one.
    void require_healthy() const;

    /// The library's code in this context, loaded now if it was not. Throws what loading gives.
    std::shared_ptr<Module> module_of(const std::shared_ptr<Library>& library);
    /// Lets go of the library's code here, if it was loaded.
    std::shared_ptr<Module> drop_module_of(const Library& library);
    /// True for what module_of() returned and drop_module_of() did not.
    [[nodiscard]] bool owns_library_module(const Module& module) const;

    /// Gives up waits for memory values, waits for the rest, and lets go of all code. The handles
    /// of what belongs here have been removed.
    void end();

private:
    Device& device_;
    Memory& memory_;
    const CUcontext handle_;
    const Kind kind_;
    const std::uint64_t id_;
    const bool strict_;
    const std::shared_ptr<FaultState> fault_;
    const std::shared_ptr<driver::ContextStorage> storage_;
    const std::shared_ptr<exec::PrintBuffer> print_;
    StreamSet streams_;
    std::atomic<std::size_t> stack_size_{1024};
    std::atomic<std::size_t> heap_size_{std::size_t{8} << 20};
    std::atomic<std::size_t> fetch_granularity_{64};
    mutable std::mutex modules_mutex_;
    std::map<const Library*, std::shared_ptr<Module>> modules_;
};

using ContextRef = std::shared_ptr<Context>;

}  // namespace cubar::softgpu::device
