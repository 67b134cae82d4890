// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "host/common/control_protocol.h"
#include "host/cubard/compile_cache.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/spawn.h"
#include "host/cubard/worker_uids.h"
#include "transport/descriptor.h"

namespace cubar::host {

class TelemetrySource;

/// What all workers of a VM have in common; each VM has a copy of cubard's.
struct WorkerSetting {
    EventLoop& loop;
    WorkerProgram program;
    Isolation isolation;
    TelemetrySource* telemetry = nullptr;  ///< null: nobody asks the host's NVML
    std::uint32_t uid_slot = kProbeUidSlot;
    std::vector<std::uint64_t> context_bytes;  ///< as in WorkerArguments
    CompileCache* cache = nullptr;             ///< null: the driver keeps nothing that it compiles
};

/// A worker's process and what it says. Killed, and waited for by nobody, when this goes; so it
/// goes only after on_end, or with cubard.
class WorkerProcess {
public:
    struct Listener {
        std::function<void(const WorkerMessage&)> on_message;
        /// The process has ended, with these words about how. Called once, last.
        std::function<void(const std::string&)> on_end;
    };

    /// Starts one. Throws std::system_error.
    WorkerProcess(WorkerSetting& setting, std::string name, const std::vector<std::string>& devices,
                  int priority, Listener listener);
    /// One that an earlier cubard started: it can only be killed and awaited.
    WorkerProcess(WorkerSetting& setting, std::string name, transport::Descriptor pidfd,
                  Listener listener);
    WorkerProcess(const WorkerProcess&) = delete;
    WorkerProcess& operator=(const WorkerProcess&) = delete;
    ~WorkerProcess();

    void assign(const Assignment& assignment, int memory, int doorbell);
    void answer(const HostMessage& message);
    /// Asks it to end, and kills it after kGrace.
    void release();
    void kill();

    int pidfd() const { return child_.pidfd.get(); }
    pid_t pid() const { return child_.pid; }

    static constexpr std::chrono::milliseconds kGrace{100};

private:
    void watch_end();
    /// Takes one message; false where there is none.
    bool on_control();
    void on_output();
    void log_output(bool all);
    void send(const HostMessage& message, std::span<const int> descriptors);

    WorkerSetting& setting_;
    std::string name_;
    Listener listener_;
    std::optional<CompileCache::User> cache_user_;
    Child child_;
    transport::Descriptor control_;
    transport::Descriptor output_;
    std::string said_;
    std::size_t logged_ = 0;
    Timer grace_;
    EventLoop::Watch end_watch_;
    EventLoop::Watch control_watch_;
    EventLoop::Watch output_watch_;
};

}  // namespace cubar::host
