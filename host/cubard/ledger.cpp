// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/ledger.h"

#include <algorithm>
#include <limits>

namespace cubar::host {

Ledger::Ledger(const std::vector<Limits>& devices) {
    for (const Limits& limits : devices) {
        devices_.push_back({.limits = limits});
    }
}

Verdict Ledger::charge(SessionId session, std::uint32_t device, std::uint64_t bytes) {
    if (device >= devices_.size()) {
        return Verdict::kNoDevice;
    }
    Device& place = devices_[device];
    const std::uint64_t limit =
        place.limits.quota != 0 ? place.limits.quota : std::numeric_limits<std::uint64_t>::max();
    if (bytes > limit - std::min(limit, place.used)) {
        return Verdict::kQuota;
    }
    auto& sums = sessions_[session];
    sums.resize(devices_.size());
    sums[device] += bytes;
    place.used += bytes;
    return Verdict::kGranted;
}

Verdict Ledger::credit(SessionId session, std::uint32_t device, std::uint64_t bytes) {
    if (device >= devices_.size()) {
        return Verdict::kNoDevice;
    }
    if (bytes > used_by(session, device)) {
        return Verdict::kNotYours;
    }
    if (bytes != 0) {
        sessions_[session][device] -= bytes;
        devices_[device].used -= bytes;
    }
    return Verdict::kGranted;
}

void Ledger::drop(SessionId session) {
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) {
        return;
    }
    for (std::size_t device = 0; device < found->second.size(); ++device) {
        devices_[device].used -= found->second[device];
    }
    sessions_.erase(found);
}

Usage Ledger::usage(std::uint32_t device) const {
    const Device& place = devices_[device];
    return {.used = place.used, .quota = place.limits.quota, .total = place.limits.total};
}

std::uint64_t Ledger::used_by(SessionId session, std::uint32_t device) const {
    const auto found = sessions_.find(session);
    return found != sessions_.end() && device < found->second.size() ? found->second[device] : 0;
}

bool GranuleLedger::lease(SessionId session, std::uint64_t count, std::uint64_t& first) {
    if (count == 0 || count > owners_.size()) {
        return false;
    }
    std::uint64_t run = 0;
    for (std::uint64_t i = 0; i < owners_.size(); ++i) {
        run = owners_[i] == 0 ? run + 1 : 0;
        if (run == count) {
            first = i + 1 - count;
            std::ranges::fill(owners_.subspan(first, count), session);
            return true;
        }
    }
    return false;
}

Verdict GranuleLedger::give_back(SessionId session, std::uint64_t first, std::uint64_t count) {
    if (count > owners_.size() || first > owners_.size() - count) {
        return Verdict::kNotYours;
    }
    const auto granules = owners_.subspan(first, count);
    const bool all_its_own =
        std::ranges::all_of(granules, [&](SessionId owner) { return owner == session; });
    if (!all_its_own) {
        return Verdict::kNotYours;
    }
    std::ranges::fill(granules, SessionId{0});
    return Verdict::kGranted;
}

void GranuleLedger::drop(SessionId session) {
    std::ranges::replace(owners_, session, SessionId{0});
}

std::uint64_t GranuleLedger::held_by(SessionId session) const {
    return static_cast<std::uint64_t>(std::ranges::count(owners_, session));
}

}  // namespace cubar::host
