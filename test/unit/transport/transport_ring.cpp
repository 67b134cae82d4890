// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <thread>

#include "fake_host.h"
#include "transport/ring_consumer.h"
#include "transport/ring_producer.h"

namespace cubar::transport::test {

namespace {

/// Both ends of channel 0's ring over the same addresses, so that the thread sanitizer sees the
/// two as one memory.
struct Ring {
    explicit Ring(WaitPolicy policy = WaitPolicy::kLocal)
        : wait{policy,   MemoryType::kWriteBack, budget,
               forecast, control.worker_cpu,     control.guest_cpu,
               liveness},
          consumer(control, doubled(), policy, host.worker_doorbell(0)),
          producer(control, doubled(), wait, *device, host.header().first_channel_peer) {
        control.session_state.store(static_cast<std::uint32_t>(SessionState::kReady));
    }

    std::byte* doubled() {
        if (!memory) {
            memory = std::move(*Mapping::reserve(2 * kRingBytes));
            const std::uint64_t offset = device->channel_offset(0) + offsetof(cubar::Channel, ring);
            for (const std::size_t at : {std::size_t{0}, kRingBytes}) {
                REQUIRE_FALSE(device->map(memory, memory.bytes().subspan(at, kRingBytes), offset,
                                          Caching::kBulk));
            }
        }
        return memory.data();
    }

    HostMemory host;
    std::unique_ptr<Device> device = host.open_device();
    ChannelControl& control = host.channel(0).control;
    Mapping memory;
    SpinBudget budget;
    Forecast forecast;
    Liveness liveness{host.header(), control, 7};
    WaitContext wait;
    RingConsumer consumer;
    RingProducer producer;
};

constexpr Call kCall{42, 3, 0x1111, 0x2222};

}  // namespace

TEST_CASE("A record arrives as it was posted", "[ring]") {
    Ring ring;
    const std::uint64_t request = 0x0123456789abcdef;
    const std::byte payload[5] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                  std::byte{5}};
    const Posted posted = ring.producer.post(kCall, request, payload, 9);
    REQUIRE(posted.error == Error::kNone);
    REQUIRE(posted.position == 48);

    Record record;
    REQUIRE(ring.consumer.next(record) == Next::kRecord);
    REQUIRE(record.header().bytes == 48);
    REQUIRE(record.header().opcode == 42);
    REQUIRE(record.header().reply_slot == 9);
    REQUIRE(record.header().thread == 3);
    REQUIRE(record.header().context == 0x1111);
    REQUIRE(record.header().stream == 0x2222);
    REQUIRE(record.end() == posted.position);
    REQUIRE(record.body().size() == 16);
    REQUIRE(std::memcmp(record.body().data(), &request, 8) == 0);
    REQUIRE(std::memcmp(record.body().data() + 8, payload, 5) == 0);
    REQUIRE(ring.consumer.next(record) == Next::kEmpty);
}

TEST_CASE("A record that is not committed was never there", "[ring]") {
    Ring ring;
    {
        RingProducer::Build build = ring.producer.begin(16);
        REQUIRE(build);
        std::memset(build.body(), 0xff, 16);
    }
    Record record;
    REQUIRE(ring.consumer.next(record) == Next::kEmpty);
    REQUIRE(ring.producer.post(kCall, 1).position == 48);
    REQUIRE(ring.consumer.next(record) == Next::kRecord);
}

TEST_CASE("The largest record fits, a larger one is refused", "[ring]") {
    Ring ring;
    const std::vector<std::byte> payload(kMaxRecordBytes, std::byte{7});
    const auto body = std::span(payload).first(kMaxRecordBytes - sizeof(RecordHeader) - 8);
    const std::uint64_t request = 5;
    Record record;
    for (unsigned round = 0; round < 3 * kRingBytes / kMaxRecordBytes; ++round) {
        REQUIRE(ring.producer.post(kCall, request, body).error == Error::kNone);
        REQUIRE(ring.consumer.next(record) == Next::kRecord);
        REQUIRE(record.body().size() == body.size() + 8);
        REQUIRE(std::memcmp(record.body().data() + 8, body.data(), body.size()) == 0);
    }
    REQUIRE(ring.producer.post(kCall, request, std::span(payload)).error == Error::kTooLarge);
    REQUIRE(ring.producer.begin(std::size_t{1} << 40).error() == Error::kTooLarge);
    REQUIRE(ring.consumer.next(record) == Next::kEmpty);
}

TEST_CASE("Records of any size cross the end of the ring whole, and a full ring waits", "[ring]") {
    const WaitPolicy policy = GENERATE(WaitPolicy::kLocal, WaitPolicy::kVm);
    Ring ring(policy);
    const unsigned seed = 20240501;
    CAPTURE(seed);
    constexpr unsigned kCount = 3000;
    std::atomic<unsigned> wrong{0};
    std::thread worker([&] {
        Record record;
        std::mt19937 random(seed);
        for (unsigned i = 0; i < kCount;) {
            if (ring.consumer.next(record) == Next::kEmpty) {
                if (!ring.consumer.spin()) {
                    ring.consumer.sleep({}, 5000);
                }
                continue;
            }
            const std::size_t bytes = random() % 5000;
            const auto fill = static_cast<unsigned char>(random());
            bool right = record.body().size() >= bytes + 4 && record.header().opcode == i;
            for (std::size_t at = 0; right && at < bytes; ++at) {
                right = record.body()[4 + at] == std::byte{fill};
            }
            wrong += right ? 0 : 1;
            ++i;
        }
    });
    std::mt19937 random(seed);
    for (unsigned i = 0; i < kCount; ++i) {
        const std::size_t bytes = random() % 5000;
        const auto fill = static_cast<unsigned char>(random());
        const std::vector<std::byte> payload(bytes, std::byte{fill});
        REQUIRE(ring.producer.post({i, 1, 0, 0}, i, payload).error == Error::kNone);
    }
    worker.join();
    REQUIRE(wrong == 0);
}

TEST_CASE("Threads share the ring; each one's order stays", "[ring]") {
    Ring ring;
    constexpr unsigned kThreads = 4;
    constexpr std::uint32_t kEach = 5000;
    std::atomic<unsigned> wrong{0};
    std::thread worker([&] {
        std::uint32_t next[kThreads] = {};
        Record record;
        for (unsigned left = kThreads * kEach; left > 0;) {
            if (ring.consumer.next(record) != Next::kRecord) {
                if (!ring.consumer.spin()) {
                    ring.consumer.sleep({}, 5000);
                }
                continue;
            }
            wrong += record.header().opcode == next[record.header().thread]++ ? 0 : 1;
            --left;
        }
    });
    std::vector<std::thread> threads;
    for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&ring, thread] {
            for (std::uint32_t i = 0; i < kEach; ++i) {
                ring.producer.post({i, thread, 0, 0}, std::uint64_t{i});
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    worker.join();
    REQUIRE(wrong == 0);
}

TEST_CASE("No wake-up is lost between a post and a worker that falls asleep", "[ring]") {
    Ring ring;
    constexpr unsigned kCount = 20000;
    std::atomic<unsigned> consumed{0};
    std::atomic<unsigned> lost{0};
    std::thread worker([&] {
        Record record;
        while (consumed < kCount && lost == 0) {
            if (ring.consumer.next(record) == Next::kRecord) {
                ++consumed;
                consumed.notify_one();
            } else if (!ring.consumer.sleep({}, 5000)) {
                ++lost;  // five seconds without a doorbell
                consumed = kCount;
                consumed.notify_one();
            }
        }
    });
    for (unsigned i = 0; i < kCount && lost == 0; ++i) {
        ring.producer.post(kCall, std::uint64_t{i});
        // Sometimes at once, sometimes when the worker is asleep.
        if (i % 3 == 0) {
            for (unsigned seen = consumed; seen <= i; seen = consumed) {
                consumed.wait(seen);
            }
        }
    }
    worker.join();
    REQUIRE(lost == 0);
}

TEST_CASE("A guest that waits for space learns that its session ended", "[ring]") {
    Ring ring;
    Error error = Error::kNone;
    std::thread guest([&] {
        while (error == Error::kNone) {
            error = ring.producer.post(kCall, std::array<std::byte, 4096>{}).error;
        }
    });
    while (ring.control.tail.load() < kRingBytes - 8192 ||
           ring.control.guest_waits_for_space.load() == 0) {
        std::this_thread::yield();
    }
    ring.host.words(0).dead(SessionError::kWorkerDied);
    guest.join();
    REQUIRE(error == Error::kSessionDead);
}

TEST_CASE("What no honest guest writes breaks the session, not the worker", "[ring][malformed]") {
    Ring ring;
    Record record;
    RecordHeader header{48, 1, kNoReply, 1, 0, 0};
    Position tail = 48;
    std::string reason;

    SECTION("tail beyond the ring") {
        tail = kRingBytes + 16;
        reason = "the tail left the ring";
    }
    SECTION("tail behind the head") {
        tail = ~Position{0} - 15;
        reason = "the tail left the ring";
    }
    SECTION("tail not aligned") {
        tail = 40;
        reason = "the tail is not aligned";
    }
    SECTION("tail within a header") {
        tail = 16;
        reason = "the tail cuts a header";
    }
    SECTION("no bytes") {
        header.bytes = 0;
        reason = "a record's size is no record's";
    }
    SECTION("less than a header") {
        header.bytes = 16;
        reason = "a record's size is no record's";
    }
    SECTION("size not aligned") {
        header.bytes = 40;
        reason = "a record's size is no record's";
    }
    SECTION("beyond the tail") {
        header.bytes = 64;
        reason = "a record exceeds the tail";
    }
    SECTION("too large") {
        header.bytes = kMaxRecordBytes + 16;
        tail = kRingBytes;
        reason = "a record is too large";
    }
    SECTION("all ones") {
        header.bytes = 0xffff'fff0;
        tail = kRingBytes;
        reason = "a record is too large";
    }
    SECTION("a reply slot that is none") {
        header.reply_slot = kReplySlots;
        reason = "a record names no reply slot";
    }
    std::memcpy(ring.memory.data(), &header, sizeof header);
    ring.control.tail.store(tail);
    REQUIRE(ring.consumer.next(record) == Next::kBroken);
    REQUIRE(ring.consumer.broken() == reason);
    ring.control.tail.store(0);
    REQUIRE(ring.consumer.next(record) == Next::kBroken);
}

TEST_CASE("A record does not change when the guest rewrites the ring", "[ring][malformed]") {
    Ring ring;
    const std::uint64_t request = 77;
    ring.producer.post(kCall, request);
    Record record;
    REQUIRE(ring.consumer.next(record) == Next::kRecord);
    std::memset(ring.memory.data(), 0xff, 48);
    REQUIRE(record.header().bytes == 48);
    REQUIRE(std::memcmp(record.body().data(), &request, sizeof request) == 0);
}

TEST_CASE("Random bytes in the ring never take the consumer out of it", "[ring][malformed]") {
    const unsigned seed = 991;
    CAPTURE(seed);
    std::mt19937 random(seed);
    Ring ring;
    for (unsigned round = 0; round < 2000; ++round) {
        RingConsumer consumer(ring.control, ring.memory.data(), WaitPolicy::kVm,
                              ring.host.worker_doorbell(0));
        const auto number = [&](std::uint32_t below) {
            return static_cast<std::uint32_t>(random() % below);
        };
        const std::uint32_t unit = number(2) != 0 ? 16 : 1;
        const RecordHeader header{number(256) * unit, number(99), number(80), 1, 0, 0};
        std::memcpy(ring.memory.data(), &header, sizeof header);
        ring.control.tail.store(random() % 64 * 16);
        Record record;
        for (Next next = Next::kRecord; next == Next::kRecord;) {
            next = consumer.next(record);
            REQUIRE(consumer.position() <= ring.control.tail.load());
        }
    }
}

}  // namespace cubar::transport::test
