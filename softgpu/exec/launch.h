// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "softgpu/exec/dim3.h"
#include "softgpu/exec/fault.h"
#include "softgpu/exec/memory_map.h"
#include "softgpu/exec/print_buffer.h"
#include "softgpu/exec/program.h"

namespace cubar::softgpu::exec {

struct LaunchConfig {
    Dim3 grid;
    Dim3 block;
    Dim3 cluster{1, 1, 1};          // blocks; they divide the grid
    bool explicit_cluster = false;  // somebody asked for clusters, be it of one block
    uint32_t dynamic_shared = 0;    // bytes
    /// The parameter buffer as KernelInfo lays it out; copied by launch().
    std::span<const std::byte> parameters;
    /// Every block of the grid gets to run before any of them has ended. The caller has checked
    /// that they fit (occupancy times multiprocessors).
    bool cooperative = false;
    /// CU_LIMIT_STACK_SIZE: local memory per thread for calls, besides the kernel's own.
    uint32_t stack_bytes = 1024;
    /// Multiprocessors that %smid and %nsmid speak of.
    uint32_t multiprocessors = 16;
    /// Output of printf; null: it is dropped. Must live until the grid has ended.
    PrintBuffer* print = nullptr;
};

class GridRun;  // the state of one launch; softgpu/exec/grid.h
class Scheduler;

/// One launched grid. A copy is a second reference.
class Grid {
public:
    Grid() = default;
    explicit Grid(std::shared_ptr<GridRun> run) : run_(std::move(run)) {}

    /// Ends it soon with FaultKind::kCancelled unless it has ended already. Does not wait.
    void cancel() const;
    [[nodiscard]] bool done() const;
    /// Blocks until the completion callback has returned.
    void wait() const;

private:
    std::shared_ptr<GridRun> run_;
};

/// Executes grids on a pool of threads. Blocks of one grid spread over the threads; grids in flight
/// take turns. A block that only spins gives way to others, so blocks that wait for one another
/// make progress whatever the number of threads. Thread-safe.
class Executor {
public:
    /// `threads` 0: one for each processor that this process may use.
    explicit Executor(unsigned threads = 0);
    /// Cancels what still runs and waits for it.
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// Runs on a pool thread, exactly once, after the last block; nullopt is success. It must not
    /// block on another grid of this executor.
    using Completion = std::function<void(std::optional<Fault>)>;

    /// Starts a kernel whose Program::prepare() returned true. Grid and block dimensions, shared
    /// memory and the size of the parameters have been checked by the caller; what does not fit
    /// all the same ends with FaultKind::kTrap.
    Grid launch(std::shared_ptr<Program> program, const Kernel& kernel, const LaunchConfig& config,
                const MemoryMap& map, Completion completion);

    /// As launch(), and waits for the end; nullopt is success. A small grid executes on the calling
    /// thread. The executor must outlive the call.
    std::optional<Fault> run(std::shared_ptr<Program> program, const Kernel& kernel,
                             const LaunchConfig& config, const MemoryMap& map);

    [[nodiscard]] unsigned threads() const;

private:
    std::shared_ptr<GridRun> prepare(std::shared_ptr<Program> program, const Kernel& kernel,
                                     const LaunchConfig& config, const MemoryMap& map,
                                     Completion completion);

    std::unique_ptr<Scheduler> scheduler_;
};

/// The instruction set that the handlers were compiled for and that this processor has:
/// "baseline", "avx2" or "avx512". CUBAR_SOFTGPU_ISA chooses a lower one.
[[nodiscard]] const char* instruction_set();

}  // namespace cubar::softgpu::exec
