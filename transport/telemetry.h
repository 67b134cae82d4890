// SPDX-License-Identifier: Apache-2.0
// The telemetry pages from both ends: cubard publishes, a guest process asks and reads.
#pragma once

#include <cstdint>
#include <memory>

#include "cubar/telemetry.h"
#include "transport/descriptor.h"
#include "transport/device.h"
#include "transport/mapping.h"
#include "transport/result.h"
#include "transport/wait.h"

namespace cubar::transport {

/// cubard's end. What the pages hold is the guest's to scribble on; nothing of it is trusted.
class TelemetryWriter {
public:
    explicit TelemetryWriter(TelemetryPages& pages) : pages_(pages) {}

    /// True if somebody has asked since this was last called: publish() is owed.
    bool asked();
    void publish(const Telemetry& telemetry);

private:
    TelemetryPages& pages_;
    std::uint64_t sequence_ = 0;
    std::uint64_t asked_ = 0;
};

/// A guest process's end. Not thread-safe.
class TelemetryReader {
public:
    /// The device must outlive it. kProtocol: this host has no telemetry.
    static Result<TelemetryReader> open(Device& device);

    /// Asks, and waits for what was published since. kHostAbsent: cubard ends; kHostSilent: it does
    /// not answer within `limit`; kForked.
    Error read(Telemetry& telemetry, Nanoseconds limit);

private:
    TelemetryReader(Device& device, Mapping pages, Descriptor lock)
        : device_(&device), mapping_(std::move(pages)), lock_(std::move(lock)) {}
    TelemetryPages& pages() const { return *reinterpret_cast<TelemetryPages*>(mapping_.data()); }
    bool ask() const;
    bool copy(Telemetry& telemetry, std::uint64_t sequence) const;

    Device* device_;
    Mapping mapping_;
    Descriptor lock_;
};

}  // namespace cubar::transport
