// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "host/common/telemetry_protocol.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/worker_process.h"

namespace cubar::host {

/// What the host's NVML says of the devices that guests see, asked by a process of its own: a call
/// of NVML's may block for long, and cubard serves all VMs with one thread. The process is started
/// with the first device, since NVML takes long to begin. Nothing is asked unless somebody
/// wants to know.
class TelemetrySource {
public:
    explicit TelemetrySource(WorkerSetting& setting);
    TelemetrySource(const TelemetrySource&) = delete;
    TelemetrySource& operator=(const TelemetrySource&) = delete;
    ~TelemetrySource();

    using Uuid = std::array<std::uint8_t, 16>;

    /// Is called back whenever fresh() has become true. As long as it lives.
    class Listener {
    public:
        Listener(TelemetrySource& source, std::function<void()> callback);
        Listener(const Listener&) = delete;
        Listener& operator=(const Listener&) = delete;
        ~Listener();

    private:
        TelemetrySource& source_;
        std::list<std::function<void()>>::iterator place_;
    };

    /// From now on this device is asked for too.
    void add(const Uuid& uuid);
    /// True if what of() says is at most kTelemetryAgeMs old, or no better can be had in time. If
    /// not, asks; the listeners hear of the answer, or after kLimit that there is none.
    bool fresh();
    /// Nothing where the host's NVML said nothing, or not lately.
    const TelemetryDevice* of(const Uuid& uuid) const;

    static constexpr std::chrono::milliseconds kLimit{300};

private:
    using Clock = std::chrono::steady_clock;

    bool have_process();
    void start();
    void stop(const char* why);
    void on_answer();
    void tell();

    WorkerSetting& setting_;
    std::vector<Uuid> uuids_;
    std::list<std::function<void()>> listeners_;
    std::unique_ptr<TelemetryAnswer> answer_;
    Clock::time_point answered_;  ///< also when waiting for an answer was given up
    Clock::time_point started_;
    bool asked_ = false;  ///< and not answered yet
    bool late_ = false;   ///< what was asked was given up
    Child child_;
    transport::Descriptor socket_;
    transport::Descriptor output_;
    Timer limit_;
    EventLoop::Watch socket_watch_;
    EventLoop::Watch end_watch_;
};

}  // namespace cubar::host
