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

#include "softgpu/device/code_image.h"
#include "softgpu/device/module.h"

namespace cubar::softgpu::device {

class Context;
class Library;

/// A kernel of a library: the same in all contexts.
class Kernel {
public:
    Kernel(CUlibrary library, std::string name) : library_(library), name_(std::move(name)) {}

    [[nodiscard]] CUlibrary library() const { return library_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    /// Of the contexts of one device.
    std::shared_ptr<FunctionSettings> settings(int device);

    /// The function found by an earlier call for this context, or null.
    FunctionRef cached(std::uint64_t context_id);
    void cache(std::uint64_t context_id, const FunctionRef& function);

    CUkernel handle = nullptr;

private:
    const CUlibrary library_;
    const std::string name_;
    std::mutex mutex_;
    std::map<int, std::shared_ptr<FunctionSettings>> settings_;
    std::map<std::uint64_t, std::weak_ptr<Function>> functions_;
};

using KernelRef = std::shared_ptr<Kernel>;

/// Code that is loaded into each context when something in it is first needed there. Thread-safe.
class Library {
public:
    /// Compiles right away where CUDA would: PTX that was given as text.
    Library(CodeImage image, Module::Compile compile)
        : image_(std::move(image)), compile_(compile) {}

    /// Names of its kernels, in the order of the PTX text. Throws as CodeImage::parse.
    const std::vector<std::string>& kernel_names();
    [[nodiscard]] bool has_kernel(std::string_view name);

    std::shared_ptr<Module> load_into(Context& context);

    /// The kernel's object, made at the first call; `insert` gives a new one its handle.
    template <class Insert>
    KernelRef kernel(const std::string& name, Insert insert) {
        std::lock_guard lock(kernels_mutex_);
        KernelRef& kernel = kernels_[name];
        if (kernel == nullptr) {
            kernel = std::make_shared<Kernel>(handle, name);
            kernel->handle = insert(kernel);
        }
        return kernel;
    }

    /// What errors there were, for the JIT log.
    std::string take_log();

    CUlibrary handle = nullptr;
    /// Holds a reference to the first device's primary context.
    std::atomic<bool> retains_primary = false;

private:
    void index();

    const CodeImage image_;
    const Module::Compile compile_;
    std::mutex mutex_;
    std::string log_;
    bool indexed_ = false;
    std::vector<std::string> names_;
    std::unique_ptr<ptx::Module> parsed_;  // for the first context that loads it
    std::mutex kernels_mutex_;
    std::map<std::string, KernelRef> kernels_;
};

using LibraryRef = std::shared_ptr<Library>;

}  // namespace cubar::softgpu::device
