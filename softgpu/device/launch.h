// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <span>
#include <vector>

#include "softgpu/device/context.h"
#include "softgpu/device/module.h"
#include "softgpu/device/work.h"
#include "softgpu/exec/launch.h"

namespace cubar::softgpu::device {

/// A launch as the caller asks for it.
struct LaunchRequest {
    exec::Dim3 grid;
    exec::Dim3 block;
    unsigned dynamic_shared = 0;
    void** parameters = nullptr;  ///< one pointer per parameter
    void** extra = nullptr;       ///< or the whole buffer
    bool cooperative = false;
    exec::Dim3 cluster{0, 0, 0};  ///< zeros: whatever the kernel requires
    /// Checked by the caller; kept for whoever asks a graph's node for them.
    std::span<const CUlaunchAttribute> attributes;
    CUkernel kernel = nullptr;  ///< that the caller named, if not a function
    /// What dimensions that no device can have come to; see api/launch.cpp.
    CUresult bad_dimensions = CUDA_ERROR_INVALID_VALUE;
};

/// A launch that CUDA would accept: everything that it needs, owned.
class PreparedLaunch final : public Work {
public:
    /// Checks what CUDA checks before it returns from a launch, and throws its errors.
    PreparedLaunch(ContextRef context, FunctionRef function, const LaunchRequest& request);

    void run(Stream& stream) const override;
    /// Without an executor (CUBAR_SOFTGPU_NULL) only its place in the stream's order remains.
    [[nodiscard]] bool brief() const override;

    [[nodiscard]] const ContextRef& context() const { return context_; }
    [[nodiscard]] const FunctionRef& function() const { return function_; }
    [[nodiscard]] const exec::LaunchConfig& config() const { return config_; }
    [[nodiscard]] const std::vector<CUlaunchAttribute>& attributes() const { return attributes_; }
    /// A library's kernel, if the caller named that; else null.
    [[nodiscard]] CUkernel kernel() const { return kernel_; }
    /// The same launch with one attribute set. Throws as the constructor.
    [[nodiscard]] std::shared_ptr<PreparedLaunch> with(const CUlaunchAttribute& attribute) const;
    /// Where each parameter lies in this object.
    [[nodiscard]] std::vector<void*> parameter_pointers() const;

private:
    void check_cooperative() const;
    void set_cluster(const exec::Dim3& asked);

    ContextRef context_;
    FunctionRef function_;
    exec::LaunchConfig config_;
    std::vector<std::byte> parameters_;
    std::vector<CUlaunchAttribute> attributes_;
    CUkernel kernel_;
};

/// The CUDA error for a fault of a kernel.
CUresult error_of(exec::FaultKind kind);

}  // namespace cubar::softgpu::device
