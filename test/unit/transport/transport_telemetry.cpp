// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "fake_host.h"
#include "transport/telemetry.h"

namespace cubar::transport::test {
namespace {

constexpr Nanoseconds kLong = 10'000 * kMillisecond;

/// The pages lie where the arena would: here nobody uses it.
struct Host {
    HostMemory memory;
    TelemetryPages& pages = *reinterpret_cast<TelemetryPages*>(memory.arena());
    TelemetryWriter writer{pages};
    std::unique_ptr<Device> device;

    Host() {
        memory.header().telemetry_offset = memory.header().arena_offset;
        memory.header().telemetry_bytes = sizeof(TelemetryPages);
        device = memory.open_device();
    }
    TelemetryReader reader() { return std::move(*TelemetryReader::open(*device)); }
};

/// All that a reader compares says the same number.
Telemetry sample(std::uint64_t number) {
    Telemetry result{};
    result.device_count = 2;
    result.process_count = 1;
    for (TelemetryDevice& device : std::span(result.device, 2)) {
        device.memory_total = number;
        device.gauge[0] = number;
        device.part_number[0] = static_cast<char>('a' + number % 26);
    }
    result.process[0].pid = static_cast<std::uint32_t>(number);
    result.process[0].bytes[1] = number;
    return result;
}

bool whole(const Telemetry& telemetry) {
    const std::uint64_t number = telemetry.device[0].memory_total;
    const Telemetry wanted = sample(number);
    return telemetry.device_count == 2 && telemetry.process_count == 1 &&
           telemetry.device[0].gauge[0] == number && telemetry.device[1].gauge[0] == number &&
           telemetry.device[1].memory_total == number &&
           telemetry.device[1].part_number[0] == wanted.device[1].part_number[0] &&
           telemetry.process[0].pid == wanted.process[0].pid &&
           telemetry.process[0].bytes[1] == number;
}

/// Answers doorbells as cubard does, each with the next number, until it goes.
class Answering {
public:
    explicit Answering(Host& host) : thread_([this, &host] { run(host); }) {}
    ~Answering() {
        over_ = true;
        thread_.join();
    }

private:
    void run(Host& host) {
        for (std::uint64_t number = 1; !over_;) {
            pollfd bell{host.memory.cubard_doorbell(), POLLIN, 0};
            std::uint64_t rings = 0;
            if (poll(&bell, 1, 10) > 0 && read(bell.fd, &rings, sizeof rings) > 0 &&
                host.writer.asked()) {
                host.writer.publish(sample(number++));
            }
        }
    }

    std::atomic<bool> over_{false};
    std::thread thread_;
};

}  // namespace

TEST_CASE("Each question gets an answer of its own or a newer one", "[telemetry]") {
    Host host;
    const Answering cubard(host);
    TelemetryReader reader = host.reader();
    std::uint64_t last = 0;
    for (int i = 0; i < 200; ++i) {
        Telemetry telemetry{};
        REQUIRE(reader.read(telemetry, kLong) == Error::kNone);
        REQUIRE(whole(telemetry));
        REQUIRE(telemetry.device[0].memory_total > last);
        last = telemetry.device[0].memory_total;
    }
}

TEST_CASE("Many processes may ask at once, and none reads a torn answer", "[telemetry]") {
    Host host;
    const Answering cubard(host);
    std::atomic<unsigned> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        // Each with a lock file of its own, as processes have.
        threads.emplace_back([&host, &wrong] {
            TelemetryReader reader = host.reader();
            for (int k = 0; k < 200; ++k) {
                Telemetry telemetry{};
                const Error error = reader.read(telemetry, kLong);
                wrong += error != Error::kNone || !whole(telemetry) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("A host that says nothing is told of in time", "[telemetry]") {
    Host host;
    TelemetryReader reader = host.reader();
    Telemetry telemetry{};
    SECTION("silent") {
        const Nanoseconds start = now();
        CHECK(reader.read(telemetry, 50 * kMillisecond) == Error::kHostSilent);
        CHECK(now() - start >= 50 * kMillisecond);
    }
    SECTION("dead in the middle of writing") {
        host.pages.sequence.store(7);
        CHECK(reader.read(telemetry, 50 * kMillisecond) == Error::kHostSilent);
    }
    SECTION("gone") {
        host.memory.header().host_state.store(static_cast<std::uint32_t>(HostState::kStopping));
        CHECK(reader.read(telemetry, kLong) == Error::kHostAbsent);
    }
}

TEST_CASE("Who asks while another process holds the lock waits for that one's answer",
          "[telemetry]") {
    Host host;
    const Answering cubard(host);
    TelemetryReader reader = host.reader();
    Descriptor other = std::move(*host.device->open_lock_file());
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = kTelemetryLock;
    lock.l_len = 1;
    REQUIRE(fcntl(other.get(), F_OFD_SETLK, &lock) == 0);
    Telemetry telemetry{};
    CHECK(reader.read(telemetry, 20 * kMillisecond) == Error::kHostSilent);
    CHECK(host.pages.asked.load() == 0);
    // Again and again: an answer to what was asked before the reader came is not for it.
    std::atomic<bool> over{false};
    std::thread helper([&] {
        for (std::uint64_t number = 1; !over; ++number) {
            host.pages.asked.store(number);
            host.device->ring_doorbell(host.memory.header().cubard_peer);
        }
    });
    CHECK(reader.read(telemetry, kLong) == Error::kNone);
    over = true;
    helper.join();
    CHECK(whole(telemetry));
}

TEST_CASE("A host without telemetry is told from a broken one", "[telemetry]") {
    HostMemory memory;
    const auto open = [&] {
        const auto device = memory.open_device();
        return TelemetryReader::open(*device).failure().error;
    };
    CHECK(open() == Error::kProtocol);
    memory.header().telemetry_bytes = sizeof(TelemetryPages);
    memory.header().telemetry_offset = memory.header().bar_bytes - kPageBytes;
    CHECK(open() == Error::kBadHeader);
    memory.header().telemetry_offset = 12;
    CHECK(open() == Error::kBadHeader);
}

TEST_CASE("A guest that scribbles on the pages does not confuse their writer", "[telemetry]") {
    Host host;
    host.writer.publish(sample(1));
    host.pages.sequence.store(~std::uint64_t{0});
    host.writer.publish(sample(2));
    CHECK(host.pages.sequence.load() == 4);
}

}  // namespace cubar::transport::test
