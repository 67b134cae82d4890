// SPDX-License-Identifier: Apache-2.0
#include "transport/claim.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "transport/wait.h"

namespace cubar::transport {

namespace {

/// Where the arena is proposed to lie, one after the other: far from where kernels put programs,
/// libraries and heaps, and within the 47 bits that every GPU's unified addressing covers. The
/// last proposal is whatever the kernel gives.
#ifdef __SANITIZE_THREAD__
// The thread sanitizer keeps the middle of the address space for itself.
constexpr std::uintptr_t kFirstAddress = std::uintptr_t{1} << 36;
constexpr std::uintptr_t kAddressStep = std::uintptr_t{1} << 34;
#else
constexpr std::uintptr_t kFirstAddress = std::uintptr_t{1} << 44;
constexpr std::uintptr_t kAddressStep = std::uintptr_t{1} << 42;
#endif
constexpr unsigned kProposals = 8;

/// Looks until `done` says so; by growing sleeps, for nobody rings on this side.
template <typename Done>
bool look_until(std::uint32_t limit_ms, Done&& done) {
    const Nanoseconds start = now();
    for (Nanoseconds time = start; time - start < limit_ms * kMillisecond; time = now()) {
        if (done()) {
            return true;
        }
        sleep_for(growing_sleep(time - start));
    }
    return done();
}

bool answered(const ChannelControl& control, std::uint64_t number) {
    return control.claim_answered.load(std::memory_order_acquire) == number;
}

Failure refusal(const Device& device, SessionError error) {
    switch (error) {
        case SessionError::kProtocol:
            return Failure::make(Error::kProtocol, 0, "%s: the host speaks protocol %u",
                                 device.name(), device.header().protocol_version);
        case SessionError::kQuota:
            return Failure::make(Error::kQuota, 0, "%s: no more sessions for this VM",
                                 device.name());
        case SessionError::kDriver:
            return Failure::make(Error::kHostDriver, 0, "%s: see cubard's log on the host",
                                 device.name());
        default:
            return Failure::make(Error::kSessionDead, 0, "%s: the session ended as it began (%u)",
                                 device.name(), static_cast<unsigned>(error));
    }
}

}  // namespace

BootId read_boot_id() {
    BootId id{};
    const Descriptor file(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    char text[40] = {};
    if (!file || read(file.get(), text, sizeof text - 1) <= 0) {
        return id;
    }
    unsigned digits = 0;
    for (const char* at = text; *at != '\0' && digits < 32; ++at) {
        const char* const hex = "0123456789abcdef";
        if (const char* found = std::strchr(hex, *at); found != nullptr) {
            id[digits / 16] = id[digits / 16] << 4 | static_cast<std::uint64_t>(found - hex);
            ++digits;
        }
    }
    return id;
}

/// The steps of taking a channel.
struct ClaimAttempt {
    Device& device;
    const ClaimOptions& options;
    Claim& claim;
    int file;  ///< whose locks exclude
    std::uint64_t identity;

    ChannelControl& control() { return claim.control(); }

    std::uint64_t host_beat() const {
        return device.header().host_beat.load(std::memory_order_acquire);
    }

    std::uint64_t claimed_channels() const {
        return device.header().claimed_channels.load(std::memory_order_acquire);
    }

    Failure no_answer() const {
        return Failure::make(Error::kClaimTimeout, 0,
                             "%s: no answer within %u ms: is cubard running?", device.name(),
                             options.confirm_ms);
    }

    /// Waits until done() says so, for as long as cubard beats.
    template <typename Done>
    Failure wait_while_host_beats(Done&& done) {
        Liveness::Watch watch;
        const Nanoseconds start = now();
        for (Nanoseconds time = start; !done(); time = now()) {
            if (watch.stands(host_beat(), time, options.silence_ms)) {
                return Failure::make(Error::kHostSilent, 0,
                                     "%s: cubard does not finish the release of a channel: see its "
                                     "log on the host",
                                     device.name());
            }
            sleep_for(growing_sleep(time - start));
        }
        return {};
    }

    /// Gives this channel back after a refusal, so that it can be claimed anew.
    Failure release() {
        const std::uint64_t number = ask(device, control(), ClaimRequest::kRelease);
        if (!look_until(options.confirm_ms, [&] { return answered(control(), number); })) {
            return no_answer();
        }
        return wait_while_host_beats([&] {
            return state_of(control()) == SessionState::kFree || !answered(control(), number);
        });
    }

    void clear_own_words() {
        control().tail.store(0, std::memory_order_relaxed);
        control().guest_cpu.store(0, std::memory_order_relaxed);
        control().guest_waits_for_space.store(0, std::memory_order_relaxed);
        auto* slots = reinterpret_cast<ReplySlot*>(claim.pages_.data() + kPageBytes);
        for (std::size_t i = 0; i < kReplySlots; ++i) {
            slots[i].state.store(0, std::memory_order_relaxed);
            slots[i].sleeping.store(0, std::memory_order_relaxed);
        }
    }

    void describe_claim() {
        control().protocol_version.store(options.protocol_version, std::memory_order_relaxed);
        control().boot_id[0].store(options.boot_id[0], std::memory_order_relaxed);
        control().boot_id[1].store(options.boot_id[1], std::memory_order_relaxed);
        control().arena_address.store(reinterpret_cast<std::uintptr_t>(claim.arena_.data()),
                                      std::memory_order_relaxed);
        control().pid.store(static_cast<std::uint32_t>(getpid()), std::memory_order_relaxed);
        control().lock_identity.store(identity, std::memory_order_relaxed);
    }

    /// Waits from the request to kReady or to whatever ended it.
    Failure await_session(std::uint64_t number) {
        if (!look_until(options.confirm_ms, [&] { return answered(control(), number); })) {
            ask(device, control(), ClaimRequest::kRelease);
            return no_answer();
        }
        claim.epoch_ = control().session_epoch.load(std::memory_order_relaxed);
        const Liveness liveness(device.header(), control(), claim.epoch_);
        Liveness::Watch watch;
        const Nanoseconds start = now();
        for (Nanoseconds time = start;; time = now()) {
            const SessionState state = state_of(control());
            if (state == SessionState::kReady) {
                return {};
            }
            const auto error =
                static_cast<SessionError>(control().session_error.load(std::memory_order_relaxed));
            if (state != SessionState::kAccepted) {
                return error == SessionError::kAddressTaken
                           ? Failure::make(Error::kNoArenaAddress, 0,
                                           "%s: the host found no room at the addresses proposed",
                                           device.name())
                           : refusal(device, error);
            }
            if (liveness.check(watch, time) == Error::kHostSilent) {
                ask(device, control(), ClaimRequest::kRelease);
                return Failure::make(Error::kHostSilent, 0, "%s: the worker did not start",
                                     device.name());
            }
            sleep_for(growing_sleep(time - start));
        }
    }

    /// A free channel becomes this process's.
    Failure take() {
        const std::uint64_t arena_bytes = device.header().arena_bytes;
        Failure failure =
            Failure::make(Error::kNoArenaAddress, 0, "%s: no %llu MiB of addresses are free",
                          device.name(), static_cast<unsigned long long>(arena_bytes >> 20));
        for (unsigned proposal = 0; proposal <= kProposals; ++proposal) {
            const std::uintptr_t address =
                proposal < kProposals ? kFirstAddress + proposal * kAddressStep : 0;
            Result<Mapping> arena = Mapping::reserve(arena_bytes, address);
            if (!arena) {
                continue;
            }
            claim.arena_ = std::move(*arena);
            clear_own_words();
            describe_claim();
            const std::uint64_t number = ask(device, control(), ClaimRequest::kClaim);
            failure = await_session(number);
            if (control().claim_number.load(std::memory_order_relaxed) != number &&
                failure.error != Error::kClaimTimeout) {
                return Failure::make(Error::kAllChannelsTaken, 0,
                                     "%s: somebody who does not see our locks claimed channel %u",
                                     device.name(), claim.channel_);
            }
            if (!failure) {
                return {};
            }
            if (failure.error == Error::kClaimTimeout || failure.error == Error::kHostSilent) {
                return failure;
            }
            if (const Failure stuck = release()) {
                return stuck;
            }
            if (failure.error != Error::kNoArenaAddress) {
                return failure;
            }
        }
        return failure;
    }

    /// The first channel that is free, and that the host lets this process have.
    Failure take_free() {
        unsigned locked = 0;
        unsigned unknown = 0;
        for (unsigned channel = 0; channel < device.header().channel_count; ++channel) {
            const Locked result = set_lock(file, channel, F_WRLCK);
            if (result == Locked::kError) {
                return Failure::make(Error::kLockFailed, errno, "%s: locking channel %u: %s",
                                     device.name(), channel, strerrordesc_np(errno));
            }
            if (result == Locked::kNo) {
                ++locked;
                continue;
            }
            Result<Mapping> pages = map_control(device, channel);
            if (!pages) {
                return pages.failure();
            }
            claim.pages_ = std::move(*pages);
            claim.channel_ = channel;
            const Tenant tenant = tenant_of(control(), identity, options.boot_id);
            unknown += tenant == Tenant::kUnknown ? 1 : 0;
            if (tenant == Tenant::kNobody) {
                const Failure failure = take();
                if (failure.error != Error::kAllChannelsTaken) {
                    return failure;  // or success, which keeps the lock
                }
            }
            set_lock(file, channel, F_UNLCK);
        }
        return Failure::make(Error::kAllChannelsTaken, 0,
                             "%s: %u channels, %u in use, %u claimed through another sysfs",
                             device.name(), device.header().channel_count, locked, unknown);
    }

    /// Has the channels of dead processes released, and waits for the first of them: they stand in
    /// the way of a claim that failed so. Without any, that failure stands, unless a channel became
    /// free since: `claimed` is what Header::claimed_channels was before.
    Failure await_orphan(const Failure& failure, std::uint64_t claimed) {
        const std::uint64_t beat = host_beat();
        const auto survey = [&] {
            return release_orphans(device, file, ~std::uint64_t{0}, options.boot_id);
        };
        const Survey first = survey();
        const std::uint64_t orphans = first.orphans;
        if (orphans == 0) {
            const bool one_less = (claimed & ~claimed_channels()) != 0;
            const bool one_free = failure.error == Error::kAllChannelsTaken && first.free != 0;
            return one_less || one_free ? Failure{} : failure;
        }
        const auto released = [&] { return (survey().orphans & orphans) != orphans; };
        if (!look_until(options.confirm_ms, [&] { return host_beat() != beat || released(); })) {
            return no_answer();
        }
        return wait_while_host_beats(released);
    }
};

Claim::Claim(Claim&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      channel_(other.channel_),
      epoch_(other.epoch_),
      lock_(std::move(other.lock_)),
      pages_(std::move(other.pages_)),
      arena_(std::move(other.arena_)),
      owner_(std::exchange(other.owner_, {})) {}

Claim::~Claim() {
    if (!lock_) {
        return;
    }
    if (!owner_.valid()) {
        lock_.release();  // closed when the child was forked; the number may be another file by now
        return;
    }
    give_up();
    keep_in_children(lock_.get());
}

void Claim::give_up() {
    if (device_ == nullptr || !owner_.valid()) {
        return;
    }
    ask(*device_, control(), ClaimRequest::kRelease);
    device_ = nullptr;
}

Result<Claim> Claim::take(Device& device, const ClaimOptions& options) {
    Claim claim;
    claim.owner_ = ForkMark::here();
    Result<Descriptor> lock = device.open_lock_file();
    if (!lock) {
        return lock.failure();
    }
    const int file = lock->get();
    if (!claim.owner_.valid() || !close_in_children(file)) {
        return Failure::make(Error::kNoMemory, 0, "%s: too many channels in one process",
                             device.name());
    }
    claim.lock_ = std::move(*lock);
    ClaimAttempt attempt{device, options, claim, file, identity_of(file)};
    for (;;) {
        const std::uint64_t claimed = attempt.claimed_channels();
        const Failure failure = attempt.take_free();
        if (!failure) {
            device.use_channel(claim.channel_);
            claim.device_ = &device;
            return claim;
        }
        if (failure.error != Error::kAllChannelsTaken && failure.error != Error::kQuota) {
            return failure;
        }
        // After a refusal the channel's lock is still held.
        set_lock(file, claim.channel_, F_UNLCK);
        if (const Failure stuck = attempt.await_orphan(failure, claimed)) {
            return stuck;
        }
    }
}

unsigned reap_orphans(Device& device, unsigned own, const BootId& boot_id) {
    if (!device.alive()) {
        return 0;
    }
    std::uint64_t claimed = device.header().claimed_channels.load(std::memory_order_acquire);
    if (own < kMaxChannels) {
        claimed &= ~(std::uint64_t{1} << own);
    }
    if (claimed == 0) {
        return 0;
    }
    Result<Descriptor> file = device.open_lock_file();
    if (!file) {
        return 0;
    }
    // A child forked just now would go on holding what is locked here.
    if (!close_in_children(file->get())) {
        return 0;
    }
    const unsigned released = release_orphans(device, file->get(), claimed, boot_id).asked;
    keep_in_children(file->get());
    return released;
}

}  // namespace cubar::transport
