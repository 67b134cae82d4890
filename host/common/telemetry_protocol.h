// SPDX-License-Identifier: Apache-2.0
#pragma once

// What cubard and the process that asks the host's NVML for it say to each other over a
// SOCK_SEQPACKET socket: one TelemetryQuestion, one TelemetryAnswer, again and again. The end of
// the socket ends that process. It runs no guest's code and knows of no guest.

#include <cstdint>

#include "cubar/telemetry.h"

namespace cubar::host {

struct TelemetryQuestion {
    std::uint32_t device_count;
    std::uint32_t reserved;
    std::uint8_t uuid[kMaxDevices][16];
};

/// Devices as in the question. Of one that NVML does not know, everything is zero.
struct TelemetryAnswer {
    std::uint32_t device_count;
    std::uint32_t reserved;
    TelemetryDevice device[kMaxDevices];
};

}  // namespace cubar::host
