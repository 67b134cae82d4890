// SPDX-License-Identifier: Apache-2.0
// What an administrator sees of a guest's sessions, and how one is ended.
#include <spdlog/spdlog.h>

#include "host/cubard/guest.h"

namespace cubar::host {

std::vector<SessionStatus> Guest::sessions() const {
    constexpr const char* kPhases[] = {"free", "starting", "serving", "over", "releasing"};
    std::vector<SessionStatus> result;
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        const Channel& channel = channels_[number];
        if (channel.phase == Phase::kFree) {
            continue;
        }
        SessionStatus status{.session = channel.session,
                             .channel = number,
                             .state = kPhases[static_cast<std::size_t>(channel.phase)],
                             .guest_pid = channel.claim.pid};
        // Of a session of an earlier cubard neither is known.
        if (channel.worker && channel.worker->pid() > 0) {
            status.worker_pid = channel.worker->pid();
        }
        if (channel.start != std::chrono::steady_clock::time_point{}) {
            status.seconds = std::chrono::duration_cast<std::chrono::seconds>(
                                 std::chrono::steady_clock::now() - channel.start)
                                 .count();
        }
        for (std::uint32_t device = 0; device < ledger_.device_count(); ++device) {
            status.memory.push_back(ledger_.used_by(channel.session, device));
        }
        result.push_back(std::move(status));
    }
    return result;
}

bool Guest::kill_session(SessionId session) {
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        if (channels_[number].session == session && evict(number)) {
            spdlog::info("{}: ended by an administrator", session_name(number));
            return true;
        }
    }
    return false;
}

void Guest::evict_sessions() {
    for (std::uint32_t number = 0; number < channels_.size(); ++number) {
        evict(number);
    }
}

bool Guest::evict(std::uint32_t number) {
    const Channel& channel = channels_[number];
    if (channel.phase != Phase::kStarting && channel.phase != Phase::kServing) {
        return false;
    }
    set_dead(number, SessionError::kEvicted);
    channel.worker->kill();
    return true;
}

}  // namespace cubar::host
