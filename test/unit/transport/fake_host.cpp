// SPDX-License-Identifier: Apache-2.0
#include "fake_host.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <catch2/catch.hpp>

namespace cubar::transport::test {

namespace {

Descriptor new_eventfd() {
    return Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void ring(const Descriptor& doorbell) {
    const std::uint64_t one = 1;
    // No assertion: this runs in the fake host's own threads.
    static_cast<void>(!write(doorbell.get(), &one, sizeof one));
}

constexpr std::uint64_t kFactsOffset = kPageBytes;
constexpr std::uint64_t kFactsBytes = (sizeof(Facts) + kPageBytes - 1) / kPageBytes * kPageBytes;

}  // namespace

HostMemory::HostMemory(HostShape shape) : shape_(shape) {
    const std::uint64_t channels_offset = kGranuleBytes;
    const std::uint64_t arena_offset = channels_offset + shape.channels * sizeof(cubar::Channel);
    const std::uint64_t bytes = arena_offset + shape.arena_bytes;
    file_ = Descriptor(memfd_create("cubar-test", MFD_CLOEXEC));
    REQUIRE(file_);
    REQUIRE(ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0);
    Result<Mapping> memory = Mapping::reserve(bytes);
    REQUIRE(memory);
    memory_ = std::move(*memory);
    REQUIRE_FALSE(memory_.map(file_.get(), 0, memory_.bytes(), true));

    for (unsigned i = 0; i < shape.channels + 1; ++i) {
        doorbells_.push_back(new_eventfd());
    }
    Header& head = header();
    head.layout_version = kLayoutVersion;
    head.protocol_version = kProtocolVersion;
    head.bar_bytes = bytes;
    head.facts_offset = kFactsOffset;
    head.facts_bytes = kFactsBytes;
    head.channels_offset = channels_offset;
    head.channel_stride = sizeof(cubar::Channel);
    head.channel_count = shape.channels;
    head.cubard_peer = 100;
    head.first_channel_peer = 200;
    head.granule_bytes = kGranuleBytes;
    head.arena_offset = arena_offset;
    head.arena_bytes = shape.arena_bytes;
    head.epoch.store(7);
    facts().driver_version = 13000;
    facts().device_count = 1;
    head.host_state.store(static_cast<std::uint32_t>(HostState::kServing));
    head.magic = kMagic;
}

Facts& HostMemory::facts() {
    return *reinterpret_cast<Facts*>(memory_.data() + kFactsOffset);
}

cubar::Channel& HostMemory::channel(unsigned number) {
    return *reinterpret_cast<cubar::Channel*>(memory_.data() + header().channels_offset +
                                              number * sizeof(cubar::Channel));
}

std::byte* HostMemory::arena() {
    return memory_.data() + header().arena_offset;
}

std::vector<Descriptor> HostMemory::pass_on() const {
    std::vector<Descriptor> passed;
    passed.emplace_back(fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
    for (const Descriptor& doorbell : doorbells_) {
        passed.emplace_back(fcntl(doorbell.get(), F_DUPFD_CLOEXEC, 0));
    }
    return passed;
}

std::unique_ptr<Device> HostMemory::open_device() const {
    std::vector<Descriptor> passed = pass_on();
    Result<std::unique_ptr<Device>> device = adopt_local_device("test", passed);
    if (!device) {
        return nullptr;
    }
    return std::move(*device);
}

FakeWorker::FakeWorker(HostMemory& host, unsigned channel, Handler handler)
    : host_(host),
      channel_(channel),
      stop_(new_eventfd()),
      thread_([this, handler = std::move(handler)] { run(handler); }) {}

FakeWorker::~FakeWorker() {
    ring(stop_);
    thread_.join();
}

void FakeWorker::run(const Handler& handler) {
    cubar::Channel& channel = host_.channel(channel_);
    RingConsumer consumer(channel.control, channel.ring, WaitPolicy::kLocal,
                          host_.worker_doorbell(channel_));
    ReplyWriter replies(channel, WaitPolicy::kLocal);
    Record record;
    for (;;) {
        switch (consumer.next(record)) {
            case Next::kRecord: {
                const Reaction reaction = handler ? handler(record) : Reaction{};
                if (reaction.answer) {
                    replies.write(record.header().reply_slot, reaction.result, record.end(),
                                  reaction.body);
                }
                break;
            }
            case Next::kEmpty: {
                if (consumer.spin()) {
                    break;
                }
                pollfd stop{stop_.get(), POLLIN, 0};
                consumer.sleep({&stop, 1}, -1);
                if (stop.revents != 0) {
                    return;
                }
                break;
            }
            case Next::kBroken:
                host_.words(channel_).dead(SessionError::kProtocolBroken);
                return;
        }
    }
}

FakeCubard::FakeCubard(HostMemory& host, Handler handler)
    : host_(host),
      stop_(new_eventfd()),
      workers_(host.channels()),
      thread_([this, handler = std::move(handler)] { run(handler); }) {}

FakeCubard::~FakeCubard() {
    ring(stop_);
    thread_.join();
}

void FakeCubard::run(const Handler& handler) {
    for (;;) {
        pollfd events[2] = {{host_.cubard_doorbell(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        poll(events, 2, -1);
        if (events[1].revents != 0) {
            return;
        }
        std::uint64_t rings = 0;
        static_cast<void>(!read(host_.cubard_doorbell(), &rings, sizeof rings));
        for (unsigned channel = 0; channel < host_.channels(); ++channel) {
            answer(channel, handler);
        }
    }
}

void FakeCubard::answer(unsigned channel, const Handler& handler) {
    SessionWords words = host_.words(channel);
    ClaimSeen claim;
    if (!words.pending(claim)) {
        return;
    }
    if (claim.request == ClaimRequest::kRelease) {
        release(channel, claim);
        return;
    }
    const auto claimed =
        static_cast<unsigned>(std::popcount(host_.header().claimed_channels.load()));
    if (claimed >= sessions) {
        words.refuse(claim, SessionError::kQuota);
        return;
    }
    if (refuse_with.load() != SessionError::kNone) {
        words.refuse(claim, refuse_with.load());
        return;
    }
    words.accept(claim, 1000 + channel);
    if (refuse_addresses.load() > 0) {
        --refuse_addresses;
        words.fail_to_start(SessionError::kAddressTaken);
        return;
    }
    workers_[channel] = std::make_unique<FakeWorker>(host_, channel, handler);
    words.ready();
    ++accepted;
}

void FakeCubard::release(unsigned channel, const ClaimSeen& claim) {
    SessionWords words = host_.words(channel);
    words.releasing(claim);
    if (stuck) {
        return;
    }
    for (unsigned beats = 0; beats < beats_per_release; ++beats) {
        pollfd stop{stop_.get(), POLLIN, 0};
        poll(&stop, 1, 5);
        beat(host_.header());
    }
    workers_[channel].reset();
    words.free(claim);
    ++released;
}

int in_child(const std::function<int()>& body) {
    const int pid = fork();
    if (pid == 0) {
        _exit(body());
    }
    REQUIRE(pid > 0);
    return pid;
}

int exit_of(int pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace cubar::transport::test
