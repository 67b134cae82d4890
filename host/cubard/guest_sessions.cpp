// SPDX-License-Identifier: Apache-2.0
// What becomes of a guest's claims: sessions, their workers, their ends.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "host/cubard/guest.h"

namespace cubar::host {
namespace {

/// Above this no user-space address lies on x86-64 with four-level page tables.
constexpr std::uint64_t kAddressEnd = std::uint64_t{1} << 47;
/// For so long cubard answers for a worker that neither says that it is ready nor ends.
constexpr std::uint32_t kMostBeats = 10'000 / kHeartbeatMs;

}  // namespace

// --- claims --------------------------------------------------------------------------------------

void Guest::on_doorbell() {
    std::uint64_t rings = 0;
    if (::read(doorbells_.front().get(), &rings, sizeof rings) < 0 && errno != EAGAIN) {
        return;
    }
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        look_at(number);
    }
    answer_telemetry();
}

void Guest::look_at(std::uint32_t number) {
    transport::ClaimSeen claim;
    if (!memory_.words(number).pending(claim)) {
        return;
    }
    switch (claim.request) {
        case ClaimRequest::kClaim:
            // Only a claim tells who claims: a release may be of what an earlier boot left behind.
            on_boot_id(claim.boot_id, number);
            on_claim(number, claim);
            break;
        case ClaimRequest::kRelease:
            begin_release(number, claim);
            break;
        default:
            break;  // no library asks for this; whoever did gets no answer
    }
}

void Guest::on_boot_id(const std::array<std::uint64_t, 2>& boot_id, std::uint32_t except) {
    if (boot_id == book_.boot_id()) {
        return;
    }
    book_.boot_id() = boot_id;
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        const Channel& channel = channels_[number];
        if (channel.phase != Phase::kFree && channel.claim.boot_id != boot_id) {
            spdlog::info("{}: the guest was booted again; released", session_name(number));
            begin_release(number, number == except ? transport::ClaimSeen{} : channel.claim);
        }
    }
}

void Guest::on_claim(std::uint32_t number, const transport::ClaimSeen& claim) {
    Channel& channel = channels_[number];
    switch (channel.phase) {
        case Phase::kFree:
            start_session(number, claim);
            break;
        case Phase::kOver:
            begin_release(number, channel.claim);
            [[fallthrough]];
        case Phase::kReleasing:
            if (channel.phase == Phase::kFree) {
                start_session(number, claim);
            } else {
                channel.again = true;
                channel.next = claim;
            }
            break;
        case Phase::kStarting:
        case Phase::kServing:
            // Somebody else's, as far as cubard knows. The claimer gets no answer and takes another
            // channel; the session that runs is not ended by a stranger's word.
            break;
    }
}

SessionError Guest::check(const transport::ClaimSeen& claim) const {
    if (claim.protocol_version == 0 || claim.protocol_version > kProtocolVersion) {
        return SessionError::kProtocol;
    }
    const std::uint64_t arena = memory_.plan().arena_bytes();
    if (claim.arena_address % kPageBytes != 0 || claim.arena_address > kAddressEnd - arena) {
        return SessionError::kAddressTaken;
    }
    return session_count() >= config_.sessions ? SessionError::kQuota : SessionError::kNone;
}

void Guest::start_session(std::uint32_t number, const transport::ClaimSeen& claim) {
    Channel& channel = channels_[number];
    if (const SessionError error = check(claim); error != SessionError::kNone) {
        spdlog::info("{}: process {} gets no session: {}", config_.name, claim.pid,
                     error == SessionError::kQuota ? "all sessions that the VM may have are taken"
                     : error == SessionError::kProtocol
                         ? "it speaks a protocol that this cubard does not"
                         : "it asks for the arena at an impossible address");
        // Nothing was claimed: what the claimer releases is free already.
        memory_.words(number).refuse(claim, error);
        return;
    }
    channel = Channel{.phase = Phase::kStarting,
                      .session = ++book_.last_session(),
                      .claim = claim,
                      .start = std::chrono::steady_clock::now()};
    book_.session(number) = channel.session;
    book_.claim_number(number) = claim.number;
    memory_.words(number).accept(claim, channel.session);
    beat_.repeat(std::chrono::milliseconds{kHeartbeatMs});
    try {
        channel.worker = std::make_unique<WorkerProcess>(
            setting_, session_name(number), config_.devices, config_.priority,
            WorkerProcess::Listener{
                .on_message =
                    [this, number](const WorkerMessage& message) { on_message(number, message); },
                .on_end = [this, number](const std::string& how) { on_worker_end(number, how); }});
    } catch (const std::system_error& error) {
        spdlog::error("{}: no worker could be started: {}", session_name(number), error.what());
        channel.phase = Phase::kOver;
        set_dead(number, SessionError::kWorkerDied);
        return;
    }
    spdlog::info("{}: process {} has channel {}, worker {}", session_name(number), claim.pid,
                 number, channel.worker->pid());
    if (store_ != nullptr) {
        keep_worker(number);
    }
    const MemoryPlan& plan = memory_.plan();
    channel.worker->assign({.channel = number,
                            .session_id = channel.session,
                            .arena_address = claim.arena_address,
                            .channel_offset = plan.channel_offset(number),
                            .arena_offset = plan.arena_offset(),
                            .arena_bytes = plan.arena_bytes()},
                           memory_.file(), doorbells_[number + 1].get());
}

void Guest::begin_release(std::uint32_t number, const transport::ClaimSeen& claim) {
    Channel& channel = channels_[number];
    channel.release = claim;
    if (channel.phase == Phase::kFree) {
        memory_.words(number).free(claim);
        return;
    }
    memory_.words(number).releasing(claim);
    if (channel.phase == Phase::kReleasing) {
        return;
    }
    channel.phase = Phase::kReleasing;
    channel.beats = 0;
    if (channel.worker) {
        beat_.repeat(std::chrono::milliseconds{kHeartbeatMs});
        channel.worker->release();
    } else {
        finish_release(number);
    }
}

/// A busy host takes its time to start and to end processes. It is not a dead one, and says so.
void Guest::beat() {
    bool awaited = false;
    for (Channel& channel : channels_) {
        const bool waits = channel.phase == Phase::kStarting || channel.phase == Phase::kReleasing;
        if (waits && channel.beats < kMostBeats) {
            ++channel.beats;
            awaited = true;
        }
    }
    if (awaited) {
        memory_.beat();
    } else {
        beat_.disarm();
    }
}

void Guest::finish_release(std::uint32_t number) {
    Channel& channel = channels_[number];
    granules_.drop(channel.session);
    const Channel old = std::exchange(channel, Channel{});
    memory_.words(number).free(old.release);
    book_.session(number) = 0;  // after the word: killed in between, the session is found dead
    if (old.again && !on_empty_) {
        start_session(number, old.next);
    }
}

// --- workers -------------------------------------------------------------------------------------

HostMessage answer_worker(Ledger& ledger, GranuleLedger& granules, SessionId session,
                          const WorkerMessage& message) {
    HostMessage answer{.kind = HostSays::kAnswer, .number = message.number};
    switch (message.kind) {
        case WorkerSays::kCharge:
            answer.verdict = ledger.charge(session, message.device, message.bytes);
            break;
        case WorkerSays::kCredit:
            answer.verdict = ledger.credit(session, message.device, message.bytes);
            break;
        case WorkerSays::kUsage:
            if (message.device < ledger.device_count()) {
                answer.usage = ledger.usage(message.device);
            } else {
                answer.verdict = Verdict::kNoDevice;
            }
            break;
        case WorkerSays::kLease:
            if (!granules.lease(session, message.bytes, answer.first_granule)) {
                answer.verdict = Verdict::kNoArena;
            }
            break;
        case WorkerSays::kReturn:
            answer.verdict = granules.give_back(session, message.first, message.bytes);
            break;
        case WorkerSays::kReady:
        case WorkerSays::kRefused:
        case WorkerSays::kDid:
            answer.verdict = Verdict::kNotYours;
            break;
    }
    return answer;
}

namespace {

/// Why a worker ends its session, in its own words.
SessionError refusal(std::uint64_t value) {
    const bool known = value > static_cast<std::uint64_t>(SessionError::kNone) &&
                       value <= static_cast<std::uint64_t>(SessionError::kEvicted);
    return known ? static_cast<SessionError>(value) : SessionError::kWorkerDied;
}

}  // namespace

void Guest::on_message(std::uint32_t number, const WorkerMessage& message) {
    Channel& channel = channels_[number];
    switch (message.kind) {
        case WorkerSays::kReady:
            if (channel.phase == Phase::kStarting) {
                channel.phase = Phase::kServing;
                memory_.words(number).ready();
                memory_.wake_sleepers(number);
            }
            break;
        case WorkerSays::kRefused:
            if (channel.phase == Phase::kStarting) {
                channel.phase = Phase::kOver;
                memory_.words(number).fail_to_start(refusal(message.value));
                memory_.wake_sleepers(number);
            } else if (channel.phase == Phase::kServing) {
                // The guest broke the protocol: nobody reads its ring any more.
                set_dead(number, refusal(message.value));
                channel.worker->release();
            }
            break;
        case WorkerSays::kDid:
            channel.did = message;
            break;
        default:
            channel.worker->answer(answer_worker(ledger_, granules_, channel.session, message));
            break;
    }
}

void Guest::on_worker_end(std::uint32_t number, const std::string& how) {
    Channel& channel = channels_[number];
    const std::unique_ptr<WorkerProcess> ended = std::move(channel.worker);
    ledger_.drop(channel.session);
    if (store_ != nullptr) {
        store_->drop(config_.name + "/" + kept_worker_name(number));
    }
    if (ended->pid() > 0) {
        log_end(number, how);  // not of one that an earlier cubard started
    }
    if (channel.phase == Phase::kReleasing) {
        finish_release(number);
    } else if (channel.phase != Phase::kOver) {
        set_dead(number, SessionError::kWorkerDied);
    }
    if (on_empty_) {
        end(std::move(on_empty_));
    }
}

/// One line for each session. Its figures are the worker's word, for people only.
void Guest::log_end(std::uint32_t number, const std::string& how) const {
    const Channel& channel = channels_[number];
    const std::chrono::duration<double> lasted = std::chrono::steady_clock::now() - channel.start;
    if (channel.did) {
        spdlog::info("{}: ended after {:.1f} s: {} launches, {} copies ({:.1f} MiB)",
                     session_name(number), lasted.count(), channel.did->first, channel.did->value,
                     static_cast<double>(channel.did->bytes) / (1 << 20));
    } else if (channel.phase == Phase::kStarting || channel.phase == Phase::kServing) {
        spdlog::warn("{}: the worker ended by {} after {:.1f} s", session_name(number), how,
                     lasted.count());
    } else {
        spdlog::info("{}: ended after {:.1f} s by {}", session_name(number), lasted.count(), how);
    }
}

void Guest::set_dead(std::uint32_t number, SessionError error) {
    channels_[number].phase = Phase::kOver;
    memory_.words(number).dead(error);
    memory_.wake_sleepers(number);
}

}  // namespace cubar::host
