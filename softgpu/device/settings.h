// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cubar::softgpu::device {

/// How this process's software GPU is set up, from the environment:
///   CUBAR_SOFTGPU_CC=7.5        compute capability that it reports
///   CUBAR_SOFTGPU_MEMORY=4G     memory per device (bytes, or with K, M, G)
///   CUBAR_SOFTGPU_DEVICES=1     number of devices
///   CUBAR_SOFTGPU_STRICT=1      as unkind as the real driver
///   CUBAR_SOFTGPU_NULL=1        kernels are checked but not executed
///   CUDA_LAUNCH_BLOCKING=1      every launch waits for its end
/// A value that cannot be read is logged and the default stands.
struct Settings {
    int major = 7;
    int minor = 5;
    std::size_t memory = std::size_t{4} << 30;
    int devices = 1;
    bool strict = false;
    bool null_kernels = false;
    bool launch_blocking = false;

    static Settings from_environment();
};

/// "512M", "4G", "65536": a positive number of bytes.
std::optional<std::size_t> parse_size(std::string_view text);

/// "8.0": major and minor compute capability, from 5.0 to 12.9.
struct ComputeCapability {
    int major;
    int minor;
};
std::optional<ComputeCapability> parse_compute_capability(std::string_view text);

}  // namespace cubar::softgpu::device
