// SPDX-License-Identifier: Apache-2.0
#include "libcuda/staging.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace cubar::guest::test {
namespace {

/// Arena for so many sets.
struct Lessor {
    std::size_t left;
    std::size_t asked = 0;
    std::uint64_t next = 0;

    auto lease() {
        return [this](std::size_t bytes, std::uint64_t& offset) {
            ++asked;
            if (left == 0) return false;
            --left;
            offset = next;
            next += bytes;
            return true;
        };
    }
};

}  // namespace

TEST_CASE("Staging sets have chunks and fences of their own", "[staging]") {
    StagingPool pool;
    Lessor lessor{StagingPool::kSets};
    std::vector<StagingPool::Loan> loans;
    std::set<std::uint32_t> fences;
    std::set<std::uint64_t> offsets;
    for (std::size_t number = 0; number < StagingPool::kSets; ++number) {
        loans.push_back(pool.borrow(lessor.lease()));
        REQUIRE(loans.back());
        for (const StagingChunk& chunk : loans.back()->chunks) {
            CHECK(chunk.fence >= kStreamFences);
            CHECK(chunk.fence < kFences);
            fences.insert(chunk.fence);
            offsets.insert(chunk.offset / StagingChunk::kBytes);
        }
    }
    CHECK(fences.size() == kStagingFences);
    CHECK(offsets.size() == kStagingFences);
}

TEST_CASE("A set that came back serves again before more is leased, the oldest first",
          "[staging]") {
    StagingPool pool;
    Lessor lessor{StagingPool::kSets};
    StagingSet* first = nullptr;
    StagingSet* second = nullptr;
    {
        const auto one = pool.borrow(lessor.lease());
        first = one.operator->();
    }
    {
        const auto one = pool.borrow(lessor.lease());
        const auto other = pool.borrow(lessor.lease());
        CHECK(one.operator->() == first);
        second = other.operator->();
    }
    CHECK(lessor.asked == 2);
    // `other` came back first.
    CHECK(pool.borrow(lessor.lease()).operator->() == second);
    CHECK(pool.borrow(lessor.lease()).operator->() == first);
    CHECK(lessor.asked == 2);
}

TEST_CASE("Without any arena there is no loan; with some, copies share it", "[staging]") {
    StagingPool pool;
    Lessor none{0};
    CHECK_FALSE(pool.prepare(none.lease()));
    CHECK_FALSE(pool.borrow(none.lease()));
    // The host may have room later.
    Lessor one{1};
    CHECK(pool.prepare(one.lease()));
    CHECK(pool.prepare(one.lease()));
    CHECK(one.asked == 1);

    std::optional<StagingPool::Loan> held(pool.borrow(one.lease()));
    std::atomic<bool> got{false};
    std::thread waiter([&] {
        const auto loan = pool.borrow(one.lease());
        got = static_cast<bool>(loan);
    });
    held.reset();
    waiter.join();
    CHECK(got);
    // What was refused once is not asked for again.
    const auto first = pool.borrow(one.lease());
    CHECK(one.asked <= 2);
}

TEST_CASE("A set comes back while another is being leased", "[staging]") {
    StagingPool pool;
    Lessor lessor{1};
    std::optional<StagingPool::Loan> held(pool.borrow(lessor.lease()));
    // The host takes its time, and what it was asked for is needed no more.
    const auto slow = [&](std::size_t, std::uint64_t&) {
        held.reset();
        return false;
    };
    CHECK(pool.borrow(slow));
}

TEST_CASE("Whoever waits for a lease learns that it failed", "[staging]") {
    StagingPool pool;
    std::atomic<int> leasing{0};
    std::atomic<int> empty{0};
    std::vector<std::thread> threads;
    // More threads than sets, so that some wait for the leases of others.
    constexpr int kThreads = static_cast<int>(StagingPool::kSets) + 4;
    for (int number = 0; number < kThreads; ++number) {
        threads.emplace_back([&] {
            const auto refuse = [&](std::size_t, std::uint64_t&) {
                ++leasing;
                while (leasing < static_cast<int>(StagingPool::kSets)) std::this_thread::yield();
                return false;
            };
            if (!pool.borrow(refuse)) ++empty;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(empty == kThreads);
}

TEST_CASE("Many threads never hold one set at once", "[staging]") {
    StagingPool pool;
    std::mutex lessor_mutex;
    Lessor lessor{2};
    std::vector<std::thread> threads;
    std::atomic<int> users[StagingPool::kSets * StagingSet::kChunks]{};
    std::atomic<bool> shared{false};
    for (int number = 0; number < 6; ++number) {
        threads.emplace_back([&] {
            for (int round = 0; round < 300; ++round) {
                const auto loan = pool.borrow([&](std::size_t bytes, std::uint64_t& offset) {
                    const std::lock_guard lock(lessor_mutex);
                    return lessor.lease()(bytes, offset);
                });
                const std::size_t which = loan->chunks[0].fence - kStreamFences;
                if (users[which].fetch_add(1) != 0) shared = true;
                users[which].fetch_sub(1);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_FALSE(shared);
}

}  // namespace cubar::guest::test
