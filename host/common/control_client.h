// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "host/common/control_protocol.h"
#include "transport/descriptor.h"

namespace cubar::host {

/// What cubard hands a worker: whose session it is, and with which descriptors.
struct AssignedSession {
    Assignment assignment{};
    transport::Descriptor memory;    ///< the VM's whole memory
    transport::Descriptor doorbell;  ///< eventfd of the channel
};

/// The worker's end of the control socket. All calls may be made by any thread at any time; those
/// that ask block until cubard has answered.
///
/// Once start() was called a thread of its own reads the socket, so that kReleaseNow and the end of
/// cubard arrive although every other thread is stuck in the driver: it then calls `on_end`, once.
class ControlClient {
public:
    /// Takes over the socket that the worker inherited (WorkerArguments::control_fd).
    explicit ControlClient(transport::Descriptor socket);
    ControlClient(const ControlClient&) = delete;
    ControlClient& operator=(const ControlClient&) = delete;
    /// Ends the reading thread; no call may be in progress.
    ~ControlClient();

    /// Waits for the session. Nothing when cubard ended or this worker is not needed any more.
    /// Before start().
    std::optional<AssignedSession> wait_for_assignment();

    /// Starts to listen. `on_end` is called by the listening thread; _exit is a fitting thing. The
    /// process no longer dies with cubard by itself, so that `on_end` can still tell the guest. By
    /// the main thread.
    void start(std::function<void()> on_end);

    /// cubard answers by writing kReady, or kRefused with the reason, into session_state.
    void say_ready();
    void say_refused(SessionError reason);

    /// The worker ends: what it did, for cubard's log. `copies` and `bytes` are of guest memory.
    void say_did(std::uint64_t launches, std::uint64_t copies, std::uint64_t bytes);

    /// Asks for `bytes` of a device's memory. Any verdict but kGranted: do not allocate.
    Verdict charge(std::uint32_t device, std::uint64_t bytes);
    /// Gives back what was charged, after it was freed.
    Verdict credit(std::uint32_t device, std::uint64_t bytes);
    std::optional<Usage> usage(std::uint32_t device);

    /// Leases `count` granules that follow each other; the index of the first, or nothing.
    std::optional<std::uint64_t> lease_granules(std::uint64_t count);
    /// Returns granules that no DMA touches any more: all or a part of what was leased.
    Verdict return_granules(std::uint64_t first, std::uint64_t count);

private:
    /// Sends a message and waits for its answer; nothing when cubard is gone.
    std::optional<HostMessage> ask(WorkerMessage message);
    void send(const WorkerMessage& message);
    void listen();

    transport::Descriptor socket_;
    std::function<void()> on_end_;
    std::thread listener_;
    std::mutex mutex_;
    std::condition_variable answered_;
    std::uint32_t next_number_ = 1;
    std::map<std::uint32_t, std::optional<HostMessage>> waiting_;
    bool ended_ = false;
};

}  // namespace cubar::host
