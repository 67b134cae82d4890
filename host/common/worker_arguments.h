// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cubar::host {

/// Which driver workers use.
enum class Gpu { kSoft, kNvidia, kNull };

const char* gpu_name(Gpu gpu);
std::optional<Gpu> gpu_from_name(std::string_view name);

/// The command line of cubar-worker. cubard writes it, the worker reads it.
///
/// Devices are not in it: cubard sets CUDA_VISIBLE_DEVICES, so that the driver itself numbers them
/// as the guest does, and CUBAR_SOFTGPU_NULL for the null GPU. Nothing else of cubard's environment
/// is passed on but CUBAR_SOFTGPU_*, CUBAR_LOG and CUBAR_LOG_LEVEL.
struct WorkerArguments {
    Gpu gpu = Gpu::kSoft;
    std::string driver;  ///< path for dlopen; a plain name is searched by the system
    /// Streams write fences. Without them the host completes every wait, to measure the one against
    /// the other.
    bool fences = true;
    /// By device: what a context takes of its memory for itself (ProbeReport).
    std::vector<std::uint64_t> context_bytes;
    std::string cache;  ///< directory in which the driver keeps what it compiles; empty: none
    /// Probe: load the driver, write one ProbeReport to output_fd, end with 0. On failure: one
    /// line to stderr that says why, and end with 1.
    bool probe = false;
    /// Telemetry: answer what cubard asks of the host's NVML (host/worker/telemetry.h) on
    /// control_fd. No CUDA driver is loaded.
    bool telemetry = false;
    int output_fd = -1;
    int control_fd = -1;  ///< SOCK_SEQPACKET socket for ControlClient, unless it is a probe

    std::vector<std::string> to_strings() const;
    /// Reads main's arguments (without the program's name); nothing where they are not understood.
    static std::optional<WorkerArguments> parse(std::span<char* const> arguments);
};

}  // namespace cubar::host
