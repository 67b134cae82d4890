// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "fake_host.h"
#include "transport/channel.h"

namespace cubar::transport::test {

namespace {

/// A pipe over which a child says that it has come so far.
struct Signal {
    Signal() {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        in = Descriptor(ends[0]);
        out = Descriptor(ends[1]);
    }
    void give() const { static_cast<void>(!write(out.get(), "x", 1)); }
    bool take() const {
        char byte;
        return read(in.get(), &byte, 1) == 1;
    }
    Descriptor in;
    Descriptor out;
};

/// Forks a process that claims a channel and then waits to be killed. Its pid, once it has one.
int process_with_channel(HostMemory& host, unsigned* channel) {
    Signal claimed;
    const int pid = in_child([&] {
        std::unique_ptr<Device> device = host.open_device();
        Result<std::unique_ptr<Channel>> opened = Channel::open(*device);
        if (!opened) {
            return 1;
        }
        const auto number = static_cast<unsigned char>((*opened)->number());
        static_cast<void>(!write(claimed.out.get(), &number, 1));
        for (;;) {
            pause();
        }
    });
    claimed.out.reset();
    unsigned char number = 0;
    REQUIRE(read(claimed.in.get(), &number, 1) == 1);
    *channel = number;
    return pid;
}

void kill_and_wait(int pid) {
    REQUIRE(kill(pid, SIGKILL) == 0);
    REQUIRE(exit_of(pid) == 128 + SIGKILL);
}

Error claim_error(Device& device, const ClaimOptions& options = {}) {
    Result<Claim> claim = Claim::take(device, options);
    return claim ? Error::kNone : claim.failure().error;
}

/// Looks until it is so; the test's own time limit ends a wait in vain.
template <typename Condition>
void until(Condition condition) {
    while (!condition()) {
        std::this_thread::yield();
    }
}

}  // namespace

TEST_CASE("A claim takes a channel, and its end gives it back", "[claim]") {
    HostMemory host;
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    REQUIRE(device);
    {
        Result<Claim> claim = Claim::take(*device);
        REQUIRE(claim);
        REQUIRE(claim->channel() == 0);
        REQUIRE(claim->epoch() == 7);
        REQUIRE(host.words(0).state() == SessionState::kReady);
        REQUIRE(host.header().claimed_channels.load() == 1);
        REQUIRE(host.channel(0).control.pid.load() == static_cast<std::uint32_t>(getpid()));
        REQUIRE(host.channel(0).control.arena_address.load() ==
                reinterpret_cast<std::uintptr_t>(claim->arena().data()));
    }
    until([&] { return host.words(0).state() == SessionState::kFree; });
    REQUIRE(host.header().claimed_channels.load() == 0);
}

TEST_CASE("Locks exclude, and a full device says so", "[claim]") {
    HostMemory host;
    FakeCubard cubard(host);
    std::unique_ptr<Device> one = host.open_device();
    std::unique_ptr<Device> two = host.open_device();
    std::unique_ptr<Device> three = host.open_device();
    Result<Claim> first = Claim::take(*one);
    Result<Claim> second = Claim::take(*two);
    REQUIRE(first);
    REQUIRE(second);
    REQUIRE(first->channel() != second->channel());
    REQUIRE(claim_error(*three) == Error::kAllChannelsTaken);
}

TEST_CASE("Claims end with the host's reason", "[claim]") {
    HostMemory host;
    std::unique_ptr<Device> device = host.open_device();
    SECTION("nobody answers") {
        ClaimOptions options;
        options.confirm_ms = 30;
        REQUIRE(claim_error(*device, options) == Error::kClaimTimeout);
        REQUIRE(static_cast<ClaimRequest>(host.channel(0).control.claim_request.load()) ==
                ClaimRequest::kRelease);
    }
    SECTION("quota") {
        FakeCubard cubard(host);
        cubard.refuse_with = SessionError::kQuota;
        REQUIRE(claim_error(*device) == Error::kQuota);
        REQUIRE(cubard.released == 1);
    }
    SECTION("protocol") {
        FakeCubard cubard(host);
        cubard.refuse_with = SessionError::kProtocol;
        REQUIRE(claim_error(*device) == Error::kProtocol);
    }
    SECTION("driver") {
        FakeCubard cubard(host);
        cubard.refuse_with = SessionError::kDriver;
        REQUIRE(claim_error(*device) == Error::kHostDriver);
    }
    SECTION("no address suits the worker") {
        FakeCubard cubard(host);
        cubard.refuse_addresses = 1000;
        REQUIRE(claim_error(*device) == Error::kNoArenaAddress);
        REQUIRE(host.words(0).state() == SessionState::kFree);
    }
}

TEST_CASE("An address that the worker cannot have is replaced by another", "[claim]") {
    HostMemory host;
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    const auto address = [&] {
        Result<Claim> claim = Claim::take(*device);
        return claim ? claim->arena().data() : nullptr;
    };
    const std::byte* const first = address();
    REQUIRE(first != nullptr);
    cubard.refuse_addresses = 1;
    const std::byte* const second = address();
    REQUIRE(second != nullptr);
    REQUIRE(second != first);
    REQUIRE(cubard.refuse_addresses == 0);
}

TEST_CASE("What a killed process held is taken by the next claimer", "[claim]") {
    HostMemory host({.channels = 1});
    FakeCubard cubard(host);
    unsigned channel = 9;
    const int pid = process_with_channel(host, &channel);
    std::unique_ptr<Device> device = host.open_device();
    REQUIRE(claim_error(*device) == Error::kAllChannelsTaken);
    kill_and_wait(pid);
    Result<Claim> claim = Claim::take(*device);
    REQUIRE(claim);
    REQUIRE(claim->channel() == channel);
    REQUIRE(cubard.released == 1);
    REQUIRE(cubard.accepted == 2);
}

TEST_CASE("A busy host may take long over a release, a silent one not", "[claim]") {
    HostMemory host({.channels = 1});
    FakeCubard cubard(host);
    unsigned channel = 9;
    kill_and_wait(process_with_channel(host, &channel));
    std::unique_ptr<Device> device = host.open_device();
    ClaimOptions options;
    options.silence_ms = 200;
    SECTION("it beats") {
        cubard.beats_per_release = 100;
        const Nanoseconds begin = now();
        REQUIRE(claim_error(*device, options) == Error::kNone);
        REQUIRE(now() - begin > 2 * kMillisecond * options.silence_ms);
    }
    SECTION("it does not beat") {
        cubard.stuck = true;
        REQUIRE(claim_error(*device, options) == Error::kHostSilent);
    }
}

TEST_CASE("Nobody answers where only orphans are left", "[claim]") {
    HostMemory host({.channels = 2});
    std::unique_ptr<Device> device = host.open_device();
    ClaimOptions options;
    options.confirm_ms = 30;
    // Each claim in vain leaves a channel behind that only a cubard can free.
    for (int attempt = 0; attempt < 3; ++attempt) {
        REQUIRE(claim_error(*device, options) == Error::kClaimTimeout);
    }
    FakeCubard cubard(host);
    const std::uint64_t one = 1;
    REQUIRE(write(host.cubard_doorbell(), &one, sizeof one) == sizeof one);
    REQUIRE(claim_error(*device) == Error::kNone);
}

TEST_CASE("A dead process does not count against the quota", "[claim]") {
    HostMemory host({.channels = 2});
    FakeCubard cubard(host);
    cubard.sessions = 1;
    unsigned channel = 9;
    const int pid = process_with_channel(host, &channel);
    std::unique_ptr<Device> device = host.open_device();
    REQUIRE(claim_error(*device) == Error::kQuota);
    kill_and_wait(pid);
    REQUIRE(claim_error(*device) == Error::kNone);
}

TEST_CASE("A live client releases what a killed process held, and nothing else", "[claim]") {
    HostMemory host({.channels = 3});
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    Result<std::unique_ptr<Channel>> own = Channel::open(*device);
    REQUIRE(own);
    REQUIRE((*own)->reap() == 0);
    unsigned killed = 9;
    unsigned live = 9;
    const int victim = process_with_channel(host, &killed);
    const int survivor = process_with_channel(host, &live);
    REQUIRE((*own)->reap() == 0);
    kill_and_wait(victim);
    REQUIRE((*own)->reap() == 1);
    until([&] { return host.words(killed).state() == SessionState::kFree; });
    REQUIRE((*own)->reap() == 0);
    REQUIRE(host.words(live).state() == SessionState::kReady);
    REQUIRE((*own)->status() == Error::kNone);
    kill_and_wait(survivor);
}

TEST_CASE("A reboot frees what was claimed; another lock file does not", "[claim]") {
    HostMemory host({.channels = 1});
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    unsigned channel = 9;
    kill_and_wait(process_with_channel(host, &channel));
    host.channel(0).control.lock_identity.store(1);
    ClaimOptions options;
    SECTION("same boot: the claimer may live") {
        REQUIRE(claim_error(*device, options) == Error::kAllChannelsTaken);
        REQUIRE(reap_orphans(*device, kMaxChannels, options.boot_id) == 0);
    }
    SECTION("another boot: it cannot") {
        options.boot_id = {1, 2};
        REQUIRE(reap_orphans(*device, kMaxChannels, options.boot_id) == 1);
        REQUIRE(claim_error(*device, options) == Error::kNone);
    }
}

TEST_CASE("A restarted host ends the session", "[claim]") {
    HostMemory host;
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    Result<std::unique_ptr<Channel>> channel = Channel::open(*device);
    REQUIRE(channel);
    host.header().epoch.store(8);
    REQUIRE((*channel)->status() == Error::kSessionDead);
    REQUIRE((*channel)->session_error() == SessionError::kHostRestarted);
}

TEST_CASE("A forked child leaves its parent's channel alone", "[fork]") {
    HostMemory host({.channels = 1});
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    Result<std::unique_ptr<Channel>> opened = Channel::open(*device);
    REQUIRE(opened);
    std::unique_ptr<Channel> channel = std::move(*opened);
    REQUIRE_FALSE(channel->add_granules({0, 1}));

    SECTION("every call in it is an error, and its end is quiet") {
        const Position before = channel->position();
        const int pid = in_child([&] {
            std::byte reply[8];
            bool right = !channel->alive() && !device->alive();
            right = right && channel->post({}, 1).error == Error::kForked;
            right = right && channel->begin(8).error() == Error::kForked;
            right = right && channel->call({}, {}, {}, reply).error == Error::kForked;
            right = right && channel->status() == Error::kForked;
            right = right && channel->deferred_error() == 0;
            right = right && !channel->reached(0, 0);
            right = right && channel->add_granules({1, 1}).error == Error::kForked;
            right = right && channel->remove_free_granules().count == 0;
            right = right && channel->reap() == 0;
            channel.reset();
            device.reset();
            return right ? 0 : 1;
        });
        REQUIRE(exit_of(pid) == 0);
        REQUIRE(channel->position() == before);
        REQUIRE(channel->status() == Error::kNone);
        REQUIRE(host.words(0).state() == SessionState::kReady);
    }
    SECTION("a child that lives on does not hold the lock") {
        Signal lives;
        Signal go;
        const int pid = in_child([&] {
            go.out.reset();  // so that it ends with the parent, too
            lives.give();
            return go.take() ? 0 : 1;
        });
        REQUIRE(lives.take());
        channel.reset();
        until([&] { return host.words(0).state() == SessionState::kFree; });
        REQUIRE(claim_error(*device) == Error::kNone);
        go.give();
        REQUIRE(exit_of(pid) == 0);
    }
    SECTION("it can claim one of its own") {
        channel.reset();
        until([&] { return host.words(0).state() == SessionState::kFree; });
        const int pid = in_child([&] {
            std::unique_ptr<Device> fresh = host.open_device();
            Result<std::unique_ptr<Channel>> own = Channel::open(*fresh);
            std::byte reply[8];
            return own && (*own)->call({}, {}, {}, reply).error == Error::kNone ? 0 : 1;
        });
        REQUIRE(exit_of(pid) == 0);
    }
}

}  // namespace cubar::transport::test
