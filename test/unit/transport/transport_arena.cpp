// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "fake_host.h"
#include "transport/arena.h"
#include "transport/bulk_copy.h"
#include "transport/channel.h"

namespace cubar::transport::test {

namespace {

constexpr std::size_t kChunk = 4096;
constexpr std::size_t kChunks = 3;

}  // namespace

TEST_CASE("The arena hands out what was leased, and no more", "[arena]") {
    Arena arena;
    REQUIRE(arena.allocate(1) == Arena::kNone);
    REQUIRE(arena.add({2, 1}));
    REQUIRE_FALSE(arena.add({2, 1}));
    REQUIRE_FALSE(arena.add({1, 2}));
    REQUIRE_FALSE(arena.add({5, 0}));
    REQUIRE(arena.leased_bytes() == kGranuleBytes);
    REQUIRE(arena.allocate(kGranuleBytes + 1) == Arena::kNone);
    REQUIRE(arena.allocate(0) == Arena::kNone);
    REQUIRE(arena.allocate(~std::uint64_t{0}) == Arena::kNone);
    const std::uint64_t whole = arena.allocate(kGranuleBytes);
    REQUIRE(whole == 2 * kGranuleBytes);
    REQUIRE(arena.allocate(1) == Arena::kNone);
    REQUIRE_FALSE(arena.free(whole + Arena::kUnit));
    REQUIRE(arena.free(whole));
    REQUIRE_FALSE(arena.free(whole));
}

TEST_CASE("No allocation spans two leases", "[arena]") {
    Arena arena;
    REQUIRE(arena.add({4, 1}));
    REQUIRE(arena.add({6, 1}));
    REQUIRE(arena.add({5, 1}));
    REQUIRE(arena.allocate(kGranuleBytes + 1) == Arena::kNone);
    REQUIRE(arena.add({7, 3}));
    const std::uint64_t large = arena.allocate(3 * kGranuleBytes);
    REQUIRE(large == 7 * kGranuleBytes);
    // Freed neighbours stay apart, too.
    REQUIRE(arena.free(large));
    REQUIRE(arena.allocate(4 * kGranuleBytes) == Arena::kNone);
}

TEST_CASE("Only leases that are wholly free go back", "[arena]") {
    Arena arena;
    REQUIRE(arena.add({0, 4}));
    REQUIRE(arena.add({4, 2}));
    const std::uint64_t first = arena.allocate(4096);
    const std::uint64_t second = arena.allocate(4096);
    const GranuleRun unused = arena.remove_free();
    REQUIRE(unused.first == 4);
    REQUIRE(unused.count == 2);
    REQUIRE(arena.remove_free().count == 0);
    REQUIRE(arena.free(first));
    REQUIRE(arena.remove_free().count == 0);
    REQUIRE(arena.free(second));
    const GranuleRun freed = arena.remove_free();
    REQUIRE(freed.first == 0);
    REQUIRE(freed.count == 4);
    REQUIRE(arena.leased_bytes() == 0);
}

TEST_CASE("Random use keeps allocations apart, aligned and found", "[arena]") {
    const unsigned seed = 4711;
    CAPTURE(seed);
    std::mt19937 random(seed);
    Arena arena;
    REQUIRE(arena.add({0, 8}));
    std::map<std::uint64_t, std::uint64_t> live;
    for (unsigned step = 0; step < 20000; ++step) {
        if (live.empty() || random() % 3 != 0) {
            const std::uint64_t bytes = 1 + random() % 100000;
            const std::uint64_t alignment = std::uint64_t{1} << random() % 17;
            const std::uint64_t at = arena.allocate(bytes, alignment);
            if (at == Arena::kNone) {
                continue;
            }
            REQUIRE(at % alignment == 0);
            REQUIRE(at + bytes <= 8 * kGranuleBytes);
            const auto after = live.lower_bound(at);
            REQUIRE((after == live.end() || at + bytes <= after->first));
            REQUIRE((after == live.begin() ||
                     std::prev(after)->first + std::prev(after)->second <= at));
            live[at] = bytes;
        } else {
            auto victim = live.begin();
            std::advance(victim, random() % live.size());
            std::uint64_t begin = 0;
            REQUIRE(arena.find(victim->first + victim->second - 1, &begin) >= victim->second);
            REQUIRE(begin == victim->first);
            REQUIRE(arena.free(victim->first));
            live.erase(victim);
        }
    }
    for (const auto& [at, bytes] : live) {
        REQUIRE(arena.free(at));
    }
    REQUIRE(arena.allocated_bytes() == 0);
    REQUIRE(arena.allocate(8 * kGranuleBytes) == 0);
}

TEST_CASE("A channel maps leased granules where both sides agreed", "[arena]") {
    HostMemory host;
    FakeCubard cubard(host);
    std::unique_ptr<Device> device = host.open_device();
    std::unique_ptr<Channel> channel = std::move(*Channel::open(*device));
    REQUIRE(channel->add_granules({4, 1}).error == Error::kProtocolBroken);
    REQUIRE(channel->add_granules({0, 0}).error == Error::kProtocolBroken);
    REQUIRE(channel->add_granules({0xffff'ffff, 2}).error == Error::kProtocolBroken);
    REQUIRE_FALSE(channel->add_granules({1, 2}));
    const std::uint64_t at = channel->arena().allocate(5000);
    REQUIRE(at != Arena::kNone);
    std::memset(channel->arena_base() + at, 0x5a, 5000);
    REQUIRE(host.arena()[at + 4999] == std::byte{0x5a});
    REQUIRE(channel->arena().free(at));
    REQUIRE(channel->remove_free_granules().count == 2);
    REQUIRE(channel->remove_free_granules().count == 0);
}

TEST_CASE("Bulk copies are copies, at every alignment and on every kind of memory", "[bulk]") {
    const auto type = GENERATE(MemoryType::kWriteBack, MemoryType::kWriteCombining);
    const unsigned seed = 17;
    std::mt19937 random(seed);
    std::vector<std::byte> source(1 << 20);
    for (std::byte& byte : source) {
        byte = std::byte{static_cast<unsigned char>(random())};
    }
    // A page of slack on either side, so that whole lanes may be read.
    std::vector<std::byte> bulk(source.size() + 64, std::byte{0xee});
    std::vector<std::byte> target(source.size() + 64, std::byte{0xdd});
    const auto check = [&](std::size_t from, std::size_t at, std::size_t bytes) {
        CAPTURE(from, at, bytes);
        std::fill(bulk.begin(), bulk.end(), std::byte{0xee});
        bulk_write(bulk.data() + at, source.data() + from, bytes, type);
        REQUIRE(std::memcmp(bulk.data() + at, source.data() + from, bytes) == 0);
        REQUIRE((at == 0 || bulk[at - 1] == std::byte{0xee}));
        REQUIRE(bulk[at + bytes] == std::byte{0xee});
        target[from] = target[from + bytes] = std::byte{0xdd};
        bulk_read(target.data() + from, bulk.data() + at, bytes, type);
        REQUIRE(std::memcmp(target.data() + from, bulk.data() + at, bytes) == 0);
        REQUIRE(target[from + bytes] == std::byte{0xdd});
    };
    for (std::size_t bytes : {0u, 1u, 15u, 16u, 17u, 31u, 33u, 100u}) {
        for (std::size_t at = 0; at < 17; ++at) {
            check(at * 7 % 17, at, bytes);
        }
    }
    check(3, 5, source.size() - 64);
}

TEST_CASE("A copy larger than its staging passes through it in order", "[bulk]") {
    const std::size_t bytes = GENERATE(std::size_t{1}, kChunk, kChunk * 3, kChunk * 10 + 17);
    std::vector<std::byte> staging_memory(kChunk * kChunks);
    const Staging staging{staging_memory.data(), 1 << 20, kChunk, kChunks};
    std::vector<std::byte> source(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        source[i] = std::byte{static_cast<unsigned char>(i * 31 / 7)};
    }
    std::vector<std::byte> other(bytes);
    struct Job {
        std::size_t done, at, part;
    };
    std::vector<Job> queue;  // what the host has not executed yet; positions count from 1
    Position executed = 0;
    const auto post = [&](std::size_t done, std::uint64_t offset, std::size_t part) {
        queue.push_back({done, offset - (1 << 20), part});
        REQUIRE(queue.size() - executed <= kChunks);
        return Posted{Error::kNone, queue.size()};
    };

    SECTION("to the host") {
        const auto consume = [&](Position position) {
            for (; executed < position; ++executed) {
                const Job& job = queue[executed];
                std::memcpy(other.data() + job.done, staging_memory.data() + job.at, job.part);
            }
            return Error::kNone;
        };
        const Posted last = pass_to_host(staging, source.data(), bytes, post, consume);
        REQUIRE(last.error == Error::kNone);
        consume(last.position);
        REQUIRE(other == source);
    }
    SECTION("from the host") {
        const auto fill = [&](Position position) {
            for (; executed < position; ++executed) {
                const Job& job = queue[executed];
                std::memcpy(staging_memory.data() + job.at, source.data() + job.done, job.part);
            }
            return Error::kNone;
        };
        REQUIRE(pass_from_host(staging, other.data(), bytes, post, fill) == Error::kNone);
        REQUIRE(other == source);
    }
    SECTION("until the host is lost") {
        const auto lost = [&](Position) { return Error::kHostSilent; };
        REQUIRE(pass_from_host(staging, other.data(), bytes, post, lost) == Error::kHostSilent);
    }
}

}  // namespace cubar::transport::test
