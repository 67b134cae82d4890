// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cubar/layout.h"
#include "host/common/probe_report.h"
#include "host/cubard/config.h"
#include "host/cubard/spawn.h"

namespace cubar::host {

/// What a probe wrote, or nothing where it cannot be true. A probe runs the driver but no guest's
/// code; it is checked all the same, since guests read these pages.
std::optional<ProbeReport> decode_report(std::span<const std::byte> bytes);

/// What a process said on its output, fit for a log: printable, cut at 400 characters.
std::string printable(std::string_view text);

struct ProbeResult {
    std::optional<ProbeReport> report;
    std::string reason;  ///< why not, in one line
};

/// Loads the driver in a process of its own, which ends when it has told the facts, so that cubard
/// never has a driver's threads and memory. Waits at most `limit`.
ProbeResult probe_driver(const WorkerProgram& program, const Isolation& isolation,
                         const std::vector<std::string>& devices,
                         std::chrono::milliseconds limit = std::chrono::seconds{30});

/// Where things are installed, or lie in the build tree: found from cubard's own path.
struct Places {
    std::string worker;
    std::string keeper;
    std::string softgpu;  ///< softgpu's libcuda.so.1
    static Places find();
};

struct DriverChoice {
    WorkerProgram program;
    Isolation isolation;
    std::string reason;  ///< why this one, for the log
};

/// NVIDIA's driver where there is one that initialises, else softgpu; or what the configuration
/// says. Throws std::runtime_error where what it says does not work.
DriverChoice choose_driver(const Config& config, const Places& places);

}  // namespace cubar::host
