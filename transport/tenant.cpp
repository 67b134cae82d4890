// SPDX-License-Identifier: Apache-2.0
#include "transport/tenant.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>

#include "transport/wait.h"

namespace cubar::transport {

namespace {

/// The claimer of this channel has asked for its release already, and cubard is not done.
bool being_released(const ChannelControl& control) {
    const bool asked =
        static_cast<ClaimRequest>(control.claim_request.load(std::memory_order_relaxed)) ==
        ClaimRequest::kRelease;
    const std::uint64_t answered = control.claim_answered.load(std::memory_order_acquire);
    return asked && (answered != control.claim_number.load(std::memory_order_acquire) ||
                     state_of(control) == SessionState::kReleasing);
}

}  // namespace

Locked set_lock(int file, unsigned channel, short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = channel;
    lock.l_len = 1;
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) {
        return Locked::kYes;
    }
    return errno == EAGAIN || errno == EACCES ? Locked::kNo : Locked::kError;
}

std::uint64_t identity_of(int file) {
    struct stat status {};
    if (fstat(file, &status) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(status.st_dev) << 40 ^ status.st_ino;
}

Result<Mapping> map_control(Device& device, unsigned channel) {
    Result<Mapping> pages = Mapping::reserve(kControlBytes);
    if (!pages) {
        return pages;
    }
    if (Failure failure =
            device.map(*pages, pages->bytes(), device.channel_offset(channel), Caching::kControl)) {
        return failure;
    }
    return pages;
}

SessionState state_of(const ChannelControl& control) {
    return static_cast<SessionState>(control.session_state.load(std::memory_order_acquire));
}

Tenant tenant_of(const ChannelControl& control, std::uint64_t identity, const BootId& boot_id) {
    const std::uint64_t answered = control.claim_answered.load(std::memory_order_acquire);
    if (answered == control.claim_number.load(std::memory_order_acquire) &&
        state_of(control) == SessionState::kFree) {
        return Tenant::kNobody;
    }
    const bool same_boot = control.boot_id[0].load(std::memory_order_relaxed) == boot_id[0] &&
                           control.boot_id[1].load(std::memory_order_relaxed) == boot_id[1];
    const bool same_file = control.lock_identity.load(std::memory_order_relaxed) == identity;
    return same_boot && !same_file ? Tenant::kUnknown : Tenant::kGone;
}

std::uint64_t ask(Device& device, ChannelControl& control, ClaimRequest request) {
    std::uint32_t chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance) {
        chance = static_cast<std::uint32_t>(now());
    }
    const std::uint64_t count = (control.claim_number.load(std::memory_order_relaxed) >> 32) + 1;
    const std::uint64_t number = count << 32 | chance;
    control.claim_request.store(static_cast<std::uint32_t>(request), std::memory_order_relaxed);
    // Pairs with SessionWords::pending(). The doorbell is a system call or an uncached store,
    // before which this store is complete.
    control.claim_number.store(number, std::memory_order_release);
    device.ring_doorbell(device.header().cubard_peer);
    return number;
}

Survey release_orphans(Device& device, int file, std::uint64_t channels, const BootId& boot_id) {
    Survey survey;
    const std::uint64_t identity = identity_of(file);
    for (unsigned channel = 0; channel < device.header().channel_count; ++channel) {
        if ((channels >> channel & 1) == 0) {
            continue;
        }
        if (set_lock(file, channel, F_WRLCK) != Locked::kYes) {
            ++survey.locked;
            continue;
        }
        if (Result<Mapping> pages = map_control(device, channel)) {
            auto& control = *reinterpret_cast<ChannelControl*>(pages->data());
            const Tenant tenant = tenant_of(control, identity, boot_id);
            survey.unknown += tenant == Tenant::kUnknown ? 1 : 0;
            survey.free += tenant == Tenant::kNobody ? 1 : 0;
            if (tenant == Tenant::kGone) {
                survey.orphans |= std::uint64_t{1} << channel;
                if (!being_released(control)) {
                    ask(device, control, ClaimRequest::kRelease);
                    ++survey.asked;
                }
            }
        }
        set_lock(file, channel, F_UNLCK);
    }
    return survey;
}

}  // namespace cubar::transport
