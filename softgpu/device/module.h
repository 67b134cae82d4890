// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/device/device.h"
#include "softgpu/device/memory.h"
#include "softgpu/exec/program.h"

namespace cubar::softgpu::ptx {
struct Module;
}

namespace cubar::softgpu::device {

class Context;
class Function;

/// What cuFuncSetAttribute and cuKernelSetAttribute change. A library's kernel shares one of these
/// among the contexts of a device. Negative: not set.
struct FunctionSettings {
    std::atomic<int> max_dynamic_shared{-1};
    std::atomic<int> shared_carveout{-1};
    std::atomic<bool> non_portable_cluster{false};
    std::atomic<CUfunc_cache> cache_config{CU_FUNC_CACHE_PREFER_NONE};
};

/// Code loaded into a context. Thread-safe.
class Module {
public:
    enum class Compile : std::uint8_t {
        kLazily,  ///< each kernel when it is first needed
        kNow,     ///< all of it, and fail if one cannot be
    };

    /// Throws CUDA_ERROR_INVALID_PTX or CUDA_ERROR_OUT_OF_MEMORY; `log` has the reasons.
    static std::shared_ptr<Module> load(Context& context, std::unique_ptr<ptx::Module> code,
                                        Compile compile, std::string& log);

    [[nodiscard]] CUcontext context() const { return context_; }
    [[nodiscard]] const std::shared_ptr<exec::Program>& program() const { return program_; }

    /// The kernel of that name, or null. One and the same object at each call.
    std::shared_ptr<Function> function(std::string_view name);
    /// As function(), for a library's kernel that brings its settings.
    std::shared_ptr<Function> function(std::string_view name,
                                       const std::shared_ptr<FunctionSettings>& settings);
    [[nodiscard]] std::size_t function_count() const { return program_->kernels().size(); }
    /// In the order of the PTX text.
    std::vector<std::shared_ptr<Function>> functions(std::size_t count);

    /// Those that anybody has asked for.
    std::vector<std::shared_ptr<Function>> known_functions();

    CUmodule handle = nullptr;  ///< null for a library's module that nobody has asked for

private:
    Module(CUcontext context, std::shared_ptr<exec::Program> program, unsigned ptx_target,
           const Architecture& architecture)
        : context_(context),
          program_(std::move(program)),
          ptx_target_(ptx_target),
          architecture_(architecture) {}

    const CUcontext context_;
    const std::shared_ptr<exec::Program> program_;
    const unsigned ptx_target_;
    const Architecture architecture_;
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Function>, std::less<>> functions_;
};

/// A kernel in a context. Lives as long as its module; the handle dies with it.
class Function {
public:
    Function(const Architecture& architecture, CUcontext context, unsigned ptx_target,
             std::shared_ptr<exec::Program> program, const exec::Kernel& kernel,
             std::shared_ptr<FunctionSettings> settings);

    [[nodiscard]] CUcontext context() const { return context_; }
    [[nodiscard]] const std::shared_ptr<exec::Program>& program() const { return program_; }
    [[nodiscard]] const exec::Kernel& kernel() const { return kernel_; }
    [[nodiscard]] const exec::KernelInfo& info() const { return program_->info(kernel_); }
    [[nodiscard]] FunctionSettings& settings() const { return *settings_; }

    /// Compiles it unless that was done. Throws CUDA_ERROR_INVALID_PTX; the log says why.
    void prepare() const;
    [[nodiscard]] bool prepared() const { return prepared_.load(std::memory_order_acquire); }

    /// Of a prepared function: registers per thread as this device assigns them.
    [[nodiscard]] int registers() const;
    [[nodiscard]] int static_shared() const;
    [[nodiscard]] int max_threads_per_block() const;
    /// How much dynamic shared memory a launch may ask for.
    [[nodiscard]] int max_dynamic_shared() const;

    /// Blocks of a cluster.
    [[nodiscard]] int max_cluster() const;
    /// The cluster of a launch that asks for `asked` (zeros: for none) on a grid; zeros for none.
    /// Throws CUDA_ERROR_INVALID_CLUSTER_SIZE and its like.
    [[nodiscard]] exec::Dim3 cluster_for(const exec::Dim3& asked, const exec::Dim3& grid) const;

    /// Prepares it. Throws CUDA_ERROR_INVALID_VALUE.
    [[nodiscard]] int attribute(CUfunction_attribute attribute) const;
    void set_attribute(CUfunction_attribute attribute, int value);

    CUfunction handle = nullptr;  ///< null until it is asked for
    CUmodule module = nullptr;

private:
    const Architecture architecture_;
    const CUcontext context_;
    const unsigned ptx_target_;
    const std::shared_ptr<exec::Program> program_;
    const exec::Kernel& kernel_;
    const std::shared_ptr<FunctionSettings> settings_;
    mutable std::once_flag usage_once_;
    mutable exec::KernelUsage usage_;
    // Released by prepare() after the program has compiled it and usage_ is there, acquired by
    // prepared().
    mutable std::atomic<bool> prepared_ = false;
};

using FunctionRef = std::shared_ptr<Function>;

}  // namespace cubar::softgpu::device
