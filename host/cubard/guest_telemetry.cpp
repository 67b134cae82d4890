// SPDX-License-Identifier: Apache-2.0
// What a guest is told about its GPUs while they run: its own ledger, and nothing of other VMs.
#include <algorithm>
#include <array>
#include <span>

#include "host/cubard/guest.h"

namespace cubar::host {

namespace {

TelemetrySource::Uuid uuid_of(const DeviceFacts& device) {
    return std::to_array(device.uuid);
}

}  // namespace

void Guest::watch_telemetry() {
    if (setting_.telemetry == nullptr) {
        return;
    }
    for (const DeviceFacts& device : std::span(facts_.device, facts_.device_count)) {
        setting_.telemetry->add(uuid_of(device));
    }
    telemetry_listener_.emplace(*setting_.telemetry, [this] { answer_telemetry(); });
}

void Guest::answer_telemetry() {
    telemetry_due_ = telemetry_.asked() || telemetry_due_;
    if (telemetry_due_ && (setting_.telemetry == nullptr || setting_.telemetry->fresh())) {
        telemetry_.publish(telemetry());
        telemetry_due_ = false;
    }
}

Telemetry Guest::telemetry() const {
    Telemetry result{};
    result.device_count = facts_.device_count;
    for (std::uint32_t number = 0; number < facts_.device_count; ++number) {
        TelemetryDevice& device = result.device[number];
        const TelemetryDevice* card = setting_.telemetry != nullptr
                                          ? setting_.telemetry->of(uuid_of(facts_.device[number]))
                                          : nullptr;
        if (card != nullptr) {
            device = *card;
        }
        device.memory_total = facts_.device[number].total_bytes;
        device.memory_free =
            device.memory_total - std::min(device.memory_total, ledger_.usage(number).used);
        if (card != nullptr && card->memory_total != 0) {
            // What other VMs and the host itself use of the card is not free either.
            device.memory_free = std::min(device.memory_free, card->memory_free);
        }
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
