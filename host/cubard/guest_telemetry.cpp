// SPDX-License-Identifier: Apache-2.0
// What a guest is told about its GPUs while they run: its own ledger, and nothing of other VMs.
#include <algorithm>

#include "host/cubard/guest.h"

namespace cubar::host {

void Guest::answer_telemetry() {
    if (telemetry_.asked()) {
        telemetry_.publish(telemetry());
    }
}

Telemetry Guest::telemetry() const {
    Telemetry result{};
    result.device_count = facts_.device_count;
    for (std::uint32_t number = 0; number < facts_.device_count; ++number) {
        TelemetryDevice& device = result.device[number];
        device.memory_total = facts_.device[number].total_bytes;
        device.memory_free =
            device.memory_total - std::min(device.memory_total, ledger_.usage(number).used);
    }
    for (const Channel& channel : channels_) {
        if (channel.phase != Phase::kServing) {
            continue;
        }
        TelemetryProcess& process = result.process[result.process_count++];
        process.pid = channel.claim.pid;
        for (std::uint32_t number = 0; number < facts_.device_count; ++number) {
            process.bytes[number] = ledger_.used_by(channel.session, number);
        }
    }
    return result;
}

}  // namespace cubar::host
