// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/cubard/config.h"
#include "host/cubard/descriptor_store.h"
#include "host/cubard/event_loop.h"
#include "host/cubard/guest_book.h"
#include "host/cubard/ledger.h"
#include "host/cubard/shared_memory.h"
#include "host/cubard/status.h"
#include "host/cubard/telemetry_source.h"
#include "host/cubard/worker_process.h"
#include "transport/host_words.h"
#include "transport/telemetry.h"

namespace cubar::host {

/// One run of a VM (from QEMU's connection to its end), or a private instance: its memory, its
/// doorbells, its channels and their sessions. All in the guest's memory is hostile.
class Guest {
public:
    /// A new one, with clean memory. The facts must outlive it.
    Guest(const VmConfig& config, WorkerSetting& setting, Ledger& ledger, const Facts& facts);
    /// One that outlived the cubard that served it. Throws where `kept` is not whole; its sessions
    /// of that time are over (kHostRestarted).
    Guest(const VmConfig& config, WorkerSetting& setting, Ledger& ledger, const Facts& facts,
          Kept kept);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    ~Guest();

    /// From now on all that must survive is kept there, under "VM/…".
    void keep_in(DescriptorStore& store);
    /// Forgets what was kept. The guest is over for good.
    void drop_from_store();

    /// Ends all sessions with this error, and says kStopping.
    void stop(SessionError error);
    /// Kills all workers; `on_empty` is called when the last has ended (maybe at once).
    void end(std::function<void()> on_empty);

    /// A local client has ended, or its process has: releases the channels that it held.
    void client_ended(std::uint32_t pid);

    int memory() const { return memory_.file(); }
    /// cubard's, then each channel's.
    const std::vector<transport::Descriptor>& doorbells() const { return doorbells_; }
    std::uint32_t session_count() const;

    std::vector<SessionStatus> sessions() const;
    const std::array<std::uint64_t, 2>& boot_id() { return book_.boot_id(); }
    /// Ends a session by an administrator's word. False where it is not there, or over already.
    bool kill_session(SessionId session);
    /// Ends all of them; the guest may have new ones at once.
    void evict_sessions();

private:
    enum class Phase { kFree, kStarting, kServing, kOver, kReleasing };
    struct Channel {
        Phase phase = Phase::kFree;
        SessionId session = 0;
        transport::ClaimSeen claim;    ///< what the session was claimed with
        transport::ClaimSeen release;  ///< what kFree will answer
        bool again = false;            ///< `next` waits for the channel to be free
        transport::ClaimSeen next;
        std::unique_ptr<WorkerProcess> worker;
        std::chrono::steady_clock::time_point start;
        std::uint32_t beats = 0;           ///< while it started, or is being released
        std::optional<WorkerMessage> did;  ///< kDid, as the worker ended
    };

    void watch_doorbell();
    bool evict(std::uint32_t number);
    void keep_worker(std::uint32_t number);
    void on_doorbell();
    void look_at(std::uint32_t number);
    void on_boot_id(const std::array<std::uint64_t, 2>& boot_id, std::uint32_t except);
    void on_claim(std::uint32_t number, const transport::ClaimSeen& claim);
    void begin_release(std::uint32_t number, const transport::ClaimSeen& claim);
    void finish_release(std::uint32_t number);
    void start_session(std::uint32_t number, const transport::ClaimSeen& claim);
    SessionError check(const transport::ClaimSeen& claim) const;
    void on_message(std::uint32_t number, const WorkerMessage& message);
    void on_worker_end(std::uint32_t number, const std::string& how);
    void beat();
    void set_dead(std::uint32_t number, SessionError error);
    void watch_telemetry();
    void answer_telemetry();
    Telemetry telemetry() const;
    void log_end(std::uint32_t number, const std::string& how) const;
    std::string session_name(std::uint32_t number) const;

    VmConfig config_;
    WorkerSetting& setting_;
    Ledger& ledger_;
    const Facts& facts_;
    GuestMemory memory_;
    transport::TelemetryWriter telemetry_{memory_.telemetry()};
    bool telemetry_due_ = false;
    std::optional<TelemetrySource::Listener> telemetry_listener_;
    GuestBook book_;
    GranuleLedger granules_;
    std::vector<transport::Descriptor> doorbells_;
    std::vector<Channel> channels_;
    DescriptorStore* store_ = nullptr;
    std::vector<std::string> kept_names_;
    std::function<void()> on_empty_;
    EventLoop::Watch doorbell_watch_;
    Timer beat_;  ///< armed while somebody waits for a worker's start or end
};

/// Under which name a worker is kept in the descriptor store.
inline std::string kept_worker_name(std::uint32_t number) {
    return "worker." + std::to_string(number);
}

/// Answers what a worker asks about memory. Pure: the ledgers check every number.
HostMessage answer_worker(Ledger& ledger, GranuleLedger& granules, SessionId session,
                          const WorkerMessage& message);

}  // namespace cubar::host
